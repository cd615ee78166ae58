use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use super::{ca_dir, pem};
use crate::sign::Sealer;

/// The organization in every CA of ours: a certificate that carries it is never trusted towards
/// destinations, whichever sidecar made it.
pub(super) const MARKER: &str = "nexus-sidecar interception CA";

/// Clocks of agents may be behind ours.
pub(super) const BACKDATE: Duration = Duration::from_secs(3600);

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A kept CA lives this long.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The CA of a run lives longer: its key ends with the process, and the child reads its trust
/// once.
const RUN: Duration = Duration::from_secs(365 * 24 * 3600);

/// Our interception CA: its certificate, and its key, which signs leaves and nothing else.
pub struct Ca {
    current: Issuing,
    next: Option<Issuing>,
}

/// What keeps a CA from being made or read.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file system.
    #[error("cannot {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What is on disk is no CA of ours, or is sealed under another key.
    #[error("{path} is not usable as our CA: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate library.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// The TLS library does not take what was made.
    #[error("cannot prepare the TLS side of a certificate")]
    Tls(#[source] rustls::Error),
    /// Every CA that we hold has ended.
    #[error("our CA has expired, and no successor was loaded")]
    Over,
}

impl Ca {
    /// A CA for one run, in memory alone.
    pub fn ephemeral(now: SystemTime) -> Result<Self, CaError> {
        Ok(Self { current: Issuing::make(MARKER, now, RUN)?, next: None })
    }

    /// A CA in memory alone that does not intercept, of an organization of this name: one that
    /// destinations of a test or a demonstration chain to. It carries no marker of ours, so that
    /// [`super::Roots`] takes it.
    pub fn named(organization: &str, now: SystemTime) -> Result<Self, CaError> {
        Ok(Self { current: Issuing::make(organization, now, RUN)?, next: None })
    }

    /// Refuses a `ca.dir` that cannot be one, and makes nothing: whoever starts asks this before a
    /// store is made.
    pub fn check_dir(dir: &Path) -> Result<(), CaError> {
        ca_dir::is_folder(dir).map(drop)
    }

    /// Seals the keys of the CA kept in a folder under the sealer's own key alone, whichever of its
    /// keys they were sealed under. Tells how many there are.
    pub fn reseal(dir: &Path, sealer: &Sealer) -> Result<usize, CaError> {
        ca_dir::reseal(dir, sealer)
    }

    /// The CA of `ca.dir`, made on first use, its key sealed; renewed ahead of its end.
    ///
    /// The successor is published ten days before the end and takes over on the last day. Two
    /// processes that start at once agree on one CA.
    pub fn load_or_make(dir: &Path, sealer: &Sealer, now: SystemTime) -> Result<Self, CaError> {
        let (current, next) = ca_dir::load_or_make(dir, sealer, now)?;
        Ok(Self { current, next })
    }

    /// What clients must trust: the certificate, and its successor once there is one.
    pub fn trust_pem(&self) -> String {
        self.issuing().map(|one| one.pem.as_str()).collect()
    }

    /// Who signs at this time: the current one until its last day, then its successor.
    pub(super) fn issuing_at(&self, now: SystemTime) -> Result<&Issuing, CaError> {
        let successor = self.next.as_ref().filter(|_| !self.current.lives(now + DAY));
        let chosen = successor.unwrap_or(&self.current);
        if chosen.lives(now) { Ok(chosen) } else { Err(CaError::Over) }
    }

    /// The public keys, as they stand in certificates.
    pub(super) fn public_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.issuing().map(|one| one.issuer.key().der_bytes())
    }

    fn issuing(&self) -> impl Iterator<Item = &Issuing> {
        std::iter::once(&self.current).chain(&self.next)
    }
}

/// One CA certificate with its key.
pub(super) struct Issuing {
    /// What makes the common name this CA's own.
    id: [u8; 8],
    /// The end, in whole seconds.
    end: SystemTime,
    der: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Issuing {
    /// Makes a kept CA.
    pub(super) fn kept(now: SystemTime) -> Result<Self, CaError> {
        Self::make(MARKER, now, KEPT)
    }

    fn make(organization: &str, now: SystemTime, life: Duration) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Make)?;
        let mut id = [0; 8];
        random(&mut id)?;
        let mut params = params(organization, id);
        params.not_before = OffsetDateTime::from(now - BACKDATE);
        let end = OffsetDateTime::from(now + life).replace_nanosecond(0).map_err(|_| CaError::Over)?;
        params.not_after = end;
        params.serial_number = Some(serial()?);
        let certificate = params.self_signed(&key).map_err(CaError::Make)?;
        Ok(Self::assemble(organization, id, end.into(), certificate.der().clone(), key))
    }

    fn assemble(organization: &str, id: [u8; 8], end: SystemTime, der: CertificateDer<'static>, key: KeyPair) -> Self {
        let mut text = String::new();
        pem::push_certificate(&mut text, &der);
        Self { id, end, der, pem: text, issuer: Issuer::new(params(organization, id), key) }
    }

    /// Puts a kept CA together again from its certificate and what [`Self::private`] gave.
    pub(super) fn restore(der: CertificateDer<'static>, private: &[u8]) -> Option<Self> {
        let (version, rest) = private.split_first()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let (end, key) = rest.split_first_chunk::<8>()?;
        if *version != PRIVATE_VERSION {
            return None;
        }
        let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_be_bytes(*end)))?;
        let key = PrivatePkcs8KeyDer::from(key);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).ok()?;
        // The name in the leaves must be the name in the certificate.
        let ours = contains(&der, hex::encode(*id).as_bytes()) && contains(&der, key.der_bytes());
        ours.then(|| Self::assemble(MARKER, *id, end, der, key))
    }

    /// What is sealed: `version (1) || id (8) || end (8, seconds of the epoch) || PKCS#8`.
    pub(super) fn private(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let end = self.end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let key = self.issuer.key().serialized_der();
        // Full size at once, so that growing leaves no copy behind.
        let mut out = zeroize::Zeroizing::new(Vec::with_capacity(17 + key.len()));
        out.push(PRIVATE_VERSION);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&end.to_be_bytes());
        out.extend_from_slice(key);
        out
    }

    /// Tells whether it has not ended at this time.
    pub(super) fn lives(&self, at: SystemTime) -> bool {
        at < self.end
    }

    pub(super) fn end(&self) -> SystemTime {
        self.end
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

const PRIVATE_VERSION: u8 = 1;

/// What Python's `VERIFY_X509_STRICT` and RFC 5280, section 4.2.1, ask of a CA.
fn params(organization: &str, id: [u8; 8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, format!("nexus-sidecar CA {}", hex::encode(id)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A positive serial of 127 random bits (RFC 5280, section 4.1.2.2).
pub(super) fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    // Positive, and no leading zero that DER would have to drop.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn random(out: &mut [u8]) -> Result<(), CaError> {
    aws_lc_rs::rand::fill(out).map_err(|_| CaError::Make(rcgen::Error::RingUnspecified))
}

/// Tells whether a needle stands in the bytes of a certificate.
pub(super) fn contains(der: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(der, needle).is_some()
}
