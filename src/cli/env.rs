//! `env`: the variables of a client that `run` cannot start.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use self::format::{Content, Format, PASSWORD};
use super::client::trust::{self, Paths};
use super::client::{Given, Withheld, java, variables};
use super::failure::{Failure, finish, say};
use super::proxy::passwords;
use super::{exit, start};
use crate::config::{ANONYMOUS, AgentConfig, Config};
use crate::identity;
use crate::model::{HostPort, Secret};

mod format;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar ca export --dir /srv/nexus-trust
  eval \"$(nexus-sidecar env --ca-dir /srv/nexus-trust)\"
  nexus-sidecar env --format dotenv --agent bot --proxy http://sidecar:14101 > agent.env
  nexus-sidecar env --format k8s --proxy http://sidecar.agents:14101
      the password comes from a Secret: the list says how to make it
  nexus-sidecar env --format github >> \"$GITHUB_ENV\"
      the password is masked by ::add-mask:: on standard error";

/// Print the variables of an agent that `run` cannot start
///
/// For clients of a long-running `proxy`: its address with the agent's name and password, the files
/// of `ca export`, and placeholders for the providers whose credentials the policy puts on. `sh`
/// also unsets every credential that `run` would withhold. All but `k8s` print the agent's password.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Who reads it
    #[arg(long, value_enum, default_value_t = Format::Sh)]
    format: Format,
    /// The agent, one of `agents:` [default: the only one]
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// How the agent reaches the sidecar [default: http:// and the first of listen.proxy]
    #[arg(long, value_name = "URL", value_parser = proxy_address)]
    proxy: Option<HostPort>,
    /// Where the agent finds the files of `ca export --dir` [default: trust, beside ca.dir]
    #[arg(long, value_name = "DIR", value_parser = trust::public_folder)]
    ca_dir: Option<PathBuf>,
    /// A host that the agent reaches without the sidecar; may be given several times
    #[arg(long, value_name = "HOST", value_parser = super::run::no_proxy_host)]
    no_proxy: Vec<String>,
    /// A variable that is left as it is although it is a credential; may be given several times
    #[arg(long, value_name = "VAR")]
    keep: Vec<String>,
    /// The configuration [default: nexus-sidecar/nexus-sidecar.yaml in $XDG_CONFIG_HOME, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy, instead of those of the configuration; may be given several times, tried in order
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
}

/// Prints the variables and answers the exit code.
pub(super) fn run(args: Args) -> ExitCode {
    finish(execute(args))
}

fn execute(args: Args) -> Result<ExitCode, Failure> {
    let config = start::config(args.config.as_deref())?;
    let policy = start::policy(&args.policy, &[], &config)?;
    let withheld = Withheld::new(args.keep, config.variables())?;
    let agent = agent(args.agent.as_deref(), &config)?;
    let address = match args.proxy {
        Some(address) => address,
        None => listening(&config)?,
    };
    let (proxy, masked) = proxy_url(&address, agent, args.format)?;
    let files = Paths::of(&folder(args.ca_dir, &config));
    let port = address.port.unwrap_or_default();
    let java = java::options(None, (&address.host.to_string(), port), &args.no_proxy, files.java());
    let given = Given {
        proxy: &proxy,
        no_proxy: &args.no_proxy.join(","),
        files: &files,
        java: &java,
        providers: &policy.providers_of(agent.map_or(ANONYMOUS, |agent| &agent.name)),
    };
    let set = variables::set(&given, &withheld).map(|(name, value)| Ok((text(&name)?, text(&value)?)));
    let set = set.collect::<Result<Vec<_>, Failure>>()?;
    let content = Content {
        set: &set,
        unset: &withheld.taken_away(std::env::vars_os().collect()),
        agent: agent.map(|agent| agent.name.as_str()),
        delimiter: &hex::encode(start::random_password()?),
    };
    let written = args.format.write(&content).map_err(|error| Failure::usage(&error))?;
    // Before the runner can see the values anywhere else.
    for spelling in masked {
        say(&format!("::add-mask::{}", spelling.replace('%', "%25")));
    }
    let done = std::io::stdout().lock().write_all(written.as_bytes());
    done.map_err(|error| Failure::failed(format!("cannot write the variables: {error}")))?;
    Ok(ExitCode::from(exit::OK))
}

/// The agent of a name, or the only one; `None` is a caller without a password.
fn agent<'c>(named: Option<&str>, config: &'c Config) -> Result<Option<&'c AgentConfig>, Failure> {
    let names = || {
        let listed = config.agents.iter().map(|agent| agent.name.as_str());
        listed.chain(config.anonymous.then_some(ANONYMOUS)).collect::<Vec<_>>().join(", ")
    };
    match (named, config.agents.as_slice()) {
        (Some(ANONYMOUS) | None, []) if config.anonymous => Ok(None),
        (Some(ANONYMOUS), _) if config.anonymous => Ok(None),
        (_, []) => {
            Err(Failure::usage("the configuration names no agent: list one in `agents`, with its password's file"))
        }
        (None, [only]) => Ok(Some(only)),
        (None, _) => Err(Failure::usage(format!("there are several agents: say --agent, one of {}", names()))),
        (Some(name), agents) => match agents.iter().find(|agent| agent.name == name) {
            Some(agent) => Ok(Some(agent)),
            None => {
                Err(Failure::usage(format!("there is no agent {name:?} in the configuration: there is {}", names())))
            }
        },
    }
}

