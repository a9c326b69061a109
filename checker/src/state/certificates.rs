//! Client certificates: which authorities' count, and the names in them.
//!
//! Whoever is in front of the engine has verified the chain. It is verified again, under the policy's own authorities, where that names some:
//! the listener may trust more.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rustls_pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime, pem::PemObject as _,
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring as algorithms};

use super::{Files, lock};
use crate::{
    policy::{Certificates, SanKind},
    tokens::certificate_thumbprint,
};

/// Signatures that count: all of those that rustls takes, with ring.
const ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 11] = [
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];
/// Chains that were found good, and how long that counts, in seconds.
const MOST_GOOD: usize = 4_096;
const GOOD: u64 = 60;
/// Most names of a certificate that are read, and longest one, in bytes.
const MOST_NAMES: usize = 64;
const LONGEST_NAME: usize = 1_024;

/// Why a certificate proves nothing here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// It cannot be read.
    Unreadable,
    /// None of the policy's authorities has signed it, or its time is over.
    Authority,
    /// It has no name of a kind that counts, or none that is allowed.
    Name,
}

impl Wrong {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "certificate-unreadable",
            Self::Authority => "certificate-authority",
            Self::Name => "certificate-name",
        }
    }
}

/// The names of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    /// The one that it goes by.
    pub(crate) subject: String,
    /// All of the kinds that count.
    pub(crate) names: Vec<String>,
    /// SHA-256 of it.
    pub(crate) thumbprint: [u8; 32],
}

/// What is known of client certificates.
pub(crate) struct CertificateState {
    pub(super) config: Certificates,
    authorities: RwLock<Arc<Vec<TrustAnchor<'static>>>>,
    /// SHA-256 of certificates whose chain was good, and until when that counts.
    good: Mutex<HashMap<[u8; 32], u64>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl fmt::Debug for CertificateState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CertificateState")
    }
}

impl CertificateState {
    pub(super) fn new(config: &Certificates) -> Self {
        Self {
            config: config.clone(),
            authorities: RwLock::default(),
            good: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Reads the authorities, where they have changed.
    pub(super) fn bring(&self, files: &mut dyn Files) -> Result<(), String> {
        let Some(file) = &self.config.ca else { return Ok(()) };
        let Some(bytes) = files.read(file)? else { return Ok(()) };
        let mut anchors = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            let certificate = certificate.map_err(|error| format!("{file}: {error}"))?;
            let anchor =
                anchor_from_trusted_cert(&certificate).map_err(|error| format!("{file}: {error}"))?;
            anchors.push(anchor.to_owned());
        }
        if anchors.is_empty() {
            return Err(format!("{file} has no certificate"));
        }
        *self.authorities.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(anchors);
        lock(&self.good).clear();
        Ok(())
    }

    /// The names of the client's certificate, which is the first of `chain`. `now` is in seconds since 1970.
    pub(crate) fn identify(&self, chain: &[&[u8]], now: u64) -> Result<Named, Wrong> {
        let (first, between) = chain.split_first().ok_or(Wrong::Unreadable)?;
        let der = CertificateDer::from(*first);
        let certificate = EndEntityCert::try_from(&der).map_err(|_| Wrong::Unreadable)?;
        let thumbprint = certificate_thumbprint(first);
        if self.config.ca.is_some() {
            self.verify(&certificate, between, thumbprint, now)?;
        }
        let mut names: Vec<String> = Vec::new();
        for kind in &self.config.names {
            let mut add = |name: &str| {
                if names.len() < MOST_NAMES && (1..=LONGEST_NAME).contains(&name.len()) {
                    names.push(name.to_owned());
                }
            };
            match kind {
                SanKind::Uri => certificate.valid_uri_names().for_each(&mut add),
                SanKind::Dns => certificate.valid_dns_names().for_each(&mut add),
            }
        }
        let subject = names.iter().find(|name| self.allows(name)).ok_or(Wrong::Name)?.clone();
        Ok(Named { subject, names, thumbprint })
    }

    fn verify(
        &self,
        certificate: &EndEntityCert<'_>,
        between: &[&[u8]],
        thumbprint: [u8; 32],
        now: u64,
    ) -> Result<(), Wrong> {
        if lock(&self.good).get(&thumbprint).is_some_and(|until| now < *until) {
            return Ok(());
        }
        let authorities = Arc::clone(&self.authorities.read().unwrap_or_else(PoisonError::into_inner));
        let between: Vec<CertificateDer<'_>> = between.iter().map(|der| CertificateDer::from(*der)).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let usage = KeyUsage::client_auth();
        certificate
            .verify_for_usage(&ALGORITHMS, &authorities, &between, time, usage, None, None)
            .map_err(|_| Wrong::Authority)?;
        let mut good = lock(&self.good);
        if good.len() >= MOST_GOOD {
            good.clear();
        }
        good.insert(thumbprint, now.saturating_add(GOOD));
        Ok(())
    }

    fn allows(&self, name: &str) -> bool {
        let allow = &self.config.allow;
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == pattern,
        };
        allow.is_empty() || allow.iter().any(fits)
    }

    /// Counts what became of a certificate.
    pub(crate) fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_insert(0) += 1;
    }

    /// What was counted.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }
}
