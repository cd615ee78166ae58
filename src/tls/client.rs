//! Who we are to a service that asks its clients for a certificate.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use zeroize::Zeroizing;

use super::pem;
use crate::config::{ClientFiles, FileSet, secret_file};

/// A certificate and its key, from their files: read again once one of them was exchanged.
pub struct ClientIdentity {
    files: ClientFiles,
    read: Mutex<Option<(FileSet, Arc<CertifiedKey>)>>,
}

/// What keeps a certificate from being shown. Nothing of the files is told.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} to show who this sidecar is: {why}")]
pub struct IdentityError {
    /// The file.
    pub path: std::path::PathBuf,
    /// What is wrong.
    pub why: String,
}

impl ClientIdentity {
    /// The identity in these files. Nothing is read yet.
    pub fn new(files: ClientFiles) -> Self {
        Self { files, read: Mutex::default() }
    }

    /// A client like this one that shows the certificate where it is asked for one.
    ///
    /// # Errors
    /// A file that cannot be read, others that can reach the key, or two that do not go together.
    pub fn shown_by(&self, base: &ClientConfig) -> Result<Arc<ClientConfig>, IdentityError> {
        let mut config = base.clone();
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(self.pair()?));
        Ok(Arc::new(config))
    }

    /// Tells whether the files can be used now.
    ///
    /// # Errors
    /// As [`ClientIdentity::shown_by`].
    pub fn check(&self) -> Result<(), IdentityError> {
        self.pair().map(drop)
    }

    fn pair(&self) -> Result<Arc<CertifiedKey>, IdentityError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((files, pair)) = &mut *read
            && !files.moved()
        {
            return Ok(Arc::clone(pair));
        }
        *read = None;
        // Looked at before they are read: what moves in between is read once more.
        let files = FileSet::new([self.files.cert_file.clone(), self.files.key_file.clone()]);
        let pair = Arc::new(load(&self.files)?);
        *read = Some((files, Arc::clone(&pair)));
        Ok(pair)
    }
}

fn load(files: &ClientFiles) -> Result<CertifiedKey, IdentityError> {
    let failed = |path: &Path, why: String| IdentityError { path: path.to_owned(), why };
    let chain = pem::certificates_of(&files.cert_file).map_err(|why| failed(&files.cert_file, why))?;
    let of_key = |why: String| failed(&files.key_file, why);
    let text = secret_file(&files.key_file).map_err(|error| of_key(error.to_string()))?;
    let (kind, der) = private_key(text.expose()).map_err(|why| of_key(why.to_owned()))?;
    let der = match kind {
        Kind::Pkcs8 => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der.as_slice())),
        Kind::Sec1 => PrivateKeyDer::from(PrivateSec1KeyDer::from(der.as_slice())),
        Kind::Pkcs1 => PrivateKeyDer::from(PrivatePkcs1KeyDer::from(der.as_slice())),
    };
    let key =
        any_supported_type(&der).map_err(|_| of_key("it is a key of a kind that is not known here".to_owned()))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(_) => Err(failed(&files.cert_file, format!("the key in {} is another one's", files.key_file.display()))),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Pkcs8,
    Sec1,
    Pkcs1,
}

/// The first private key of a PEM text (RFC 7468; RFC 5915, section 4), every copy of it wiped.
fn private_key(text: &[u8]) -> Result<(Kind, Zeroizing<Vec<u8>>), &'static str> {
    const LABELS: [(&str, Kind); 3] =
        [("PRIVATE KEY", Kind::Pkcs8), ("EC PRIVATE KEY", Kind::Sec1), ("RSA PRIVATE KEY", Kind::Pkcs1)];
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let label = |line: &[u8]| {
        let of = |label: &str| line == format!("-----BEGIN {label}-----").as_bytes();
        LABELS.iter().find(|(label, _)| of(label)).copied()
    };
    let found = lines.by_ref().find_map(|line| match line {
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----" => Some(Err("it is encrypted: no password is asked for")),
        line => label(line).map(Ok),
    });
    let (label, kind) = found.unwrap_or(Err("it holds no private key in PEM"))?;
    let end = format!("-----END {label}-----");
    let mut encoded = Zeroizing::new(Vec::with_capacity(text.len()));
    for line in lines {
        if line == end.as_bytes() {
            let mut der = Zeroizing::new(vec![0; encoded.len()]);
            let length = STANDARD.decode_slice(encoded.as_slice(), &mut der).map_err(|_| "it is not valid PEM")?;
            der.truncate(length);
            return Ok((kind, der));
        }
        encoded.extend_from_slice(line);
    }
    Err("it is not valid PEM")
}

#[cfg(test)]
mod tests;
