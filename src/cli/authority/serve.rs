//! `authority serve`: the steps stand in [`execute`], in their order.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::refused;
use crate::app;
use crate::authority::api::{Service, ServiceGround};
use crate::cli::failure::{Failure, say};
use crate::cli::stop::Stop;
use crate::cli::{environment, exit, harden, start, store};
use crate::config::Config;
use crate::dial::{DialSettings, Dialer};
use crate::telemetry::{Clock, SystemClock};
use crate::tls::{Roots, RootsError};

const EXAMPLES: &str = "\
Configuration, with what is used where it is left out:
  version: 1
  authority:
    listen: 127.0.0.1:14110             # one address or a list
    # key: { file: key }                # the store's: or env, fd, passphrase, command
    # other_keys: [ { file: old.key } ] # what some of it may be sealed under: see rotate-key
    # tls: { cert_file: tls.crt, key_file: tls.key, client_ca_file: clients.crt }
    # issuers:                          # signed tokens (JWT), by the keys of who issued them
    #   - issuer: https://kubernetes.default.svc
    #     audience: nexus
    #     jwks_url: https://kubernetes.default.svc/openid/v1/jwks     # or jwks_file: jwks.json
    #     ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    #     bearer_file: /var/run/secrets/kubernetes.io/serviceaccount/token
    #     claims: { /kubernetes.io/namespace: agents, sub: \"system:serviceaccount:agents:*\" }
    #     scope: sidecar                # or admin, lease with connections, app, agent
    #     agent_from: /kubernetes.io/serviceaccount/name    # or agents: [triage-bot]
    # clients:                          # certificates that client_ca_file vouches for
    #   - { san: spiffe://cluster.local/ns/agents/sa/bot, scope: sidecar, agents: [bot] }
    # cleartext: true                   # without TLS, an address that others reach needs this
    limits:
      rate: 6000/minute                 # of one caller
      leases: 1200000/minute            # of one caller
      unauthenticated: 600/minute       # of one address
      connections: 4096

Examples:
  nexus-sidecar authority serve
  nexus-sidecar authority serve --config nexus-sidecar.yaml
  curl http://127.0.0.1:14110/health
  curl http://127.0.0.1:14110/openapi.json

Signals: SIGTERM and SIGINT answer what is under way, a second one ends at once.";

/// Serve the Authority over HTTP until told to stop
///
/// The store and its key are made on first use, and so is the first API key, an administrator's: it
/// says in which file. Every call but /health and /openapi.json needs a key, or what the configuration
/// admits beside them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {}

/// Serves, and answers the exit code.
pub(super) fn execute(config: Option<&Path>, _: &Args) -> Result<ExitCode, Failure> {
    environment::check(std::env::vars_os())?;
    harden::harden()?;
    let config = start::config(config)?;
    start::log_to_stderr(&config.log)?;
    config.check_for_authority().map_err(|problems| Failure::invalid(&problems))?;
    let ground = ServiceGround::open(&config.service).map_err(|error| Failure::because(&error))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let caller = app::caller(&config).map_err(|error| Failure::because(&error))?;
    let authority = store::open(&config.authority, clock)?.calling_through(caller);
    if let Some(file) = authority.first_key(&config.authority.data_dir).map_err(|error| refused(&error))? {
        say(&format!("made the first key, an administrator's: it is in {}", file.display()));
    }
    authority.start_workers();
    let service = Service::new(ground, authority, &|ca_file| dialer(&config, ca_file));
    start::block_on(serve(service.map_err(|error| Failure::because(&error))?))?;
    tracing::info!("stopped");
    Ok(ExitCode::from(exit::OK))
}

/// What fetches the keys of issuers.
fn dialer(config: &Config, ca_file: Option<&Path>) -> Result<Arc<Dialer>, RootsError> {
    let roots = match ca_file {
        Some(file) => Roots::of_file(file)?,
        None => Roots::load(&config.upstream.ca_files)?,
    };
    let settings = DialSettings { hosts: config.upstream.hosts.clone(), timeout: config.timeouts.connect };
    Ok(Arc::new(Dialer::new(settings, Arc::new(roots))))
}

async fn serve(service: Service) -> Result<(), Failure> {
    let stop = Stop::listen()?;
    tracing::info!(authority = ?service.addresses(), "listening");
    let ended = stop.serve(|asked| service.run(async { drop(asked.await) })).await?;
    ended.unwrap_or(Ok(())).map_err(|error| Failure::because(&error))
}
