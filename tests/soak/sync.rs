//! Watches by system calls that an acknowledgement follows the sync of what it acknowledges: between
//! the last write to SQLite's log and the first byte of an answer, the log was synced.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Server, Stop, USER};
use crate::{Failure, say};

const BINARY: &str = env!("CARGO_BIN_EXE_nexus-sidecar");

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
    if !is_strace_there()? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let calls = folder.path().join("calls");
    let program = ["-f", "-yy", "-s", "16", "-e", CALLS, "-e", "signal=none", "-o"];
    let mut strace = Command::new("strace");
    strace.args(program).arg(&calls).arg(BINARY);
    let mut authority = Served::start(strace, folder.path(), "sqlite")?;
    authority.write()?;
    authority.stop()?;
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

/// The same where PostgreSQL does the syncing, and is configured to acknowledge before it: the
/// Authority has to insist. Its server processes are watched.
pub(crate) fn postgres() -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        say("PostgreSQL: that an acknowledgement follows its sync was not looked at, which takes root");
        return Ok(());
    }
    if !is_strace_there()? {
        return Ok(());
    }
    let Some(server) = Server::start() else { return Ok(()) };
    server.stop(Stop::Fast);
    server.configure("synchronous_commit = off");
    server.run();
    let folder = tempfile::tempdir()?;
    let calls = folder.path().join("calls");
    let socket = server.place().0.to_owned();
    let postmaster = std::fs::read_to_string(socket.join("data/postmaster.pid"))?;
    let postmaster = postmaster.lines().next().unwrap_or_default();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-yy", "-s", "4096", "-e", CALLS, "-e", "signal=none", "-p", postmaster, "-o"]).arg(&calls);
    let mut strace = Ended(strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?);
    let attached = strace.0.stderr.take().ok_or("strace has no standard error")?;
    let mut attached = BufReader::new(attached).lines();
    if !attached.next().transpose()?.is_some_and(|line| line.contains("attached")) {
        return Err("strace cannot watch PostgreSQL".into());
    }
    std::thread::spawn(move || attached.for_each(drop));
    let store =
        format!("{{ postgres: {{ host: '{}', database: {}, user: {USER} }} }}", socket.display(), server.database());
    let mut authority = Served::start(Command::new(BINARY), folder.path(), &store)?;
    // What is made at the start is not of interest.
    let begin = std::fs::read(&calls)?.len();
    authority.write()?;
    authority.stop()?;
    server.stop(Stop::Fast);
    strace.wait()?;
    let text = std::fs::read(&calls)?;
    let text = String::from_utf8_lossy(&text[begin..]).into_owned();
    let (commits, synced) = commits(text.lines());
    if synced < WRITES {
        return Err(format!("of {commits} commits, {synced} were acknowledged after a sync").into());
    }
    say(&format!("PostgreSQL: {commits} commits, {synced} acknowledged after a sync, where it is told not to wait"));
    Ok(())
}

/// Commits that a server acknowledged, and before how many of them its log was synced.
fn commits<'a>(lines: impl Iterator<Item = &'a str>) -> (usize, usize) {
    let (mut commits, mut synced, mut syncs) = (0, 0, 0);
    for line in lines {
        let own = line.contains("sync(") && line.contains("/pg_wal/") && line.trim_end().ends_with("= 0");
        if own || line.contains("sync resumed>") {
            syncs += 1;
        } else if line.contains("sendto(") && line.contains("COMMIT\\0") {
            commits += 1;
            synced += usize::from(syncs > 0);
            syncs = 0;
        }
    }
    (commits, synced)
}

fn is_strace_there() -> Result<bool, Failure> {
    let version = Command::new("strace").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_err() {
        if std::env::var_os(NEEDED).is_some() {
            return Err(format!("strace is not installed, and {NEEDED} is set").into());
        }
        say("strace is not installed: that an acknowledgement follows its sync was not looked at");
    }
    Ok(version.is_ok())
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

/// `authority serve`, alone or under strace.
struct Served {
    process: Ended,
    address: SocketAddr,
    key: String,
}

impl Served {
    /// Starts it; `program` is the binary, or what runs it.
    fn start(mut program: Command, folder: &Path, store: &str) -> Result<Self, Failure> {
        let config = folder.join("c.yaml");
        std::fs::write(&config, format!("version: 1\nauthority: {{ listen: '127.0.0.1:0', store: {store} }}\n"))?;
        program.args(["authority", "serve", "--config"]).arg(&config).env("HOME", folder).env("NO_COLOR", "1");
        let mut process = Ended(program.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?);
        let log = process.0.stderr.take().ok_or("the Authority has no standard error")?;
        let mut lines = BufReader::new(log).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            let line = line?;
            if let Some((_, rest)) = line.split_once("authority=[") {
                let address = rest.split([']', ',']).next().unwrap_or_default().parse()?;
                std::thread::spawn(move || lines.for_each(drop));
                let key = std::fs::read_to_string(folder.join(".local/share/nexus-sidecar/admin-key"))?;
                return Ok(Self { process, address, key: key.trim().to_owned() });
            }
            said += &format!("\n{line}");
        }
        Err(format!("the Authority does not listen:{said}").into())
    }

    /// Adds connections, one after the other.
    fn write(&self) -> Result<(), Failure> {
        (0..WRITES).try_for_each(|number| add(self.address, &self.key, &format!("c{number}")))
    }

    /// Ends it, and what watches it.
    fn stop(&mut self) -> Result<(), Failure> {
        let id = self.process.0.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let child = children.split_whitespace().next().map_or_else(|| id.to_string(), str::to_owned);
        kill_process(Pid::from_raw(child.parse()?).ok_or("no process has the number 0")?, Signal::TERM)?;
        self.process.wait()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // What strace runs would outlive it.
        let _ = self.stop();
    }
}

/// A process that ends with its trial.
struct Ended(Child);

impl Ended {
    fn wait(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        while self.0.try_wait()?.is_none() {
            if Instant::now() > until {
                return Err("a process does not end".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
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
