//! `run`: a sidecar for one command. The steps stand in [`execute`], in their order.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use self::child::Signals;
use self::fields::InMemory;
use self::summary::{Tally, Terminal};
use super::client::trust::{Sources, Trust};
use super::client::variables::{self, Child};
use super::client::{Given, VARIABLES, Withheld, java};
use super::failure::{Failure, finish, say};
use super::{environment, harden, remote, start};
use crate::app::{self, Bound, Ground, Narrowing, Parts, PushedPolicy};
use crate::audit::Audit;
use crate::config::{ANONYMOUS, Config, Listen, Provider, SetName};
use crate::identity::Gate;
use crate::lease::NexusSource;
use crate::model::Secret;
use crate::policy::Policy;
use crate::telemetry::{Clock, Metrics, SystemClock};
use crate::tls::Ca;

mod child;
mod fields;
mod summary;

/// What is still alive when the command has ended is not waited for longer than this.
const LONGEST_DRAIN: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar run --use github/read@1 -- curl https://api.github.com/user
  nexus-sidecar run --use github/read@1 --field github.token=env:PAT -- git fetch
      nothing of PAT on disk, and nothing of it in the command's environment
  nexus-sidecar run --policy policy.yaml --agent triage-bot -- python agent.py
  nexus-sidecar run --no-proxy localhost -- npm test
  nexus-sidecar run --keep SSH_AUTH_SOCK -- git push
      leaves the SSH agent to the command: it signs for whoever asks";

/// Run a command whose requests get their credentials on the way out
///
/// Starts a sidecar on a free port of this machine, sets the proxy and CA variables of the
/// command, and ends with it. The command gets no open file, no NEXUS_* variable and no credential
/// of your environment: what was withheld is said once. Where the policy puts a provider's
/// credentials on, its variables hold placeholders of the right shape. Configuration and policy are
/// read once, before the command starts, and never from the working directory; a policy of the
/// Authority is followed, since the command cannot write it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration [default: nexus-sidecar/nexus-sidecar.yaml in $XDG_CONFIG_HOME, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy, instead of those of the configuration; may be given several times, tried in order
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// A permission set to allow, such as github/read@1; may be given several times
    ///
    /// It needs no file: without --policy, the sets alone are the policy, and no other is read.
    /// Beside --policy, they are tried after it.
    #[arg(long = "use", value_name = "PROVIDER/SET@V", value_parser = start::permission_set)]
    sets: Vec<SetName>,
    /// A field of a connection in memory, for this run alone; may be given several times
    ///
    /// SOURCE is env:VARIABLE, which the command then does not get, @FILE, or - (one line of
    /// standard input). Such a connection stands before one of its name in the store.
    #[arg(long = "field", value_name = "CONNECTION.FIELD=SOURCE")]
    fields: Vec<String>,
    /// The name that the policy's rules know the command by
    #[arg(long, value_name = "NAME", default_value = "agent", value_parser = agent_name)]
    pub(super) agent: String,
    /// A host that the command reaches without the sidecar; may be given several times
    #[arg(long, value_name = "HOST", value_parser = no_proxy_host)]
    no_proxy: Vec<String>,
    /// A variable that the command inherits although it is a credential; may be given several times
    #[arg(long, value_name = "VAR")]
    keep: Vec<String>,
    /// Where the log goes [default: nexus-sidecar/run.log in $XDG_STATE_HOME]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

/// Runs the command and answers its exit code.
pub(super) fn run(args: Args) -> ExitCode {
    finish(execute(args))
}

