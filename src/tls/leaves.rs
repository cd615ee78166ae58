use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use time::OffsetDateTime;

use super::ca::{BACKDATE, DAY, Issuing, serial};
use super::{Ca, CaError};
use crate::model::Host;

/// How long a leaf is valid, unless the CA ends first.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Leaf certificates by host, minted once each, in a bounded cache. All share one P-256 key that
/// is not the CA's.
pub struct Leaves {
    ca: ArcSwap<Ca>,
    key: KeyPair,
    signer: Arc<dyn SigningKey>,
    template: ServerConfig,
    minted: DashMap<Host, Leaf>,
    limit: usize,
    uses: AtomicU64,
    evicting: Mutex<()>,
}

struct Leaf {
    config: Arc<ServerConfig>,
    /// Used only between these two.
    from: SystemTime,
    until: SystemTime,
    /// The count of uses at the last one.
    used: AtomicU64,
}

impl Leaves {
    /// An empty cache for at most `limit` hosts.
    pub fn new(ca: Ca, limit: usize) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Make)?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialized_der()));
        let signer = provider::sign::any_ecdsa_type(&private).map_err(CaError::Tls)?;
        Ok(Self {
            ca: ArcSwap::from_pointee(ca),
            key,
            signer,
            template: template()?,
            minted: DashMap::new(),
            limit: limit.max(1),
            uses: AtomicU64::new(0),
            evicting: Mutex::new(()),
        })
    }

    /// The server side of an intercepted connection, `h2` and `http/1.1` offered. The flag says
    /// whether the leaf was minted by this call.
    ///
    /// Concurrent first requests for one host mint once: the others wait for those 64 us. Fails
    /// only if the CA has ended or a certificate cannot be made.
    pub fn server_config(&self, host: &Host, now: SystemTime) -> Result<(Arc<ServerConfig>, bool), CaError> {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(leaf) = self.minted.get(host).filter(|leaf| leaf.fresh(now)) {
            leaf.used.store(used, Ordering::Relaxed);
            return Ok((leaf.config.clone(), false));
        }
        self.make_room();
        match self.minted.entry(host.clone()) {
            Entry::Occupied(entry) if entry.get().fresh(now) => Ok((entry.get().config.clone(), false)),
            Entry::Occupied(mut entry) => {
                let leaf = self.mint(host, now, used)?;
                let config = leaf.config.clone();
                entry.insert(leaf);
                Ok((config, true))
            }
            Entry::Vacant(entry) => Ok((entry.insert(self.mint(host, now, used)?).config.clone(), true)),
        }
    }

    /// What clients must trust.
    pub fn trust_pem(&self) -> String {
        self.ca.load().trust_pem()
    }

    /// Goes on with a CA that was loaded again, so that a long-lived process takes over the
    /// successor. Leaves of the CA before are minted anew.
    pub fn replace(&self, ca: Ca) {
        self.ca.store(Arc::new(ca));
        self.minted.clear();
    }

    fn mint(&self, host: &Host, now: SystemTime, used: u64) -> Result<Leaf, CaError> {
        let ca = self.ca.load();
        let issuing = ca.issuing_at(now)?;
        let until = (now + LIFE).min(issuing.end());
        let der = self.certificate(host, now, until, issuing)?;
        let certified = CertifiedKey::new(vec![der], self.signer.clone());
        let mut config = self.template.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        // A day ahead of the end; where the CA's own end leaves less, half of what is left.
        let ahead = until.duration_since(now).unwrap_or_default() / 2;
        Ok(Leaf {
            config: Arc::new(config),
            from: now - BACKDATE,
            until: until - ahead.min(DAY),
            used: AtomicU64::new(used),
        })
    }

    fn certificate(
        &self,
        host: &Host,
        now: SystemTime,
        until: SystemTime,
        issuing: &Issuing,
    ) -> Result<CertificateDer<'static>, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let text = host.to_string();
        // X.520 ends a common name at 64 characters; only the alternative name counts anyway.
        if text.len() <= 64 {
            params.distinguished_name.push(DnType::CommonName, text);
        }
        params.subject_alt_names = vec![match host {
            Host::Name(name) => SanType::DnsName(name.to_string().try_into().map_err(CaError::Make)?),
            Host::Ip(ip) => SanType::IpAddress(*ip),
        }];
        params.not_before = OffsetDateTime::from(now - BACKDATE);
        params.not_after = OffsetDateTime::from(until);
        params.serial_number = Some(serial()?);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&self.key, issuing.issuer()).map_err(CaError::Make)?;
        Ok(leaf.der().clone())
    }

    /// Once the cache is full, drops the eighth that was used longest ago: one pass over the
    /// cache pays for many insertions, so that a caller who walks through a wildcard's hosts
    /// costs a bounded amount each. Insertions under way may exceed the limit by their number.
    fn make_room(&self) {
        if self.minted.len() < self.limit {
            return;
        }
        let Ok(_one_at_a_time) = self.evicting.try_lock() else { return };
        let mut ages: Vec<(u64, Host)> =
            self.minted.iter().map(|leaf| (leaf.used.load(Ordering::Relaxed), leaf.key().clone())).collect();
        let drop = (self.limit / 8 + 1).min(ages.len());
        if drop == 0 {
            return;
        }
        ages.select_nth_unstable_by_key(drop - 1, |(used, _)| *used);
        for (_, host) in ages.iter().take(drop) {
            self.minted.remove(host);
        }
    }
}

impl Leaf {
    fn fresh(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }
}

/// What all leaves share. No session is resumed and no ticket sent: agents are near, and their
/// state would be ours to keep.
fn template() -> Result<ServerConfig, CaError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(near_provider()))
        .with_safe_default_protocol_versions()
        .map_err(CaError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.ignore_client_order = true;
    Ok(config)
}

/// Between an agent and its sidecar lies the same machine: the cheaper of equally sound choices
/// first, and no post-quantum key exchange, which guards recordings of a network.
fn near_provider() -> CryptoProvider {
    let mut near = provider::default_provider();
    near.kx_groups = vec![provider::kx_group::X25519, provider::kx_group::SECP256R1, provider::kx_group::SECP384R1];
    near.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
                | rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        )
    });
    near
}

#[cfg(test)]
mod tests;
