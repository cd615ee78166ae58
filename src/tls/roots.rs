use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::ca::{MARKER, contains};
use super::{Ca, pem};

/// The certificates that destinations must chain to: the system's and those of
/// `upstream.ca_files`, without any that carries our marker or key.
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    base: ClientConfig,
    by_offer: Mutex<HashMap<Vec<Vec<u8>>, Arc<ClientConfig>>>,
}

/// What keeps roots from being read.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file of `upstream.ca_files`.
    #[error("cannot read the certificates of {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing to trust, and what was passed over, if anything was.
    #[error(
        "no trusted certificate was found{0}: install the system's CA certificates, or name some in upstream.ca_files"
    )]
    Empty(String),
    /// The TLS library does not take what was found.
    #[error("cannot prepare the verification of destinations")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Roots {
    /// Reads the system's roots and the given files. Fails on a file that is unreadable, is a
    /// folder, or holds no certificate.
    pub fn load(ca_files: &[PathBuf]) -> Result<Self, RootsError> {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::debug!(%error, "a file of the system's CA certificates was passed over");
        }
        let mut found = native.certs;
        add_system_bundle(&mut found);
        for path in ca_files {
            let more = pem::certificates_of(path).map_err(|why| RootsError::File { path: path.clone(), why })?;
            if let Some(bad) = more.iter().position(|der| RootCertStore::empty().add(der.clone()).is_err()) {
                let why = format!("certificate number {} is not readable as X.509", bad + 1);
                return Err(RootsError::File { path: path.clone(), why });
            }
            found.extend(more);
        }
        found.retain(|der| !contains(der, MARKER.as_bytes()));
        let why = native.errors.first().map(|error| format!(" ({error})"));
        Self::trusting(found).map_err(|error| match (error, why) {
            (RootsError::Empty(_), Some(why)) => RootsError::Empty(why),
            (error, _) => error,
        })
    }

    /// The certificates of one file, and no others. Fails as [`Roots::load`] does.
    pub fn of_file(path: &std::path::Path) -> Result<Self, RootsError> {
        let failed = |why| RootsError::File { path: path.to_owned(), why };
        let mut found = pem::certificates_of(path).map_err(failed)?;
        found.retain(|der| !contains(der, MARKER.as_bytes()));
        Self::trusting(found)
    }

    /// The same roots without any certificate that carries a key of this CA.
    pub fn excluding(mut self, ca: &Ca) -> Result<Self, RootsError> {
        let before = self.certificates.len();
        self.certificates.retain(|der| !ca.public_keys().any(|key| contains(der, key)));
        if self.certificates.len() == before { Ok(self) } else { Self::trusting(self.certificates) }
    }

    fn trusting(certificates: Vec<CertificateDer<'static>>) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        let (taken, _) = store.add_parsable_certificates(certificates.iter().cloned());
        if taken == 0 {
            return Err(RootsError::Empty(String::new()));
        }
        let provider = Arc::new(far_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
            .build()
            .map_err(|error| RootsError::Tls(Box::new(error)))?;
        let mut base = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| RootsError::Tls(Box::new(error)))?
            .with_webpki_verifier(verifier)
            .with_no_client_auth();
        base.resumption = Resumption::disabled();
        Ok(Self { certificates, base, by_offer: Mutex::default() })
    }

    /// A client that verifies against them and offers these protocols, in order. No session is
    /// resumed across connections of different callers: resumption is off.
    pub fn client_config(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let offer: Vec<Vec<u8>> = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let mut built = self.by_offer.lock().unwrap_or_else(PoisonError::into_inner);
        let config = built.entry(offer).or_insert_with_key(|offer| {
            let mut config = self.base.clone();
            config.alpn_protocols.clone_from(offer);
            Arc::new(config)
        });
        config.clone()
    }

    /// The same roots for calls of our own, without the certificates themselves.
    #[must_use]
    pub fn for_calls(&self) -> Self {
        Self { certificates: Vec::new(), base: self.base.clone(), by_offer: Mutex::default() }
    }

    /// How many certificates there are.
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    /// The first file of the system's roots that holds a CA of ours, of whichever sidecar: it is
    /// passed over here, and other programs trust it.
    pub fn stray() -> Option<PathBuf> {
        let marked = |path: &PathBuf| {
            let certificates = pem::certificates_of(path).unwrap_or_default();
            certificates.iter().any(|der| contains(der, MARKER.as_bytes()))
        };
        SYSTEM_BUNDLES.iter().map(PathBuf::from).filter(|path| path.is_file()).find(marked)
    }

    /// Every certificate as PEM, for a child's bundle.
    pub fn bundle_pem(&self) -> String {
        let mut out = String::new();
        for der in &self.certificates {
            pem::push_certificate(&mut out, der);
        }
        out
    }
}

/// Where distributions of Linux keep the system's roots in one file.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Adds the system's own bundle where it was not read: for `rustls-native-certs`, `SSL_CERT_FILE`
/// and `SSL_CERT_DIR` stand in place of the system's roots, and here they stand beside them.
fn add_system_bundle(found: &mut Vec<CertificateDer<'static>>) {
    let Some(path) = SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file()) else { return };
    match pem::certificates_of(&path) {
        Ok(system) => {
            let known: HashSet<_> = found.iter().cloned().collect();
            found.extend(system.into_iter().filter(|der| !known.contains(der)));
        }
        Err(why) => tracing::debug!(path = %path.display(), why, "the system's CA certificates were passed over"),
    }
}

/// X25519 is the first key share, since nearly every server takes it in one round trip; the
/// post-quantum hybrid stays on offer for servers that insist.
fn far_provider() -> CryptoProvider {
    let mut far = provider::default_provider();
    far.kx_groups = vec![
        provider::kx_group::X25519,
        provider::kx_group::SECP256R1,
        provider::kx_group::SECP384R1,
        provider::kx_group::X25519MLKEM768,
    ];
    far
}

#[cfg(test)]
mod tests;
