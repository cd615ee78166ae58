//! `proxy`: the long-running sidecar. The steps stand in [`execute`], in their order.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, finish};
use super::stop::Stop;
use super::{environment, exit, harden, remote, start};
use crate::app::{self, Bound, Ground, Narrowing, Parts, PushedPolicy, Reloader};
use crate::audit::Audit;
use crate::config::Config;
use crate::identity::Gate;
use crate::lease::{LeaseSource, NexusSource, Sources};
use crate::policy::Policy;
use crate::telemetry::{Clock, Metrics, SystemClock};
use crate::tls::{Ca, CaError};

pub(super) mod passwords;
mod reload;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar proxy --config nexus-sidecar.yaml
  nexus-sidecar doctor --config nexus-sidecar.yaml      whether it would start, and what to mend

Signals: SIGTERM and SIGINT drain what is alive, a second one ends at once;
SIGHUP looks for changed files at once.";

/// Serve agents until told to stop
///
/// Files of the configuration and the policy are followed while it runs: a set that is valid as a
/// whole is taken, one with an error is logged and the old one stays.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Serves, and answers the exit code.
pub(super) fn run(args: Args) -> ExitCode {
    finish(execute(&args))
}

fn execute(args: &Args) -> Result<ExitCode, Failure> {
    environment::check(std::env::vars_os())?;
    harden::harden()?;
    let config = start::config(Some(&args.config))?;
    start::log_to_stderr(&config.log)?;
    config.check_for_proxy().map_err(|problems| Failure::invalid(&problems))?;
    let gate = gate(&config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let remote = remote::source(&config, &clock)?;
    let (policy, pushed) = policy(&config, remote.as_ref())?;
    let ground = start::ground(&config)?;
    let (embedded, ca, renew) = match config.is_embedded() {
        true => authority(&config, Some(&ground), &clock).map(|(source, ca, renew)| (Some(source), ca, renew))?,
        false => kept_ca(&config, &clock).map(|(ca, renew)| (None, ca, renew))?,
    };
    let sources = start::with_sources(Sources::new(), &config, embedded, remote, &clock)?;
    let audit = Audit::open(&config.audit, Arc::clone(&clock)).map_err(|error| Failure::because(&error))?;
    let parts = Parts {
        config,
        policy,
        gate: Arc::new(gate),
        ca,
        sources,
        audit,
        metrics: Arc::new(Metrics::new()),
        clock,
        on_refusal: None,
    };
    let audit = parts.audit.clone();
    let ended = start::block_on(serve(ground, parts, Kept { file: args.config.clone(), renew, pushed }));
    audit.close().map_err(|error| Failure::because(&error))?;
    ended?;
    tracing::info!("stopped");
    Ok(ExitCode::from(exit::OK))
}

/// The rules to start with, and what follows them where they are the Authority's.
fn policy(config: &Config, remote: Option<&Arc<NexusSource>>) -> Result<(Policy, Option<PushedPolicy>), Failure> {
    let Some(started) = remote::policy(config, remote)? else {
        return Ok((start::load_policy(config, &Narrowing::of(config))?, None));
    };
    if let Some(warning) = &started.warning {
        tracing::warn!(reason = warning, "starting with an older policy");
    }
    tracing::info!(policy = %started.policy.version(), "the Authority's policy was taken");
    Ok((started.policy, Some(started.pushed)))
}

/// Between two looks at the CA: it lives for days.
const CA_CHECK: Duration = Duration::from_secs(3600);

/// Reads the CA again; its successor is made and taken ahead of its end.
type Renew = Box<dyn Fn() -> Result<Ca, CaError> + Send>;

/// Where credentials come from, the CA, and how the CA is renewed, if it is kept.
type Lending = (Arc<dyn LeaseSource>, Ca, Option<Renew>);

/// The store, whose connections are renewed where there is a way out, and the CA, whose key is sealed
/// under the store's.
#[cfg(feature = "authority")]
fn authority(config: &Config, ground: Option<&Ground>, clock: &Arc<dyn Clock>) -> Result<Lending, Failure> {
    Ca::check_dir(&config.ca_dir).map_err(|error| Failure::because(&error))?;
    let mut authority = super::store::open(&config.authority, Arc::clone(clock))?;
    if let Some(ground) = ground {
        authority = authority.calling_through(ground.caller(config));
    }
    let source = authority.source();
    let (directory, clock) = (config.ca_dir.clone(), Arc::clone(clock));
    let renew = move || Ca::load_or_make(&directory, authority.ca_sealer(), clock.wall());
    let ca = renew().map_err(|error| Failure::because(&error))?;
    Ok((source, ca, Some(Box::new(renew))))
}

/// This build has no store: no connections, and a CA that ends with the process.
#[cfg(not(feature = "authority"))]
fn authority(_config: &Config, _: Option<&Ground>, clock: &Arc<dyn Clock>) -> Result<Lending, Failure> {
    let ca = Ca::ephemeral(clock.wall()).map_err(|error| Failure::because(&error))?;
    Ok((Arc::new(crate::lease::MemorySource::new([])), ca, None))
}

/// The CA alone, where connections are a service's: kept as it is beside a store, and sealed under
/// the same master key.
#[cfg(feature = "authority")]
fn kept_ca(config: &Config, clock: &Arc<dyn Clock>) -> Result<(Ca, Option<Renew>), Failure> {
    Ca::check_dir(&config.ca_dir).map_err(|error| Failure::because(&error))?;
    let sealer = super::store::ca_sealer(&config.authority)?;
    let (directory, clock) = (config.ca_dir.clone(), Arc::clone(clock));
    let renew = move || Ca::load_or_make(&directory, &sealer, clock.wall());
    let ca = renew().map_err(|error| Failure::because(&error))?;
    Ok((ca, Some(Box::new(renew))))
}

/// This build seals no CA: one that ends with the process.
#[cfg(not(feature = "authority"))]
fn kept_ca(_config: &Config, clock: &Arc<dyn Clock>) -> Result<(Ca, Option<Renew>), Failure> {
    let ca = Ca::ephemeral(clock.wall()).map_err(|error| Failure::because(&error))?;
    Ok((ca, None))
}

/// The CA of a configuration that is kept, for whoever needs nothing else of it.
#[cfg(feature = "authority")]
pub(super) fn ca(config: &Config, clock: &Arc<dyn Clock>) -> Result<Ca, Failure> {
    match config.is_embedded() {
        true => authority(config, None, clock).map(|(_, ca, _)| ca),
        false => kept_ca(config, clock).map(|(ca, _)| ca),
    }
}

/// The gate of the agents that a configuration names.
fn gate(config: &Config) -> Result<Gate, Failure> {
    Ok(Gate::named(passwords::read(&config.agents)?, config.anonymous))
}

/// What is looked after while it serves.
struct Kept {
    file: PathBuf,
    renew: Option<Renew>,
    pushed: Option<PushedPolicy>,
}

/// Serves until a signal, and drains.
async fn serve(ground: Ground, parts: Parts, kept: Kept) -> Result<(), Failure> {
    let stop = Stop::listen()?;
    let Kept { file, renew, pushed } = kept;
    let metrics = Arc::clone(&parts.metrics);
    let follower = reload::Follower::new(file, &parts.config, &parts.metrics)?;
    let bound = app::bind_on(ground, parts).map_err(|error| Failure::because(&error))?;
    announce(&bound);
    let following = tokio::spawn(follower.follow(bound.reloader()));
    let pushed = pushed.map(|pushed| tokio::spawn(pushed.follow(bound.reloader(), metrics)));
    let renewing = tokio::spawn(renew_ca(renew, bound.reloader()));
    let ended = stop.serve(|asked| bound.run(async { drop(asked.await) })).await;
    following.abort();
    renewing.abort();
    pushed.inspect(|pushed| pushed.abort());
    ended.map(drop)
}

/// Looks after the CA for as long as the service runs: its successor is published ten days ahead
/// and taken in its last day.
async fn renew_ca(renew: Option<Renew>, reloader: Reloader) {
    let Some(renew) = renew else { return };
    loop {
        tokio::time::sleep(CA_CHECK).await;
        match renew() {
            Ok(ca) => reloader.ca(ca),
            Err(error) => tracing::error!(%error, "the CA could not be renewed; the current one is used until it ends"),
        }
    }
}

fn announce(bound: &Bound) {
    tracing::info!(proxy = ?bound.proxy(), admin = ?bound.admin(), health = ?bound.health(), "listening");
}
