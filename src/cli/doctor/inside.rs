//! What doctor tries as the child of `run`: clients of this machine, each against an address
//! that only the sidecar answers for. Results go to standard output as JSON.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::bounded;
use crate::dial;

/// Whoever takes longer does not work.
const TIME: Duration = Duration::from_secs(4);

/// A JVM that compiles its program first.
const JAVA: Duration = Duration::from_secs(8);

/// Clients that are tried where `PATH` has them.
pub(super) const CLIENTS: [&str; 6] = ["curl", "python3", "node", "java", "openssl", "git"];

/// The place in a probe's words that stands for the address.
pub(super) const URL: &str = "{url}";

const PYTHON: &str = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4)";
const NODE: &str = "fetch(process.argv[1]).catch(e => { console.error(String(e.cause || e)); process.exit(1) })";
const PROBE_JAVA: &str = "\
public class Probe {
    public static void main(String[] arguments) throws Exception {
        var connection = (java.net.HttpURLConnection) new java.net.URL(arguments[0]).openConnection();
        connection.setConnectTimeout(4000);
        connection.setReadTimeout(4000);
        connection.getResponseCode();
    }
}
";

/// Tries everything at once, in the working directory, which is doctor's own. `host` is the
/// `HOST:PORT` that the sidecar answers for; `probe` a command of the caller's, if one was given.
pub(super) fn run(host: &str, probe: &[OsString]) -> Value {
    let proxy = std::env::var("http_proxy").unwrap_or_default();
    let proxy = proxy.rsplit('@').next().unwrap_or_default().to_owned();
    let tried: Vec<Value> = thread::scope(|scope| {
        let named = CLIENTS.iter().filter(|name| in_path(name).is_some());
        let mut running: Vec<_> = named
            .map(|name| {
                let proxy = &proxy;
                scope.spawn(move || attempt(name, |command| clients(name, command, host, proxy)))
            })
            .collect();
        if !probe.is_empty() {
            running.push(scope.spawn(|| attempt("probe", |_| Ok(given(probe, host)))));
        }
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    json!({
        "clients": tried,
        "known": dial::probe(&proxy, &format!("http://{host}/known"), TIME).is_ok_and(|status| status != 407),
        "closed": fs::read(format!("/proc/{}/environ", std::os::unix::process::parent_id())).is_err(),
    })
}

/// A command with its input, by the name of its client.
fn clients(name: &str, files: &Path, host: &str, proxy: &str) -> std::io::Result<Command> {
    let url = format!("https://{host}/{name}");
    let mut command = Command::new(name);
    match name {
        "curl" => command.args(["-sS", "-o", "/dev/null", "--max-time", "4", &url]),
        "python3" => command.args(["-c", PYTHON, &url]),
        "node" => command.args(["-e", NODE, &url]),
        "java" => {
            let program = files.join("Probe.java");
            fs::write(&program, PROBE_JAVA)?;
            command.args(["-XX:TieredStopAtLevel=1".as_ref(), program.as_os_str(), url.as_ref()])
        }
        "openssl" => {
            let request = format!("GET /openssl HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            bounded::with_input(&mut command, &files.join("openssl.in"), &request)?;
            let ip = host.split(':').next().unwrap_or_default();
            command.args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-verify_ip",
                ip,
                "-proxy",
                proxy,
                "-connect",
                host,
            ])
        }
        _ => {
            command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "true");
            command.args(["ls-remote", &url])
        }
    };
    Ok(command)
}

/// The caller's own command.
fn given(words: &[OsString], host: &str) -> Command {
    let url = format!("https://{host}/probe");
    let word = |word: &OsString| word.to_str().map_or_else(|| word.clone(), |text| text.replace(URL, &url).into());
    let mut words = words.iter().map(word);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn attempt(name: &str, make: impl FnOnce(&Path) -> std::io::Result<Command>) -> Value {
    let folder = PathBuf::from(".");
    let err = folder.join(format!("{name}.err"));
    let time = if matches!(name, "java" | "probe") { JAVA } else { TIME };
    let run = |mut command: Command| {
        if name != "openssl" {
            command.stdin(std::process::Stdio::null());
        }
        bounded::run(command, &folder.join(format!("{name}.out")), &err, time)
    };
    let said = match make(&folder).and_then(run) {
        Ok(Some(_)) => last_line(&fs::read(&err).unwrap_or_default()),
        Ok(None) => format!("it did not end within {} s", time.as_secs()),
        Err(error) => format!("cannot be started: {error}"),
    };
    json!({ "name": name, "said": said })
}

/// The last line that says something about an error, else the last one.
fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let telling = |line: &&&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("at ") && ["error", "exception", "fatal", "fail"].iter().any(|word| line.contains(word))
    };
    let line = lines.iter().rev().find(telling).or(lines.last()).copied().unwrap_or_default();
    line.chars().take(200).collect()
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_tells_is_found() {
        for (text, want) in [
            ("", ""),
            ("one\ntwo\n", "two"),
            ("Traceback:\n  x\nurllib.error.URLError: no\n\n", "urllib.error.URLError: no"),
            ("Exception in thread main\n\tat a.Failing.b\n", "Exception in thread main"),
        ] {
            assert_eq!(last_line(text.as_bytes()), want);
        }
    }

    #[test]
    fn a_probe_has_the_address_where_it_says_so() {
        let command = given(&["tool".into(), "--to={url}".into(), "x".into()], "127.0.0.1:9");
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(words, ["--to=https://127.0.0.1:9/probe", "x"]);
    }
}
