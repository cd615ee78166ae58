//! Trust from inside the child: the real `run`, and under it the clients of this machine.
//!
//! The address that they ask is one of this machine that nobody serves: a client that goes
//! through the sidecar meets its leaf certificate and its refusal, one that does not is told that
//! the connection is refused. No request leaves the machine.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use serde_json::{Value, json};

use super::bounded;
use super::inside::CLIENTS;
use super::report::Finding;
use crate::audit::Tail;

/// All of it: the slowest client, and the start and end of the sidecar.
const TIME: Duration = Duration::from_secs(12);

const OF: &str = "run";

/// Starts `run` in a folder of its own that is removed again, with the roots of the configuration.
pub(super) fn look(ca_files: &[PathBuf], probe: &[OsString]) -> Vec<Finding> {
    match attempt(ca_files, probe) {
        Ok(found) => found,
        Err(error) => vec![
            Finding::fail(OF, format!("cannot try it: {error}")).then("make room in the folder for temporary files"),
        ],
    }
}

/// A port of this machine that is taken and not served, so that whoever connects is refused.
struct Unserved {
    host: String,
    // Held for its port.
    _socket: OwnedFd,
}

impl Unserved {
    fn take() -> io::Result<Self> {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let at = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
        Ok(Self { host: at.to_string(), _socket: socket })
    }

    /// A policy for which a GET of this address is intercepted, and refused.
    fn policy(&self) -> String {
        let port = self.host.rsplit(':').next().unwrap_or_default();
        format!(
            "version: 1\nrules:\n  - {{ name: doctor, host: 127.0.0.1, port: {port}, method: PATCH, action: forward }}\n"
        )
    }
}

fn attempt(ca_files: &[PathBuf], probe: &[OsString]) -> io::Result<Vec<Finding>> {
    let unserved = Unserved::take()?;
    let folder = tempfile::Builder::new().prefix("nexus-sidecar-doctor-").tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let ca_files: Vec<PathBuf> = ca_files.iter().map(std::path::absolute).collect::<Result<_, _>>()?;
    // JSON is YAML.
    let config = json!({
        "version": 1,
        "sources": { "local": { "embedded": { "data_dir": path("data") } } },
        "upstream": { "ca_files": ca_files },
        "audit": { "dir": path("audit") },
        "policy": [path("policy.yaml")],
    });
    fs::write(path("config.yaml"), config.to_string())?;
    fs::write(path("policy.yaml"), unserved.policy())?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    let overrides = std::env::vars_os().map(|(name, _)| name);
    for name in overrides.filter(|name| name.as_encoded_bytes().starts_with(b"NEXUS_SIDECAR__")) {
        command.env_remove(name);
    }
    command.current_dir(folder.path()).stdin(std::process::Stdio::null());
    command.args(["run", "--agent", "doctor", "--config"]).arg(path("config.yaml")).arg("--log").arg(path("log"));
    command.arg("--").arg(program).args(["doctor", "--inside", &unserved.host, "--"]).args(probe);
    let ended = bounded::run(command, &path("out"), &path("err"), TIME)?;
    let inside: Option<Value> = serde_json::from_slice(&fs::read(path("out"))?).ok();
    let Some(inside) = inside.filter(|_| ended.is_some()) else {
        let said = String::from_utf8_lossy(&fs::read(path("err"))?).into_owned();
        let why = if ended.is_none() { format!("it did not end within {} s", TIME.as_secs()) } else { said };
        let fail = Finding::fail(OF, format!("a trial of `run` failed: {}", why.trim().trim_start_matches("error: ")));
        return Ok(vec![fail.then("mend that first: `run` would fail alike")]);
    };
    Ok(judge(&inside, &unserved.host, &arrived(&path("audit"))))
}

