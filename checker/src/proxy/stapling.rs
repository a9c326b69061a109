//! The answer about our own certificate that is sent along with it (OCSP stapling, RFC 6066, section 8), as long as it counts.

use std::{
    io::Read as _,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use stopbank_checker::ocsp::{self, Good};
use tokio_rustls::rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::say;
use crate::secrets;

/// Largest answer, in bytes.
const LARGEST: u64 = 64 << 10;

/// A certificate with an answer, and without it when that is over.
#[derive(Debug)]
struct Stapled {
    with: Arc<CertifiedKey>,
    without: Arc<CertifiedKey>,
    good: Good,
}

impl Stapled {
    fn at(&self, now: u64) -> &Arc<CertifiedKey> {
        if (self.good.begins..self.good.ends).contains(&now) { &self.with } else { &self.without }
    }
}

impl ResolvesServerCert for Stapled {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.at(now())))
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let (opened, _) = secrets::open(file)?;
    let mut bytes = Vec::new();
    opened.take(LARGEST + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= LARGEST, "it is larger than {} KiB", LARGEST >> 10);
    Ok(bytes)
}

/// Shows a certificate, with the answer in a file where there is one. An old answer is not sent, and said; one that is of no use is an error.
pub(super) fn resolver(certified: CertifiedKey, file: Option<&Path>) -> Result<Arc<dyn ResolvesServerCert>> {
    let Some(file) = file else { return Ok(Arc::new(SingleCertAndKey::from(certified))) };
    let name = file.display();
    let answer = read(file).with_context(|| format!("cannot read {name}"))?;
    let own = certified.end_entity_cert()?;
    let good = ocsp::read(&answer, own).with_context(|| format!("{name} cannot be sent along"))?;
    if good.ends <= now() {
        say(&format!("{name} is too old to be sent along: fetch a new one, and reload"));
    }
    let without = Arc::new(certified.clone());
    let with = Arc::new(CertifiedKey { ocsp: Some(answer), ..certified });
    Ok(Arc::new(Stapled { with, without, good }))
}
