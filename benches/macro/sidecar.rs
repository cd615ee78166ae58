//! A sidecar as users start it: the release binary, a store, a policy, a configuration.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::load::{Case, Route, Shape, trust};
use crate::origin::{CREDENTIAL, INJECTED, TUNNELLED};
use crate::pki::Pki;
use crate::{Failure, cpu};

/// The release binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_nexus-sidecar");

/// `audit.mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    BestEffort,
    Required,
    Durable,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Required, Self::Durable, Self::BestEffort];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::BestEffort => "best_effort",
            Self::Required => "required",
            Self::Durable => "durable",
        }
    }
}

/// Memory of a process in KiB, and what kind of figure it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) kib: u64,
    pub(crate) kind: &'static str,
}

/// A running sidecar; dropping it ends it.
pub(crate) struct Sidecar {
    child: Child,
    folder: PathBuf,
    pub(crate) port: u16,
    /// From its start to the last byte of the first answer that came through it.
    pub(crate) first_answer: Duration,
}

impl Sidecar {
    /// Starts one in a folder, made ready on first use, and asks it until an answer comes.
    pub(crate) async fn start(folder: &Path, mode: Mode, pki: &Pki, origin: u16) -> Result<Self, Failure> {
        if !folder.exists() {
            prepare(folder, mode, pki, origin)?;
        }
        let started = Instant::now();
        let mut child = spawn(folder)?;
        let port = listening(&mut child);
        let mut sidecar = Self { child, folder: folder.to_owned(), port: port?, first_answer: Duration::default() };
        let trust = trust(&[&pki.pem, &sidecar.ca_pem()?])?;
        let route = Route::Proxy { port: sidecar.port, host: INJECTED };
        Case { shape: Shape::One, seconds: Duration::default(), origin, route, trust }.once().await?;
        sidecar.first_answer = started.elapsed();
        Ok(sidecar)
    }

    /// The authority that its agents trust.
    pub(crate) fn ca_pem(&self) -> Result<String, Failure> {
        Ok(fs::read_to_string(self.folder.join("ca/ca.pem"))?)
    }

    /// The CPU time of all its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let times = self.threads().filter_map(|thread| fs::read_to_string(thread.join("schedstat")).ok());
        Duration::from_nanos(times.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// Moves all its threads to one CPU; where that is not allowed they stay loose.
    pub(crate) fn pin(&self, to: usize) {
        for thread in self.threads() {
            let id = thread.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let Some(id) = id.and_then(Pid::from_raw) {
                cpu::pin(Some(id), to);
            }
        }
    }

    /// Its proportional set size. A sidecar lets nobody but root look that closely: for others it
    /// is the resident set size.
    pub(crate) fn memory(&self) -> Memory {
        let figure = |file: &str, key: &str| {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        match figure("smaps_rollup", "Pss:") {
            Some(kib) => Memory { kib, kind: "PSS" },
            None => Memory { kib: figure("status", "VmRSS:").unwrap_or_default(), kind: "RSS" },
        }
    }

    /// Ends it as a service manager does; it has to end well, its audit closed.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(id, Signal::TERM)?;
        }
        let patience = Instant::now() + Duration::from_secs(20);
        while Instant::now() < patience {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the sidecar ended with {status}").into()),
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        Err("the sidecar did not end".into())
    }

    fn threads(&self) -> impl Iterator<Item = PathBuf> {
        let found = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        found.into_iter().flatten().flatten().map(|thread| thread.path())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn prepare(folder: &Path, mode: Mode, pki: &Pki, origin: u16) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("origin.pem"), &pki.pem)?;
    let at = folder.display();
    let configuration = format!(
        "version: 1\nlisten: {{ proxy: '127.0.0.1:0', admin: '127.0.0.1:0' }}\nca: {{ dir: '{at}/ca' }}\n\
         upstream: {{ ca_files: ['{at}/origin.pem'], hosts: {{ {INJECTED}: 127.0.0.1, {TUNNELLED}: 127.0.0.1 }} }}\n\
         sources: {{ home: {{ embedded: {{ data_dir: '{at}/data' }} }} }}\nanonymous: allow\n\
         policy: ['{at}/policy.yaml']\naudit: {{ mode: {}, dir: '{at}/audit' }}\n",
        mode.word()
    );
    fs::write(folder.join("sidecar.yaml"), configuration)?;
    let policy = format!(
        "version: 1\nrules:\n  - {{ name: tunnel, host: {TUNNELLED}, port: {origin}, networks: [127.0.0.0/8], action: tunnel }}\n  \
         - {{ name: inject, host: {INJECTED}, port: {origin}, networks: [127.0.0.0/8], connection: bench }}\n"
    );
    fs::write(folder.join("policy.yaml"), policy)?;
    add_connection(folder)
}

fn add_connection(folder: &Path) -> Result<(), Failure> {
    let mut child = command(folder, &["connection", "add", "bench", "--config"])
        .args(["--strategy", "header", "--set", "header_name=Authorization", "--set", "value_prefix=Bearer "])
        .args(["--host", INJECTED, "--field", "api_key=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{CREDENTIAL}")?;
    }
    if child.wait()?.success() { Ok(()) } else { Err("the connection could not be added".into()) }
}

/// The binary with nothing of this process's environment, so that no variable of the caller's
/// changes what is measured. `arguments` end where the configuration's name belongs.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().env("HOME", folder).args(arguments).arg(folder.join("sidecar.yaml"));
    command
}

fn spawn(folder: &Path) -> Result<Child, Failure> {
    let mut command = command(folder, &["proxy", "--config"]);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    // A child inherits the CPU of the thread that starts it.
    let starter = std::thread::spawn(move || {
        cpu::pin(None, cpu::SIDECAR);
        command.spawn()
    });
    Ok(starter.join().map_err(|_| "the sidecar could not be started")??)
}

/// Reads the log until it says which port the proxy has; the rest of the log passes through.
fn listening(child: &mut Child) -> Result<u16, Failure> {
    let log = child.stderr.take().ok_or("the sidecar has no standard error")?;
    let mut lines = BufReader::new(log).lines();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, rest)) = line.split_once("proxy=[127.0.0.1:") {
            std::thread::spawn(move || {
                lines.map_while(Result::ok).filter(|line| !line.contains(" INFO ")).for_each(|line| {
                    crate::report::progress(&line);
                })
            });
            return Ok(rest.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default().parse()?);
        }
        crate::report::progress(&line);
    }
    Err("the sidecar ended before it was listening".into())
}
