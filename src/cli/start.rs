//! What `run` and `proxy` do alike before they serve.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;

use super::failure::Failure;
use crate::app::{self, Ground, Narrowing, Opened};
use crate::config::{
    Catalogue, Config, Document, Environment, LogConfig, LogFormat, SetName, SetNameError, load_documents,
};
use crate::lease::{LeaseSource, MemoryConnection, MemorySource, NexusSource, Sources};
use crate::model::ConnectionName;
use crate::policy::Policy;
use crate::telemetry::{self, Clock, LogSettings, Sink};

/// Threads that serve, at most: two keep each other company while one signs, and cost little.
const WORKERS: usize = 2;

/// A thread that is stuck in a system call is not waited for longer than this.
const GOOD_BYE: Duration = Duration::from_millis(500);

/// How a connection is made for the first time.
#[cfg(feature = "authority")]
const CONNECTION: &str = "nexus-sidecar connection add github";
#[cfg(not(feature = "authority"))]
const CONNECTION: &str = "nexus-sidecar run --field github.token=env:PAT --use github/read@1 -- CMD";

/// Shown to whoever starts without a policy.
const EXAMPLE: &str = "\
A permission set needs no file:

  nexus-sidecar run --use github/read@1 -- CMD

A policy that says the same:

  version: 1
  rules:
    - use: github/read@1

Both borrow a connection:";

/// Starts the log on standard error.
pub(super) fn log_to_stderr(config: &LogConfig) -> Result<(), Failure> {
    init_log(config, Sink::Stderr)
}

/// Starts the log in a file, appended to and readable by its owner alone. Answers its path.
pub(super) fn log_to_file(named: Option<&Path>, config: &LogConfig) -> Result<PathBuf, Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => Environment::of_process()
            .state_dir()
            .ok_or_else(|| Failure::usage("there is no HOME to keep a log in: name one with --log"))?
            .join("run.log"),
    };
    let file = open_log(&path, named.is_none())
        .map_err(|error| Failure::failed(format!("cannot open the log {}: {error}", path.display())))?;
    init_log(config, Sink::File(file))?;
    Ok(path)
}

fn init_log(config: &LogConfig, sink: Sink) -> Result<(), Failure> {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let settings = LogSettings { json: config.format == LogFormat::Json, level: config.level.clone(), colour };
    telemetry::init(&settings, sink).map_err(|error| Failure::invalid(&error))
}

fn open_log(path: &Path, make_folder: bool) -> io::Result<fs::File> {
    if let Some(folder) = path.parent().filter(|_| make_folder) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Compiles the policy files that were named and the permission sets after them; without either,
/// the configuration's, else the user's.
pub(super) fn policy(named: &[PathBuf], sets: &[SetName], config: &Config) -> Result<Policy, Failure> {
    if named.is_empty() && sets.is_empty() {
        return Policy::compile(documents(config)?).map_err(|problems| Failure::invalid(&problems));
    }
    app::load_policy_and_sets(named, sets).map_err(|problems| Failure::invalid(&problems))
}

/// The documents of the configuration's policy, else of the user's own: files, or what was kept of
/// the Authority's.
pub(super) fn documents(config: &Config) -> Result<Vec<Document>, Failure> {
    if let Some(kept) = super::remote::kept_document(config)? {
        return Ok(vec![kept]);
    }
    load_documents(&policy_files(config)?).map_err(|problems| Failure::invalid(&problems))
}

/// Reads the name of a permission set that there is.
pub(super) fn permission_set(text: &str) -> Result<SetName, SetNameError> {
    let name = SetName::parse(text)?;
    Catalogue::built_in().set(&name).map(|_| name)
}

/// Finds the policy files of the configuration, else the user's own, never the working directory's.
pub(super) fn policy_files(config: &Config) -> Result<Vec<PathBuf>, Failure> {
    if !config.policy.is_empty() {
        return Ok(config.policy.clone());
    }
    let environment = Environment::of_process();
    if let Some(own) = environment.policy_file() {
        return Ok(vec![own]);
    }
    let place = environment.config_dir().map(|folder| format!("write {}, or ", folder.join("policy.yaml").display()));
    Err(Failure::usage(format!(
        "there is no policy, so that nothing would be allowed: {}name one with --policy\n\n{EXAMPLE}\n\n  {CONNECTION}\n",
        place.unwrap_or_default()
    )))
}

/// Reads and compiles the policy files of a configuration as one set, whose leases the sources of
/// the sidecar can narrow as it says.
pub(super) fn load_policy(config: &Config, narrowing: &Narrowing) -> Result<Policy, Failure> {
    let policy = app::load_policy(&config.policy).and_then(|policy| narrowing.check(&policy).map(|()| policy));
    policy.map_err(|problems| Failure::invalid(&problems))
}

/// Opens the sockets and reads the roots, before anything is made on disk.
pub(super) fn ground(config: &Config) -> Result<Ground, Failure> {
    Ground::open(config).map_err(|error| Failure::because(&error))
}

/// 32 random bytes.
pub(super) fn random_password() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Failure::failed("the system gives no random bytes"))?;
    Ok(bytes)
}

