//! `ready`: a probe for scripts and containers without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::failure::{Failure, finish};
use super::{exit, start};
use crate::config::Listen;
use crate::dial;

const PATH: &str = "/readyz";

/// A sidecar that takes longer than this is not ready.
const WAIT: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar ready
  nexus-sidecar ready --config nexus-sidecar.yaml
  nexus-sidecar ready --url http://127.0.0.1:14102";

/// Ask a running sidecar whether it is ready: exit 0 if so, 1 if not
///
/// Asks /readyz of the first health or admin listener of the configuration, or of --url.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration [default: nexus-sidecar/nexus-sidecar.yaml in $XDG_CONFIG_HOME, if there is one]
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Where to ask, such as http://127.0.0.1:14102
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Asks, and answers the exit code.
pub(super) fn run(args: Args) -> ExitCode {
    finish(execute(args))
}

fn execute(args: Args) -> Result<ExitCode, Failure> {
    let (address, path) = match &args.url {
        Some(url) => {
            split(url).ok_or_else(|| Failure::usage(format!("{url:?} is not of the form http://HOST:PORT")))?
        }
        None => {
            let listen = start::config(args.config.as_deref())?.listen;
            let address = listener(&listen)
                .ok_or_else(|| Failure::usage("the configuration has neither listen.health nor listen.admin to ask"))?;
            (address.to_string(), PATH.to_owned())
        }
    };
    match dial::probe(&address, &path, WAIT) {
        Ok(status) if (200..300).contains(&status) => Ok(ExitCode::from(exit::OK)),
        Ok(status) => Err(Failure::failed(format!("{address} is not ready: it answered {status}"))),
        Err(error) => {
            Err(Failure::failed(format!("cannot ask {address}, where `nexus-sidecar proxy` should listen: {error}")))
        }
    }
}

/// The address to ask: an unspecified one is reached over loopback.
fn listener(listen: &Listen) -> Option<SocketAddr> {
    let mut address = *listen.health.first().or(listen.admin.first())?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Some(address)
}

/// `HOST:PORT` and path of an `http` URL. The path is `/readyz` where none is given.
fn split(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let (host, port) = authority.rsplit_once(':')?;
    if host.is_empty() || host.contains('@') || port.parse::<u16>().is_err() {
        return None;
    }
    Some((authority.to_owned(), if path == "/" { PATH } else { path }.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_authority_and_path() {
        let table = [
            ("http://127.0.0.1:14102", Some(("127.0.0.1:14102", "/readyz"))),
            ("http://127.0.0.1:14102/", Some(("127.0.0.1:14102", "/readyz"))),
            ("http://[::1]:1/healthz", Some(("[::1]:1", "/healthz"))),
            ("https://127.0.0.1:1", None),
            ("http://127.0.0.1", None),
            ("http://:80", None),
            ("http://a@b:80", None),
            ("http://b:80/x y", None),
            ("http://b:99999", None),
            ("127.0.0.1:1", None),
        ];
        for (url, expected) in table {
            let found = split(url);
            assert_eq!(found.as_ref().map(|(host, path)| (host.as_str(), path.as_str())), expected, "{url}");
        }
    }

    #[test]
    fn health_is_asked_before_admin_and_over_loopback() {
        let listen = |health: &[&str], admin: &[&str]| Listen {
            proxy: Vec::new(),
            health: health.iter().map(|text| text.parse().unwrap()).collect(),
            admin: admin.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let asked = |listen: Listen| listener(&listen).map(|address| address.to_string());
        assert_eq!(asked(listen(&["0.0.0.0:2"], &["127.0.0.1:1"])).as_deref(), Some("127.0.0.1:2"));
        assert_eq!(asked(listen(&["[::]:2"], &[])).as_deref(), Some("[::1]:2"));
        assert_eq!(asked(listen(&[], &["127.0.0.1:1"])).as_deref(), Some("127.0.0.1:1"));
        assert_eq!(asked(listen(&[], &[])), None);
    }
}
