//! Look-alikes of the outside world for tests: an authority that has nothing to do with ours,
//! and the servers that it vouches for.

use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use super::ca::DAY;
use super::pem;

/// A private authority of the kind that `upstream.ca_files` names.
pub(crate) struct Zone {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Zone {
    /// One that calls itself so.
    pub(crate) fn new(organization: &str) -> Self {
        Self::with_key(organization, KeyPair::generate().unwrap())
    }

    pub(super) fn with_key(organization: &str, key: KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        let mut text = String::new();
        pem::push_certificate(&mut text, certificate.der());
        Self { pem: text, issuer: Issuer::new(params, key) }
    }

    /// What trusts it.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    #[cfg(feature = "authority")]
    /// The certificate and the key of a server of this name, as PEM, valid as `server` has them.
    pub(crate) fn pair(&self, host: &str, at: SystemTime) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut text = String::new();
        pem::push_certificate(&mut text, &self.leaf(host, at, &key));
        (text, key.serialize_pem())
    }

    fn leaf(&self, host: &str, at: SystemTime, key: &KeyPair) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = OffsetDateTime::from(at - DAY);
        params.not_after = OffsetDateTime::from(at + DAY);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }

    /// A server of this name, whose certificate is valid for the two days around `at`.
    pub(crate) fn server(&self, host: &str, at: SystemTime) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let der = self.leaf(host, at, &key);
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der], private)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// A certificate of these names alone, in DER, signed by itself.
pub(crate) fn leaf_named(dns: &[&str], uris: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
    let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
    params.subject_alt_names = dns.chain(uris).collect();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}
