//! Borrows from Kubernetes: Secrets and tokens of service accounts, from the API server (`api`), and
//! the tokens that a kubelet mounts (`files`). Secrets that are mounted are files like others.
//!
//! A Secret that changed is noticed at once: the API server is watched for its metadata alone
//! (`watching`), and a mounted token is looked at every second. Nothing that the API server says is
//! quoted in an error.

mod api;
mod files;
#[cfg(test)]
mod for_tests;
#[cfg(test)]
mod tests;
mod watching;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::api::KubernetesServer;
use super::configured::{Fetch, Fetched};
use super::failed::Failed;
use super::source::Followed;
use super::{Ask, Asked};
use crate::config::{FileSet, KubernetesConnection};
use crate::telemetry::Clock;

/// Between two looks at what is mounted.
const LOOK: Duration = Duration::from_secs(1);

/// Kubernetes as what gives credentials.
pub struct KubernetesFetch {
    source: Arc<str>,
    server: Option<Arc<KubernetesServer>>,
    /// Where names are, unless a connection says another.
    namespace: Option<String>,
    watched: BTreeSet<(Option<String>, String)>,
    mounted: Mutex<FileSet>,
    moved: Arc<watch::Sender<u64>>,
    clock: Arc<dyn Clock>,
}

impl KubernetesFetch {
    /// A cluster under the name of its source, and what of it these connections are.
    pub fn new<'a>(
        source: &str,
        server: Option<KubernetesServer>,
        namespace: Option<&str>,
        connections: impl Iterator<Item = &'a KubernetesConnection>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (mut watched, mut mounted) = (BTreeSet::new(), Vec::new());
        for connection in connections {
            match connection {
                KubernetesConnection::Secret { namespace, name, .. } => {
                    watched.insert((namespace.clone(), name.clone()));
                }
                KubernetesConnection::TokenFile(file) => mounted.push(file.clone()),
                KubernetesConnection::Token { .. } => {}
            }
        }
        Self {
            source: source.into(),
            server: server.map(Arc::new),
            namespace: namespace.map(str::to_owned),
            watched,
            mounted: Mutex::new(FileSet::new(mounted)),
            moved: Arc::new(watch::Sender::new(0)),
            clock,
        }
    }

    async fn credentials(&self, place: &KubernetesConnection) -> Result<Fetched, Failed> {
        let server = || self.server.as_ref().ok_or_else(|| Failed::Unusable("no API server is known".to_owned()));
        match place {
            KubernetesConnection::Secret { namespace, name, fields } => {
                let fields = server()?.secret(&self.namespace(namespace)?, name, fields.as_ref()).await?;
                Ok(Fetched { fields, expires_at: None, refreshable: false })
            }
            KubernetesConnection::Token { namespace, service_account, audiences, expires_in } => {
                server()?.token(&self.namespace(namespace)?, service_account, audiences, *expires_in).await
            }
            KubernetesConnection::TokenFile(file) => {
                let file = file.clone();
                let read = tokio::task::spawn_blocking(move || files::token(&file)).await;
                read.map_err(|error| Failed::Unavailable(error.to_string()))?
            }
        }
    }

    fn namespace(&self, of_connection: &Option<String>) -> Result<String, Failed> {
        match of_connection.as_ref().or(self.namespace.as_ref()) {
            Some(namespace) => Ok(namespace.clone()),
            None => files::own_namespace(),
        }
    }

    async fn notice(&self) {
        let mut watchers = JoinSet::new();
        for (namespace, name) in &self.watched {
            let (Some(server), Ok(namespace)) = (&self.server, self.namespace(namespace)) else { continue };
            let (server, moved, clock) = (Arc::clone(server), Arc::clone(&self.moved), Arc::clone(&self.clock));
            let (source, name) = (Arc::clone(&self.source), name.clone());
            watchers.spawn(async move { watching::watch(&server, &source, &namespace, &name, &moved, &*clock).await });
        }
        loop {
            self.clock.sleep(LOOK).await;
            if self.mounted.lock().unwrap_or_else(PoisonError::into_inner).moved() {
                self.moved.send_modify(|moved| *moved += 1);
            }
        }
    }
}

impl Fetch for KubernetesFetch {
    type Place = KubernetesConnection;

    fn fetch<'a>(&'a self, place: &'a KubernetesConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async move { self.credentials(place).await.map_err(|failed| failed.of(&ask.connection)) })
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.moved.subscribe())
    }

    fn follow(&self) -> Followed<'_> {
        Box::pin(self.notice())
    }
}