/// Runs a future on a runtime of its own. What is left of its tasks is dropped before this returns,
/// so that an audit that is closed afterwards has an outcome for each.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // On a single CPU a second thread only takes turns with the first.
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS.min(cpus))
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(GOOD_BYE);
    result
}

/// Reads the configuration that was named, else the user's own, else the defaults.
pub(super) fn config(named: Option<&Path>) -> Result<Config, Failure> {
    Config::find(named, &Environment::of_process()).map_err(|problems| Failure::invalid(&problems))
}

/// Where the credentials of a run come from: memory, then the sources. A policy that borrows from
/// the store makes it, so that a connection that is added while the command runs is found.
pub(super) fn sources(
    config: &Config,
    policy: &Policy,
    held: Vec<MemoryConnection>,
    service: Option<Arc<NexusSource>>,
    ground: &Ground,
    clock: &Arc<dyn Clock>,
) -> Result<Sources, Failure> {
    let held_here = |name: &ConnectionName| held.iter().any(|connection| connection.name == *name);
    let borrows_more = policy.connections().iter().any(|(name, _)| !held_here(name));
    let embedded = match config.is_embedded() {
        true => embedded(config, borrows_more, held.is_empty(), ground, Arc::clone(clock))?,
        false => None,
    };
    let mut sources = Sources::new();
    if !held.is_empty() {
        let names: Vec<_> = held.iter().map(|held| (held.name.clone(), held.name.clone())).collect();
        sources = sources.with("this run", Arc::new(MemorySource::new(held)), names);
    }
    // The events of a service are followed for the policy too, which may borrow more tomorrow.
    if !borrows_more && !config.policy_of_authority {
        return Ok(sources);
    }
    with_sources(sources, config, embedded, service, clock)
}

/// The sources of a configuration, behind those that are there.
pub(super) fn with_sources(
    sources: Sources,
    config: &Config,
    embedded: Option<Arc<dyn LeaseSource>>,
    service: Option<Arc<NexusSource>>,
    clock: &Arc<dyn Clock>,
) -> Result<Sources, Failure> {
    let opened = Opened { embedded, service, environment: Environment::of_process() };
    app::add_sources(sources, config, &opened, clock).map_err(|error| Failure::because(&error))
}

#[cfg(feature = "authority")]
fn embedded(
    config: &Config,
    borrows_more: bool,
    nothing_held: bool,
    ground: &Ground,
    clock: Arc<dyn Clock>,
) -> Result<Option<Arc<dyn LeaseSource>>, Failure> {
    let looks = nothing_held && crate::authority::Authority::has_store(&config.authority);
    if !borrows_more && !looks {
        return Ok(None);
    }
    let authority = super::store::open(&config.authority, clock)?.calling_through(ground.caller(config));
    Ok(Some(authority.source()))
}

/// This build has no store.
#[cfg(not(feature = "authority"))]
fn embedded(
    _: &Config,
    _: bool,
    _: bool,
    _: &Ground,
    _: Arc<dyn Clock>,
) -> Result<Option<Arc<dyn LeaseSource>>, Failure> {
    Ok(None)
}
