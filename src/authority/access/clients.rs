use super::grant::Grant;
use super::{Denied, Principal};
use crate::config::{ClientConfig, ClientName};
use crate::model::{Host, Workspace};
use crate::tls::LeafNames;

/// Whose certificates are accepted, for whom.
pub(super) struct Clients(Vec<(ClientName, Grant)>);

impl Clients {
    pub(super) fn new(configs: &[ClientConfig]) -> Self {
        Self(configs.iter().map(|config| (config.name.clone(), Grant::new(&config.scope))).collect())
    }

    /// Admits a certificate that TLS has verified against `authority.tls.client_ca_file`, by the
    /// first entry that names one of its names.
    ///
    /// A leaf with two URIs is refused: a SPIFFE identity has exactly one (X509-SVID, section 2).
    pub(super) fn admit(&self, leaf: &[u8]) -> Result<Principal, Denied> {
        let names = LeafNames::of(leaf).ok_or(Denied::Certificate)?;
        if names.uris.len() > 1 {
            return Err(Denied::Certificate);
        }
        let has = |name: &ClientName| match name {
            ClientName::Uri(uri) => names.uris.contains(uri),
            // A wildcard certificate is no name of a caller.
            ClientName::Dns(host) => names.dns.iter().any(|name| Host::parse(name).as_ref() == Ok(host)),
        };
        let (name, grant) = self.0.iter().find(|(name, _)| has(name)).ok_or(Denied::Certificate)?;
        let scope = grant.scope(|_| None).ok_or(Denied::Certificate)?;
        let id = match name {
            ClientName::Uri(uri) => format!("cert:{uri}"),
            ClientName::Dns(host) => format!("cert:{host}"),
        };
        Ok(Principal::new(Workspace::local(), id, scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AgentsFrom, ScopeConfig};
    use crate::tls::for_tests::leaf_named;

    #[test]
    fn a_name_of_the_leaf_decides() {
        let uri = |text: &str| ClientName::Uri(text.to_owned());
        let agents = |name: &str| ScopeConfig::Sidecar(AgentsFrom::These(vec![name.to_owned()]));
        let clients = Clients::new(&[
            ClientConfig { name: uri("spiffe://td/ns/agents/sa/bot"), scope: agents("bot") },
            ClientConfig { name: ClientName::Dns(Host::parse("ops.test").unwrap()), scope: ScopeConfig::Admin },
        ]);
        for (dns, uris, want) in [
            (&["x.test"][..], &["spiffe://td/ns/agents/sa/bot"][..], Some("cert:spiffe://td/ns/agents/sa/bot sidecar")),
            (&["ops.test"], &[], Some("cert:ops.test admin")),
            (&["OPS.test"], &[], Some("cert:ops.test admin")),
            (&["ops.test"], &["spiffe://td/ns/agents/sa/bot"], Some("cert:spiffe://td/ns/agents/sa/bot sidecar")),
            (&[], &["spiffe://td/ns/agents/sa/bot", "spiffe://td/ns/agents/sa/b"], None),
            (&[], &["spiffe://td/ns/agents/sa/bot2"], None),
            (&[], &["spiffe://TD/ns/agents/sa/bot"], None),
            (&["*.test"], &[], None),
            (&["ops.test.evil"], &[], None),
            (&["spiffe.td"], &[], None),
        ] {
            let admitted = clients.admit(&leaf_named(dns, uris));
            let seen = admitted.as_ref().ok().map(|one| format!("{} {}", one.id(), one.scope().word()));
            assert_eq!(seen.as_deref(), want, "{dns:?} {uris:?}: {admitted:?}");
        }
        assert!(matches!(clients.admit(b"no certificate"), Err(Denied::Certificate)));
    }
}
