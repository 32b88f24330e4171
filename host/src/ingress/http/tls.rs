//! TLS by rustls, with or without client certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::settings::Tls;

/// Reads the files and makes an acceptor.
pub(super) fn acceptor(settings: &Tls) -> Result<TlsAcceptor, String> {
    let chain = certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|error| format!("host.http.tls.key: cannot read a private key from {}: {error}", settings.key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("host.http.tls: {error}"))?;
    let builder = match &settings.client_authorities {
        None => builder.with_no_client_auth(),
        Some(file) => builder.with_client_cert_verifier(verifier(file, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| format!("host.http.tls: {error}"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error| format!("host.http.tls: cannot read certificates from {}: {error}", file.display());
    CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(wrong)
}

fn verifier(
    file: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("host.http.tls.client_authorities: {error}"))?;
    }
    let wrong = |error: VerifierBuilderError| format!("host.http.tls.client_authorities: {error}");
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(wrong)
}
