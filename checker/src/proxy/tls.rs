//! TLS, to clients and to upstreams: rustls with ring, 1.2 and 1.3.

use std::{io::Read as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use der::{
    AnyRef, Decode as _, Reader, SliceReader, Tag,
    asn1::{GeneralizedTime, UtcTime},
};
use tokio_rustls::rustls::{
    ClientConfig, Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use zeroize::Zeroizing;

use super::{
    config::{ClientTls, Expired, ServerTls, TlsVersion},
    stapling,
};
use crate::secrets;

/// Where Debian and Red Hat keep the authorities that the system trusts.
const SYSTEM: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Largest file of PEM, in bytes: lists of revoked certificates may be long.
const LARGEST: u64 = 64 << 20;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let file = secrets::place(file)?;
    let name = file.display();
    let context = || format!("cannot read certificates of {name}");
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&read(&file).with_context(context)?).collect();
    let found = found.with_context(context)?;
    ensure!(!found.is_empty(), "{name} has no certificate");
    Ok(found)
}

/// All of a file of PEM.
fn read(file: &Path) -> Result<Vec<u8>> {
    let (opened, _) = secrets::open(file)?;
    let mut bytes = Vec::new();
    opened.take(LARGEST + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= LARGEST, "it is larger than {} MiB", LARGEST >> 20);
    Ok(bytes)
}

/// Certificates, and their key: what was read of it is wiped, and only what signs with it has it still.
fn identity(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let certificates = certificates(certificate)?;
    let context = || format!("cannot read a private key of {}", key.display());
    let secret = secrets::read(key).with_context(context)?;
    let der = Zeroizing::new(PrivateKeyDer::from_pem_slice(secret.expose()).with_context(context)?);
    let signing = ring::sign::any_supported_type(&der).with_context(context)?;
    let certified = CertifiedKey::new(certificates, signing);
    match certified.keys_match() {
        // A kind of key that does not tell its public part.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(error) => {
            return Err(error).with_context(|| format!("{} and its certificate", key.display()));
        }
    }
    Ok(certified)
}

fn authorities(file: &Path) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .with_context(|| format!("{} has no authority's certificate", file.display()))?;
    }
    Ok(Arc::new(roots))
}

/// A list of revoked certificates, by the file that it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Revoked {
    pub(crate) file: String,
    /// When it was issued, and until when there is to be another (RFC 5280, sections 5.1.2.4 and 5.1.2.5): seconds since the Unix epoch.
    pub(crate) issued: u64,
    pub(crate) next: u64,
    /// Whether it counts for longer than that.
    pub(crate) outlives: bool,
}

impl Revoked {
    fn of(list: &[u8], file: &Path, outlives: bool) -> der::Result<Self> {
        // CertificateList: a sequence, of which the first part is one: version, signature, issuer, thisUpdate, nextUpdate and more.
        SliceReader::new(list)?.sequence(|list| {
            let read = list.sequence(|list| {
                let _version: Option<u8> = list.decode()?;
                let (_signature, _issuer) = (AnyRef::decode(list)?, AnyRef::decode(list)?);
                let (issued, next) = (time(list)?, time(list)?);
                list.read_slice(list.remaining_len())?;
                Ok(Self { file: file.display().to_string(), issued, next, outlives })
            })?;
            list.read_slice(list.remaining_len())?;
            Ok(read)
        })
    }
}

/// `Time` of RFC 5280, section 4.1.2.5.
fn time<'r>(list: &mut impl Reader<'r>) -> der::Result<u64> {
    let time = if list.peek_tag()? == Tag::UtcTime {
        UtcTime::decode(list)?.to_unix_duration()
    } else {
        GeneralizedTime::decode(list)?.to_unix_duration()
    };
    Ok(time.as_secs())
}

/// Lists of revoked certificates, and what is known of each.
fn revoked(tls: &ServerTls) -> Result<(Vec<CertificateRevocationListDer<'static>>, Vec<Revoked>)> {
    let (mut lists, mut about) = (Vec::new(), Vec::new());
    for file in &tls.client_crl {
        let name = file.display();
        let before = lists.len();
        let bytes = read(file).with_context(|| format!("cannot read {name}"))?;
        for list in CertificateRevocationListDer::pem_slice_iter(&bytes) {
            let context = || format!("{name} is no list of revoked certificates");
            let list = list.with_context(context)?;
            about.push(
                Revoked::of(&list, file, tls.client_crl_expired == Expired::Accept).with_context(context)?,
            );
            lists.push(list);
        }
        ensure!(lists.len() > before, "{name} has no list of revoked certificates (PEM, X509 CRL)");
    }
    Ok((lists, about))
}

/// What clients are served with.
pub(crate) struct Server {
    pub(crate) config: Arc<ServerConfig>,
    /// Who verifies their certificates.
    pub(crate) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// The lists of revoked certificates that count there.
    pub(crate) revoked: Vec<Revoked>,
}

/// What clients are served with.
pub(crate) fn server(tls: &ServerTls) -> Result<Server> {
    let versions: &[&SupportedProtocolVersion] = match tls.minimum_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let (lists, about) = revoked(tls)?;
    let mut used = None;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities(file)?, provider());
            let verifier = verifier.with_crls(lists);
            let verifier = match tls.client_crl_expired {
                Expired::Refuse => verifier.enforce_revocation_expiration(),
                Expired::Accept => verifier,
            };
            let verifier =
                if tls.client_certificate_optional { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build()?;
            used = Some(Arc::clone(&verifier));
            builder.with_client_cert_verifier(verifier)
        }
    };
    let own = identity(&tls.certificate, &tls.key)?;
    let mut config = builder.with_cert_resolver(stapling::resolver(own, tls.ocsp.as_deref())?);
    // Whoever offers others alone is turned away (RFC 7301, section 3.2), and clients of HTTP/1.0 offer that.
    config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"].map(<[u8]>::to_vec).to_vec();
    // Early data can be sent again by whoever has seen it.
    config.max_early_data_size = 0;
    Ok(Server { config: Arc::new(config), verifier: used, revoked: about })
}

/// What an upstream is asked with.
pub(crate) fn client(tls: &ClientTls) -> Result<Arc<ClientConfig>> {
    let roots = match &tls.ca {
        Some(file) => authorities(file)?,
        None => {
            let file = SYSTEM.iter().map(Path::new).find(|file| file.exists());
            authorities(file.context("the system has no file of authorities: name one (tls.ca)")?)?
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_webpki_verifier(verifier);
    let mut config = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity(certificate, key)?)))
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
