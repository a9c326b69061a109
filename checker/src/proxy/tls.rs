//! TLS, to clients and to upstreams: rustls with ring, 1.2 and 1.3.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use tokio_rustls::rustls::{
    ClientConfig, Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use zeroize::Zeroizing;

use super::config::{ClientTls, ServerTls, TlsVersion};
use crate::secrets;

/// Where Debian and Red Hat keep the authorities that the system trusts.
const SYSTEM: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let file = secrets::place(file)?;
    let name = file.display();
    let found: Vec<_> = CertificateDer::pem_file_iter(&file)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read certificates of {name}"))?;
    ensure!(!found.is_empty(), "{name} has no certificate");
    Ok(found)
}

/// Certificates, and their key: what was read of it is wiped, and only what signs with it has it still.
fn identity(certificate: &Path, key: &Path) -> Result<Arc<SingleCertAndKey>> {
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
    Ok(Arc::new(SingleCertAndKey::from(certified)))
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

/// Lists of revoked certificates.
fn revoked(files: &[PathBuf]) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let mut lists = Vec::new();
    for file in files {
        let name = file.display();
        let before = lists.len();
        for list in CertificateRevocationListDer::pem_file_iter(file)
            .with_context(|| format!("cannot read {name}"))?
        {
            lists.push(list.with_context(|| format!("{name} is no list of revoked certificates"))?);
        }
        ensure!(lists.len() > before, "{name} has no list of revoked certificates (PEM, X509 CRL)");
    }
    Ok(lists)
}

/// What clients are served with.
pub(crate) fn server(tls: &ServerTls) -> Result<Arc<ServerConfig>> {
    let versions: &[&SupportedProtocolVersion] = match tls.minimum_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities(file)?, provider());
            let verifier = verifier.with_crls(revoked(&tls.client_crl)?);
            let verifier =
                if tls.client_certificate_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_cert_resolver(identity(&tls.certificate, &tls.key)?);
    // Whoever offers others alone is turned away (RFC 7301, section 3.2), and clients of HTTP/1.0 offer that.
    config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"].map(<[u8]>::to_vec).to_vec();
    // Early data can be sent again by whoever has seen it.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
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
        (Some(certificate), Some(key)) => builder.with_client_cert_resolver(identity(certificate, key)?),
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