/// The paths of the requests that the sidecar took out of TLS and refused, by its own record.
fn arrived(audit: &Path) -> BTreeSet<String> {
    let lines = Tail::open(audit, 1000).map(|(_, lines)| lines).unwrap_or_default();
    let records = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let target = |record: Value| Some(record["target"].as_str()?.split_once("https://")?.1.to_owned());
    records.filter_map(target).collect()
}

fn judge(inside: &Value, host: &str, arrived: &BTreeSet<String>) -> Vec<Finding> {
    let mut found = Vec::new();
    let tried = inside["clients"].as_array().map(Vec::as_slice).unwrap_or_default();
    for client in tried {
        let (name, said) = (client["name"].as_str().unwrap_or_default(), client["said"].as_str().unwrap_or_default());
        let own = format!("{host}/{name}");
        found.push(judge_client(name, said, arrived.iter().any(|target| target.starts_with(&own))));
    }
    let absent: Vec<&str> =
        CLIENTS.into_iter().filter(|name| !tried.iter().any(|client| client["name"] == *name)).collect();
    if !absent.is_empty() {
        found.push(Finding::skip("clients", format!("not installed, so not tried: {}", absent.join(", "))));
    }
    found.push(if inside["known"] == true {
        Finding::ok("callers", "a command of `run` is known by its process: clients that send no password work too")
    } else {
        Finding::warn("callers", "the kernel does not tell whose a connection is (sock_diag): clients that send no proxy password are refused")
            .then("a JVM is one of those; allow sock_diag in the sandbox, or use clients that send the password")
    });
    found.push(if inside["closed"] == true {
        Finding::ok("sidecar", "its environment and memory are closed to the command of `run`")
    } else {
        Finding::warn("sidecar", "the command of `run` can read the environment and memory of the sidecar")
            .then("run agents as a user without CAP_SYS_PTRACE, not as root")
    });
    found
}

fn judge_client(name: &str, said: &str, arrived: bool) -> Finding {
    if arrived {
        return Finding::ok(name, "goes through the sidecar and trusts its CA");
    }
    let lower = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let failed = format!("did not get through the sidecar: {said}");
    if has(&["certificate", "verif", "pkix", "ssl"]) {
        return Finding::fail(name, format!("does not trust the CA of the sidecar: {said}"))
            .then("look for an option or settings file of its own that names certificates, and remove it");
    }
    if name == "java" && has(&["no compiler", "class not found", "could not find or load", "classnotfound"]) {
        return Finding::skip(name, "this JVM has no compiler to try it with");
    }
    let next = match name {
        "node" => "Node reads proxy variables from version 24 on: update it, or give fetch an agent",
        "git" => "git config --show-origin --get-regexp 'http.*' shows settings that lead past the proxy",
        "curl" => "a ~/.curlrc may name another proxy, or none",
        _ => "look for a setting of its own that names another proxy, or none",
    };
    Finding::warn(name, failed).then(next)
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    #[test]
    fn clients_are_judged_by_the_sidecars_record_and_by_what_they_say() {
        for (name, said, arrived, level) in [
            ("curl", "curl: (22) 403", true, Level::Ok),
            ("curl", "curl: (60) SSL certificate problem", false, Level::Fail),
            ("java", "PKIX path building failed", false, Level::Fail),
            ("java", "error: no compiler module found", false, Level::Skip),
            ("node", "Error: connect ECONNREFUSED 127.0.0.1:9", false, Level::Warn),
        ] {
            assert_eq!(judge_client(name, said, arrived).level, level, "{name}: {said}");
        }
    }

    #[test]
    fn what_the_child_found_becomes_a_line_each() {
        let inside = json!({ "clients": [{ "name": "git", "said": "" }], "known": true, "closed": false });
        let found = judge(&inside, "h:1", &["h:1/git/info/refs".to_owned()].into());
        let levels: Vec<_> = found.iter().map(|finding| (&*finding.of, finding.level)).collect();
        let want = [("git", Level::Ok), ("clients", Level::Skip), ("callers", Level::Ok), ("sidecar", Level::Warn)];
        assert_eq!(levels, want);
    }
}
