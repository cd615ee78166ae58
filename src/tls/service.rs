//! The certificate that the Authority shows, and whose clients' certificates it takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::pem;

/// What keeps a server's TLS from being set up.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A file.
    #[error("cannot use {path} for TLS: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Certificate and key do not go together, or cannot be used.
    #[error("cannot use the certificate {path} with its key")]
    Pair {
        /// The certificate.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

/// A server's TLS from PEM files: h2 and HTTP/1.1, TLS 1.2 and 1.3. With `client_ca` a client may
/// show a certificate, which then has to chain to one of those; without, none is asked for.
pub fn server_tls(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Arc<ServerConfig>, ServerTlsError> {
    let file = |path: &Path, why: String| ServerTlsError::File { path: path.to_owned(), why };
    let chain = pem::certificates_of(cert).map_err(|why| file(cert, why))?;
    // The error may quote the file: it is not shown.
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|_| file(key, "it cannot be read, or holds no private key in PEM".to_owned()))?;
    let crypto = Arc::new(provider::default_provider());
    let pair = |source| ServerTlsError::Pair { path: cert.to_owned(), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&crypto)).with_safe_default_protocol_versions();
    let builder = builder.map_err(pair)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for der in pem::certificates_of(path).map_err(|why| file(path, why))? {
                roots.add(der).map_err(|error| file(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto)
                .allow_unauthenticated()
                .build()
                .map_err(|error| file(path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