fn execute(args: Args) -> Result<ExitCode, Failure> {
    environment::check(std::env::vars_os())?;
    let hardened = harden::harden()?;
    child::adopt_orphans()?;
    let mut config = for_one_command(start::config(args.config.as_deref())?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let remote = remote::source(&config, &clock)?;
    let (policy, mut pushed) = policy(&args, &config, remote.as_ref())?;
    // With a policy of its own, it goes by that to its end.
    config.policy_of_authority = pushed.is_some();
    let InMemory { connections, variables: mut sources } = fields::read(&args.fields, &policy)?;
    let narrowing = Narrowing::of(&config).holding(connections.iter().map(|held| &held.name));
    narrowing.check(&policy).map_err(|problems| Failure::invalid(&problems))?;
    pushed.iter_mut().for_each(|pushed| pushed.narrowed_by(narrowing.clone()));
    sources.extend(config.variables());
    let withheld = Withheld::new(args.keep.clone(), sources)?;
    let ground = start::ground(&config)?;
    let log = start::log_to_file(args.log.as_deref(), &config.log)?;
    // What is in memory goes by the rules' name for it.
    connections.iter().for_each(|held| drop(config.connections.remove(&held.name)));
    let sources = start::sources(&config, &policy, connections, remote, &ground, &clock)?;
    let ca = Ca::ephemeral(clock.wall()).map_err(|error| Failure::because(&error))?;
    let audit = Audit::open(&config.audit, Arc::clone(&clock)).map_err(|error| Failure::because(&error))?;
    let password = start::random_password()?;
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    let providers = policy.providers_of(&args.agent);
    let of_why = flags_of_why(&args);
    let run = Run { args, withheld, providers, hardened, password: hex::encode(password) };
    let parts = Parts {
        config,
        policy,
        gate: Arc::new(Gate::for_run(&run.args.agent, Secret::new(run.password.as_bytes()))),
        ca,
        sources,
        audit,
        metrics: Arc::new(Metrics::new()),
        clock,
        on_refusal: Some(Box::new(move |refused, destination, trace| counted.add(refused, destination, trace))),
    };
    let audit = parts.audit.clone();
    let terminal = Terminal::now();
    let ended = start::block_on(run.beside(ground, parts, pushed));
    let closed = audit.close().map_err(|error| Failure::because(&error));
    if let Some(text) = tally.text(&of_why) {
        if terminal.is_taken() {
            tracing::warn!(summary = text, "the terminal is another's: this was to be said there");
        } else {
            say(&format!("{text}\n  the log is {}", log.display()));
        }
    }
    let code = ended?;
    closed?;
    Ok(ExitCode::from(code))
}

/// The rules to start with, and what follows them where they are the Authority's: the command
/// cannot edit those.
fn policy(
    args: &Args,
    config: &Config,
    remote: Option<&Arc<NexusSource>>,
) -> Result<(Policy, Option<PushedPolicy>), Failure> {
    let named = !args.policy.is_empty() || !args.sets.is_empty();
    match remote::policy(config, remote.filter(|_| !named))? {
        None => Ok((start::policy(&args.policy, &args.sets, config)?, None)),
        Some(started) => {
            if let Some(warning) = &started.warning {
                say(&format!("warning: {warning}"));
            }
            Ok((started.policy, Some(started.pushed)))
        }
    }
}

/// What the command needs beside the sidecar's own parts.
struct Run {
    args: Args,
    withheld: Withheld,
    providers: Vec<&'static Provider>,
    hardened: harden::Hardened,
    password: String,
}

impl Run {
    /// Serves while the command runs; answers its exit code. Nothing is left behind, whatever
    /// signal comes.
    async fn beside(self, ground: Ground, parts: Parts, pushed: Option<PushedPolicy>) -> Result<u8, Failure> {
        let mut signals =
            Signals::listen().map_err(|error| Failure::failed(format!("cannot listen to signals: {error}")))?;
        let (gate, metrics) = (Arc::clone(&parts.gate), Arc::clone(&parts.metrics));
        let bound = app::bind_on(ground, parts).map_err(|error| Failure::because(&error))?;
        let trust = Self::trust(&bound)?;
        let proxy = *bound.proxy().first().ok_or_else(|| Failure::failed("the sidecar has no address"))?;
        let following = pushed.map(|pushed| tokio::spawn(pushed.follow(bound.reloader(), metrics)));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(bound.run(async {
            let _ = stopped.await;
        }));
        let ended = self.attend(&gate, proxy, &trust, &mut signals).await;
        drop(trust);
        following.inspect(|following| following.abort());
        let _ = stop.send(());
        tokio::select! {
            _ = serving => {}
            () = signals.interrupted() => {}
        }
        ended
    }

    /// Starts the command and waits for its end.
    async fn attend(
        &self,
        gate: &Gate,
        proxy: SocketAddr,
        trust: &Trust,
        signals: &mut Signals,
    ) -> Result<u8, Failure> {
        let Child { environment, taken } = self.environment(proxy, trust);
        self.say_withheld(&taken);
        let pid = child::start(&self.args.command, &environment)?;
        drop(environment);
        gate.started(pid.as_raw_pid().unsigned_abs());
        self.hardened.release(pid);
        tracing::info!(pid = pid.as_raw_pid(), agent = self.args.agent, "the command was started");
        let status = child::wait(pid, signals)
            .await
            .map_err(|error| Failure::failed(format!("cannot wait for the command: {error}")))?;
        let code = child::exit_code(status);
        tracing::info!(code, "the command has ended");
        Ok(code)
    }

    /// The whole environment of the command.
    fn environment(&self, proxy: SocketAddr, trust: &Trust) -> Child {
        let inherited = std::env::vars_os().collect();
        let callers_java = self.withheld.passes(&inherited, "JAVA_TOOL_OPTIONS");
        let host = proxy.ip().to_string();
        let given = Given {
            proxy: &format!("http://{}:{}@{proxy}", self.args.agent, self.password),
            no_proxy: &self.args.no_proxy.join(","),
            files: trust.paths(),
            java: &java::options(
                callers_java.as_deref(),
                (&host, proxy.port()),
                &self.args.no_proxy,
                trust.paths().java(),
            ),
            providers: &self.providers,
        };
        for variable in VARIABLES {
            tracing::debug!(name = variable.name, reason = variable.reason, "a variable of the command");
        }
        variables::for_child(inherited, &given, &self.withheld)
    }

    /// Says once, by name, what the command does not inherit, and what was to be kept in vain.
    fn say_withheld(&self, taken: &[String]) {
        for name in self.withheld.not_set(&std::env::vars_os().collect()) {
            say(&format!("note: --keep {name}: it is not set"));
        }
        if !taken.is_empty() {
            let advice = if self.withheld.could_keep(taken) { " (--keep NAME passes one on)" } else { "" };
            say(&format!("withheld from the command: {}{advice}", taken.join(", ")));
        }
    }

    fn trust(bound: &Bound) -> Result<Trust, Failure> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let sources = Sources {
            roots: &bound.roots_pem(),
            callers: variables::callers_certificates(&std::env::vars_os().collect()),
            own: &bound.trust_pem(),
            wgetrc: variable("WGETRC").or_else(|| Some(variable("HOME")?.join(".wgetrc"))),
        };
        Trust::write(variable("XDG_RUNTIME_DIR").as_deref(), &sources)
    }
}

