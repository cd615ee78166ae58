//! Watches by system calls that an acknowledgement follows the sync of what it acknowledges: between
//! the last write to SQLite's log and the first byte of an answer, the log was synced.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Failure, say};

/// Writes that are acknowledged one after the other.
const WRITES: usize = 20;

/// Set where this must not be left out.
const NEEDED: &str = "NEXUS_TESTS_NEED_STRACE";

/// For what a busy machine may take its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the kernel is asked that matters here.
const CALLS: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sendto,sendmsg";

/// Adds connections over HTTP to an Authority that is watched.
pub(crate) fn sqlite() -> Result<(), Failure> {
    if Command::new("strace").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        if std::env::var_os(NEEDED).is_some() {
            return Err(format!("strace is not installed, and {NEEDED} is set").into());
        }
        say("strace is not installed: that an acknowledgement follows its sync was not looked at");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let calls = folder.path().join("calls");
    let mut watched = Watched::start(folder.path(), &calls)?;
    let key = std::fs::read_to_string(folder.path().join(".local/share/nexus-sidecar/admin-key"))?;
    for number in 0..WRITES {
        add(watched.address, key.trim(), &format!("c{number}"))?;
    }
    watched.stop()?;
    let text = String::from_utf8_lossy(&std::fs::read(&calls)?).into_owned();
    let seen = Seen::of(text.lines());
    if seen.early > 0 || seen.answers != WRITES || seen.empty > 0 {
        return Err(format!("an acknowledgement does not follow its sync: {seen:?}").into());
    }
    // What would show nothing if it were wrong proves nothing.
    let unsynced = Seen::of(text.lines().filter(|line| !line.contains("sync")));
    if unsynced.early != WRITES {
        return Err(format!("without the syncs, this sees {unsynced:?}").into());
    }
    say(&format!("SQLite: {WRITES} acknowledgements, each after the sync of its write ({} syncs)", seen.syncs));
    Ok(())
}

/// What was seen of a log of system calls.
#[derive(Debug, Default)]
struct Seen {
    syncs: usize,
    answers: usize,
    /// Answers that began while something written before was not synced.
    early: usize,
    /// Answers before which nothing was written.
    empty: usize,
}

impl Seen {
    fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut seen = Self::default();
        // Writes that have begun, how many of them are synced, and at how many a thread's sync began.
        let (mut written, mut synced, mut answered) = (0_u64, 0, 0);
        let mut syncing: HashMap<&str, u64> = HashMap::new();
        for line in lines {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            let log = call.split('>').next().is_some_and(|file| file.ends_with("-wal"));
            let done = call.trim_end().ends_with("= 0");
            if log && (call.starts_with("pwrite") || call.starts_with("write")) {
                written += 1;
            } else if log && call.contains("sync(") {
                match done {
                    true => (synced, seen.syncs) = (written, seen.syncs + 1),
                    false => drop(syncing.insert(thread, written)),
                }
            } else if call.contains("sync resumed>") && done {
                if let Some(until) = syncing.remove(thread) {
                    (synced, seen.syncs) = (synced.max(until), seen.syncs + 1);
                }
            } else if call.contains("\"HTTP/1.1 201") {
                seen.answers += 1;
                seen.early += usize::from(synced < written);
                seen.empty += usize::from(written == answered);
                answered = written;
            }
        }
        seen
    }
}

/// `authority serve` under strace.
struct Watched {
    strace: Child,
    address: SocketAddr,
}

impl Watched {
    fn start(folder: &Path, calls: &Path) -> Result<Self, Failure> {
        let config = folder.join("c.yaml");
        std::fs::write(&config, "version: 1\nauthority: { listen: '127.0.0.1:0' }\n")?;
        let mut command = Command::new("strace");
        command.args(["-f", "-yy", "-s", "16", "-e", CALLS, "-e", "signal=none", "-o"]).arg(calls);
        command.arg(env!("CARGO_BIN_EXE_nexus-sidecar")).args(["authority", "serve", "--config"]).arg(&config);
        command.env("HOME", folder).env("NO_COLOR", "1").stdin(Stdio::null());
        let mut strace = command.stderr(Stdio::piped()).spawn()?;
        let log = strace.stderr.take().ok_or("the Authority has no standard error")?;
        let mut watched = Self { strace, address: ([127, 0, 0, 1], 0).into() };
        let mut lines = BufReader::new(log).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            let line = line?;
            if let Some((_, rest)) = line.split_once("authority=[") {
                watched.address = rest.split([']', ',']).next().unwrap_or_default().parse()?;
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(watched);
            }
            said += &format!("\n{line}");
        }
        Err(format!("the Authority does not listen:{said}").into())
    }

    /// Ends the Authority; what watches it ends with it.
    fn stop(&mut self) -> Result<(), Failure> {
        let id = self.strace.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let child = children.split_whitespace().next().and_then(|id| Pid::from_raw(id.parse().ok()?));
        kill_process(child.ok_or("strace watches nothing")?, Signal::TERM)?;
        let until = Instant::now() + PATIENCE;
        while self.strace.try_wait()?.is_none() {
            if Instant::now() > until {
                return Err("the Authority does not end".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // One that has ended already is what is wanted; else the Authority goes first.
        let _ = self.stop();
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// Adds a connection over a TCP connection of its own.
fn add(address: SocketAddr, key: &str, name: &str) -> Result<(), Failure> {
    let body = serde_json::json!({
        "name": name,
        "bindings": [{ "hosts": ["api.test"], "strategy": { "type": "oauth2" } }],
        "fields": { "access_token": "a token of a trial" },
    });
    let body = body.to_string();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "POST /api/v2/connections HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 201 ") { Ok(()) } else { Err(format!("not made: {answer}").into()) }
}