/// The proxy's URL, and what of it a log must not show.
fn proxy_url(
    address: &HostPort,
    agent: Option<&AgentConfig>,
    format: Format,
) -> Result<(String, Vec<String>), Failure> {
    let address = format!("{}:{}", bracketed(address), address.port.unwrap_or_default());
    let Some(agent) = agent else { return Ok((format!("http://{address}"), Vec::new())) };
    let password = passwords::read(std::slice::from_ref(agent));
    if format == Format::K8s {
        // The file may be elsewhere. One that is here must hold what Kubernetes can put into a URL.
        if let Ok([(_, password)]) = password.as_deref()
            && !identity::is_plain_in_url(password)
        {
            return Err(Failure::usage(format!(
                "the password of the agent {:?} cannot stand in a URL as it is, and Kubernetes does not encode it: \
                 choose one of letters, digits and -._~",
                agent.name
            )));
        }
        return Ok((identity::proxy_url_with(&address, &agent.name, PASSWORD.encode_utf8(&mut [0; 4])), Vec::new()));
    }
    let mut password = password?;
    let (_, password): (String, Secret) = password.remove(0);
    let masked = if masks(format) { identity::spellings(&password) } else { Vec::new() };
    Ok((identity::proxy_url(&address, &agent.name, &password), masked))
}

/// Only where a runner reads it as a command: elsewhere it would show the password.
fn masks(format: Format) -> bool {
    format == Format::Github && std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

fn bracketed(address: &HostPort) -> String {
    let host = address.host.to_string();
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host }
}

/// The address that the configuration has the sidecar listen on, where clients can use it.
fn listening(config: &Config) -> Result<HostPort, Failure> {
    let first = config.listen.proxy.first().filter(|address| !address.ip().is_unspecified() && address.port() != 0);
    let address: &SocketAddr =
        first.ok_or_else(|| Failure::usage("listen.proxy is no address that a client can use: say it with --proxy"))?;
    HostPort::parse(&address.to_string()).map_err(|error| Failure::because(&error))
}

/// Where the files of `ca export` are. By default they lie beside the CA, and are missed if they
/// do not: a folder that was named may be on another machine.
fn folder(named: Option<PathBuf>, config: &Config) -> PathBuf {
    named.unwrap_or_else(|| {
        let folder = config.ca_dir.with_file_name("trust");
        if !Paths::of(&folder).bundle().is_file() {
            say(&format!(
                "note: the certificates are not there yet: nexus-sidecar ca export --dir {}",
                folder.display()
            ));
        }
        folder
    })
}

fn text(value: &OsStr) -> Result<String, Failure> {
    let text = OsString::from(value).into_string();
    text.map_err(|value| Failure::usage(format!("{} is not UTF-8: choose another folder", value.display())))
}

/// `http://HOST:PORT`, the password left out.
fn proxy_address(url: &str) -> Result<HostPort, String> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err("it starts with http://, since the way to the proxy is not TLS".to_owned());
    };
    let address = HostPort::parse(rest.strip_suffix('/').unwrap_or(rest)).map_err(|error| error.to_string())?;
    if address.port.is_none() {
        return Err("it names a port, such as http://127.0.0.1:14101".to_owned());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(anonymous: bool, agents: &[&str]) -> Config {
        let agent = |name: &&str| AgentConfig { name: (*name).to_owned(), proxy_password_file: "/nowhere".into() };
        let mut config = Config::find(None, &crate::config::Environment::of([("HOME", "/nowhere")])).unwrap();
        config.anonymous = anonymous;
        config.agents = agents.iter().map(agent).collect();
        config
    }

    #[test]
    fn the_agent_is_the_one_that_was_named_or_the_only_one() {
        let chosen = |named, config: &Config| agent(named, config).map(|agent| agent.map(|agent| agent.name.clone()));
        assert_eq!(chosen(None, &config(false, &["a"])), Ok(Some("a".to_owned())));
        assert_eq!(chosen(Some("b"), &config(false, &["a", "b"])), Ok(Some("b".to_owned())));
        assert_eq!(chosen(None, &config(true, &[])), Ok(None));
        assert_eq!(chosen(Some(ANONYMOUS), &config(true, &["a"])), Ok(None));
        for (named, config, says) in [
            (None, config(false, &["a", "b"]), "a, b"),
            (Some("c"), config(true, &["a", "b"]), "a, b, anonymous"),
            (Some(ANONYMOUS), config(false, &["a"]), "there is a"),
            (None, config(false, &[]), "names no agent"),
        ] {
            let failure = chosen(named, &config).unwrap_err();
            assert!(failure.message().contains(says) && failure.code() == 2, "{}", failure.message());
        }
    }

    #[test]
    fn the_proxy_is_a_url_with_a_host_and_a_port_alone() {
        for url in ["http://127.0.0.1:14101", "http://sidecar:1/", "http://[::1]:14101"] {
            assert!(proxy_address(url).is_ok(), "{url}");
        }
        for url in ["https://a:1", "a:1", "http://a", "http://u:p@a:1", "http://a:1/x", "http://:1", ""] {
            assert!(proxy_address(url).is_err(), "{url}");
        }
        let parsed = proxy_address("http://[::1]:7").unwrap();
        assert_eq!(proxy_url(&parsed, None, Format::Sh).unwrap().0, "http://[::1]:7");
    }

    #[test]
    fn an_address_that_nobody_can_use_is_asked_for() {
        let mut config = config(true, &[]);
        assert_eq!(listening(&config).unwrap(), HostPort::parse("127.0.0.1:14101").unwrap());
        for address in ["0.0.0.0:14101", "127.0.0.1:0", "[::]:1"] {
            config.listen.proxy = vec![address.parse().unwrap()];
            assert!(listening(&config).unwrap_err().message().contains("--proxy"), "{address}");
        }
    }
}
