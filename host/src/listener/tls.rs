//! TLS by rustls, with or without client certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::settings::Tls;

/// Reads the files and makes an acceptor. `section` is where the settings stand, for what is said of them.
pub(crate) fn acceptor(settings: &Tls, section: &str) -> Result<TlsAcceptor, String> {
    let chain = certificates(&settings.certificate, section)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|error| {
        format!("{section}.key: cannot read a private key from {}: {error}", settings.key.display())
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("{section}: {error}"))?;
    let builder = match &settings.client_authorities {
        None => builder.with_no_client_auth(),
        Some(file) => builder.with_client_cert_verifier(verifier(file, provider, section)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| format!("{section}: {error}"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(file: &Path, section: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error| format!("{section}: cannot read certificates from {}: {error}", file.display());
    CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(wrong)
}

fn verifier(
    file: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
    section: &str,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, section)? {
        roots.add(certificate).map_err(|error| format!("{section}.client_authorities: {error}"))?;
    }
    let wrong = |error: VerifierBuilderError| format!("{section}.client_authorities: {error}");
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(wrong)
}
