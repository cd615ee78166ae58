//! The sources of a configuration, each opened as what it is, and the routes to them.

use std::path::Path;
use std::sync::Arc;

use super::remote::{RemoteError, dialer, gateway_source, remote_source};
use crate::config::{
    Config, ConnectionAt, ConnectionConfig, Environment, KubernetesSource, SourceConfig, SourceKind, VaultSource,
};
use crate::dial::Caller;
use crate::lease::{
    AwsFetch, AzureFetch, Calls, CommandFetch, Configured, EnvironmentFetch, FileFetch, GithubAppFetch, GoogleFetch,
    KubernetesFetch, KubernetesServer, LeaseSource, NexusSource, Sources, SpiffeFetch, VaultFetch,
};
use crate::model::{Bindings, ConnectionName};
use crate::telemetry::Clock;

/// What is open already when the sources are put together.
#[derive(Default)]
pub struct Opened {
    /// The store in this process.
    pub embedded: Option<Arc<dyn LeaseSource>>,
    /// The only Authority service.
    pub service: Option<Arc<NexusSource>>,
    /// The variables of this process.
    pub environment: Environment,
}

/// Opens what is not open yet and adds all of it, behind what is there. A store that was not
/// opened is left out.
///
/// # Errors
/// A source that cannot be used as it is configured. None of them is asked yet.
pub fn add_sources(
    mut sources: Sources,
    config: &Config,
    opened: &Opened,
    clock: &Arc<dyn Clock>,
) -> Result<Sources, RemoteError> {
    let knowing = config.sources.iter().filter(|source| source.kind.knows_names()).count();
    for source in &config.sources {
        let Some(lender) = open(config, source, opened, clock)? else { continue };
        let routes = of(config, source).map(|(name, connection)| {
            let there = match &connection.at {
                ConnectionAt::Named(there) => there,
                _ => name,
            };
            (name.clone(), there.clone())
        });
        let rest = source.kind.knows_names() && knowing == 1;
        sources = sources.with(&source.name, Arc::clone(&lender), routes.collect::<Vec<_>>());
        if rest {
            sources = sources.rest_is_last();
        }
    }
    Ok(sources)
}