/// What `why` needs to find the audit and the policy of this run.
fn flags_of_why(args: &Args) -> String {
    let files = args.config.iter().map(|file| ("config", file.display().to_string()));
    let files = files.chain(args.policy.iter().map(|file| ("policy", file.display().to_string())));
    let sets = args.sets.iter().map(|set| ("use", set.to_string()));
    files.chain(sets).map(|(flag, value)| format!(" --{flag} {}", quoted(&value))).collect()
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@+=:,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The configuration with what `run` decides itself: one free port, nothing else listens, and no
/// long good-bye.
fn for_one_command(mut config: Config) -> Config {
    config.listen = Listen { proxy: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], ..Listen::default() };
    config.timeouts.drain = config.timeouts.drain.min(LONGEST_DRAIN);
    config
}

/// A name that stands in a URL and in rules as it is.
fn agent_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        return Err("use 1 to 64 letters, digits, '-', '_' and '.'".to_owned());
    }
    if text == ANONYMOUS {
        return Err("that is the name of callers without a password: choose another".to_owned());
    }
    Ok(text.to_owned())
}

/// An entry of `NO_PROXY`: clients differ in what they understand, so that it is only kept from
/// being several.
pub(super) fn no_proxy_host(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        return Err("name one host at a time".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_name_fits_into_a_url() {
        for name in ["agent", "triage-bot", "a.b_C9"] {
            assert!(agent_name(name).is_ok(), "{name}");
        }
        for name in ["", "anonymous", "a b", "a:b", "a@b", "a/b", "ü", &"a".repeat(65)] {
            assert!(agent_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_no_proxy_entry_is_one_host() {
        for host in ["localhost", ".corp.test", "10.0.0.0/8", "[::1]"] {
            assert!(no_proxy_host(host).is_ok(), "{host}");
        }
        for host in ["", "a,b", "a b", "a\n"] {
            assert!(no_proxy_host(host).is_err(), "{host}");
        }
    }
}
