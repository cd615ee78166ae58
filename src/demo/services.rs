//! The three look-alikes together, behind a CA of their own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use super::DemoError;
use super::chat::Chat;
use super::secrets::Secrets;
use super::service::{LookAlike, Seen, Service};
use super::signature::KeyPair;
use super::storage::Storage;
use super::tickets::Tickets;
use crate::model::Host;
use crate::tls::{Ca, Leaves};

/// The services of one demonstration.
pub(super) struct Services {
    pub(super) tickets: Service,
    pub(super) storage: Service,
    pub(super) chat: Service,
    /// What clients of theirs must trust.
    pub(super) trust_pem: String,
}

/// The region of the object store.
pub(super) const REGION: &str = "eu-west-1";

impl Services {
    /// Starts all of them. Their CA is not that of the sidecar: it does not carry our marker, and
    /// so may be trusted towards destinations.
    pub(super) async fn start(secrets: &Secrets, now: SystemTime) -> Result<Self, DemoError> {
        let ca = Ca::named("nexus-sidecar demo services", now)?;
        let leaves = Leaves::new(ca, 3)?;
        let keys =
            KeyPair { access_key: secrets.access_key.clone(), secret_key: secrets.secret_key.clone(), region: REGION };
        Ok(Self {
            tickets: start("tickets.demo.test", &leaves, now, Tickets::new(&secrets.tickets)).await?,
            storage: start("storage.demo.test", &leaves, now, Storage::new(keys)).await?,
            chat: start("chat.demo.test", &leaves, now, Chat::new(&secrets.chat)).await?,
            trust_pem: leaves.trust_pem(),
        })
    }

    /// All of them.
    pub(super) fn all(&self) -> [&Service; 3] {
        [&self.tickets, &self.storage, &self.chat]
    }

    /// Their names, which no resolver knows, and their address.
    pub(super) fn hosts(&self) -> Result<Vec<(Host, IpAddr)>, DemoError> {
        self.all().into_iter().map(|service| Ok((host(service.host)?, Ipv4Addr::LOCALHOST.into()))).collect()
    }

    /// Takes the record of a request by its method and URL.
    pub(super) fn take(&self, method: &str, url: &str) -> Option<Seen> {
        self.all().into_iter().find_map(|service| service.take(method, url.strip_prefix(&service.url())?))
    }

    /// How many requests arrived that the agent did not tell of.
    pub(super) fn unexplained(&self) -> usize {
        self.all().into_iter().map(Service::unexplained).sum()
    }
}

async fn start(
    name: &'static str,
    leaves: &Leaves,
    now: SystemTime,
    look_alike: impl LookAlike,
) -> Result<Service, DemoError> {
    let (tls, _) = leaves.server_config(&host(name)?, now)?;
    let started = Service::start(name, Arc::clone(&tls), look_alike).await;
    started.map_err(|source| DemoError::Io { action: "listen on a free port of 127.0.0.1", source })
}

fn host(name: &'static str) -> Result<Host, DemoError> {
    Host::parse(name).map_err(|_| DemoError::Made("a host name"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::agent::{Agent, Said};
    use super::super::report::Call;
    use super::*;
    use crate::telemetry::{Clock, SystemClock};

    /// The agent without a sidecar: every service is reached over TLS, and none lets it in.
    #[tokio::test]
    async fn nobody_gets_in_without_a_credential() {
        let secrets = Secrets::draw().unwrap();
        let services = Services::start(&secrets, SystemClock.wall()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("ca.pem");
        std::fs::write(&bundle, &services.trust_pem).unwrap();
        let environment = BTreeMap::from([
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("CURL_CA_BUNDLE".into(), bundle.into()),
            ("TICKETS".into(), services.tickets.url().into()),
            ("STORAGE".into(), services.storage.url().into()),
            ("CHAT".into(), services.chat.url().into()),
            ("ELSEWHERE".into(), "https://elsewhere.demo.test:1".into()),
        ]);
        let mut calls = Vec::new();
        let agent = Agent::start(&environment, folder.path()).unwrap();
        let heard = agent
            .listen(|said| {
                if let Said::Call(sent) = said {
                    calls.extend(Call::judge(&sent, services.take(sent.method, sent.url).as_ref()));
                }
            })
            .await
            .unwrap();
        let held: Vec<_> = calls.iter().map(|call| (call.part, call.held)).collect();
        assert_eq!(held.len(), 10, "{calls:?}");
        assert!(held.iter().all(|(part, held)| *held == (*part == "without the sidecar")), "{calls:?}");
        assert_eq!(services.unexplained(), 0);
        assert!(secrets.found_in(&heard).is_empty());
    }
}