fn open(
    config: &Config,
    source: &SourceConfig,
    opened: &Opened,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<dyn LeaseSource>>, RemoteError> {
    let name = &source.name;
    Ok(Some(match &source.kind {
        SourceKind::Embedded(_) => return Ok(opened.embedded.clone()),
        SourceKind::Nexus(remote) => match &opened.service {
            Some(service) if config.remote.as_ref() == Some(remote) => Arc::clone(service) as Arc<dyn LeaseSource>,
            _ => remote_source(config, remote, Arc::clone(clock))?,
        },
        SourceKind::Gateway(gateway) => {
            let there = of(config, source).filter_map(|(name, connection)| match &connection.at {
                ConnectionAt::Gateway(there) => Some((name.clone(), there.clone())),
                _ => None,
            });
            gateway_source(config, gateway, there.collect(), Arc::clone(clock))?
        }
        SourceKind::File(_) => {
            let there = places(config, source, |at| match at {
                ConnectionAt::File(contract, there) => Some((contract, there)),
                _ => None,
            });
            let fetch = FileFetch::new(there.iter().map(|(.., there)| there), Arc::clone(clock));
            Arc::new(Configured::new(name, fetch, there))
        }
        SourceKind::Environment => {
            let there = places(config, source, |at| match at {
                ConnectionAt::Environment(contract, there) => Some((contract, there)),
                _ => None,
            });
            let fetch = EnvironmentFetch::new(there.iter().map(|(.., there)| there), &opened.environment);
            Arc::new(Configured::new(name, fetch, there))
        }
        SourceKind::Command(settings) => {
            let there = places(config, source, |at| match at {
                ConnectionAt::Command(contract, there) => Some((contract, there)),
                _ => None,
            });
            let fetch = CommandFetch::new(settings, opened.environment.clone(), Arc::clone(clock));
            Arc::new(Configured::new(name, fetch, there))
        }
        SourceKind::Kubernetes(cluster) => self::kubernetes(config, source, cluster, clock)?,
        SourceKind::Spiffe(agent) => {
            let there = places(config, source, |at| match at {
                ConnectionAt::Spiffe(contract, there) => Some((contract, there)),
                _ => None,
            });
            Arc::new(Configured::new(name, SpiffeFetch::new(&agent.socket, config.timeouts.lease), there))
        }
        SourceKind::Vault(vault) => self::vault(config, source, vault, clock)?,
        SourceKind::GithubApp(_) | SourceKind::Aws(_) | SourceKind::Google(_) | SourceKind::Azure(_) => {
            return cloud(config, source, clock);
        }
    }))
}

fn kubernetes(
    config: &Config,
    source: &SourceConfig,
    cluster: &KubernetesSource,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn LeaseSource>, RemoteError> {
    let there = places(config, source, |at| match at {
        ConnectionAt::Kubernetes(contract, there) => Some((contract, there)),
        _ => None,
    });
    // A pod that mounts all it needs may be without the files of the API server.
    let asked = there.iter().any(|(.., there)| there.asks());
    let server = match cluster.api.as_ref().filter(|_| asked) {
        Some(api) => {
            let dialer = dialer(config, api.ca_file.as_deref())?;
            Some(KubernetesServer::new(api, dialer, config.timeouts.lease))
        }
        None => None,
    };
    let connections = there.iter().map(|(.., there)| there);
    let namespace = cluster.namespace.as_deref();
    let fetch = KubernetesFetch::new(&source.name, server, namespace, connections, Arc::clone(clock));
    Ok(Arc::new(Configured::new(&source.name, fetch, there)))
}

fn vault(
    config: &Config,
    source: &SourceConfig,
    vault: &VaultSource,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn LeaseSource>, RemoteError> {
    let there = places(config, source, |at| match at {
        ConnectionAt::Vault(contract, there) => Some((contract, there)),
        _ => None,
    });
    let dialer = dialer(config, vault.ca_file.as_deref())?;
    let fetch = VaultFetch::new(&source.name, vault, dialer, config.timeouts.lease, Arc::clone(clock));
    Ok(Arc::new(Configured::new(&source.name, fetch, there)))
}

fn cloud(
    config: &Config,
    source: &SourceConfig,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<dyn LeaseSource>>, RemoteError> {
    let name = &source.name;
    Ok(Some(match &source.kind {
        SourceKind::GithubApp(there) => {
            let fetch = GithubAppFetch::new(there, calls(config, there.ca_file.as_deref(), clock)?);
            let places = places(config, source, |at| match at {
                ConnectionAt::GithubApp(contract, there) => Some((contract, there)),
                _ => None,
            });
            Arc::new(Configured::new(name, fetch, places))
        }
        SourceKind::Aws(there) => {
            let fetch = AwsFetch::new(there, calls(config, there.ca_file.as_deref(), clock)?);
            let places = places(config, source, |at| match at {
                ConnectionAt::Aws(contract, there) => Some((contract, there)),
                _ => None,
            });
            Arc::new(Configured::new(name, fetch, places))
        }
        SourceKind::Google(there) => {
            let fetch = GoogleFetch::new(there, calls(config, there.ca_file.as_deref(), clock)?);
            let places = places(config, source, |at| match at {
                ConnectionAt::Google(contract, there) => Some((contract, there)),
                _ => None,
            });
            Arc::new(Configured::new(name, fetch, places))
        }
        SourceKind::Azure(there) => {
            let fetch = AzureFetch::new(there, calls(config, there.ca_file.as_deref(), clock)?);
            let places = places(config, source, |at| match at {
                ConnectionAt::Azure(contract, there) => Some((contract, there)),
                _ => None,
            });
            Arc::new(Configured::new(name, fetch, places))
        }
        _ => return Ok(None),
    }))
}

/// The way to a cloud, within the time that a lease may take.
fn calls(config: &Config, ca_file: Option<&Path>, clock: &Arc<dyn Clock>) -> Result<Calls, RemoteError> {
    let caller = Caller::for_operator(dialer(config, ca_file)?).within(config.timeouts.lease);
    Ok(Calls::new(caller, Arc::clone(clock)))
}

fn of<'a>(
    config: &'a Config,
    source: &'a SourceConfig,
) -> impl Iterator<Item = (&'a ConnectionName, &'a ConnectionConfig)> {
    config.connections.iter().filter(|(_, connection)| connection.source == source.name)
}

/// The connections of a source whose contract stands in the configuration.
fn places<P: Clone>(
    config: &Config,
    source: &SourceConfig,
    place: impl Fn(&ConnectionAt) -> Option<(&Bindings, &P)>,
) -> Vec<(ConnectionName, Bindings, P)> {
    let all = of(config, source).filter_map(|(name, connection)| {
        let (contract, there) = place(&connection.at)?;
        Some((name.clone(), contract.clone(), there.clone()))
    });
    all.collect()
}
