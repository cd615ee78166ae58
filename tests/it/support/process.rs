//! The binary itself, in a home of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Agent;

/// A home with nothing in it.
pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("runtime")).unwrap();
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A file that its owner alone can read.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The binary in an environment that holds what it must, and nothing of the test's.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-sidecar"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.0.path());
        command.env("XDG_RUNTIME_DIR", self.path("runtime")).stdin(Stdio::null()).args(args);
        command.current_dir(self.0.path());
        command
    }

    /// Runs it to its end.
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ended {
        Ended::of(&self.command(args).output().unwrap())
    }

    /// The same with something on its standard input.
    pub fn run_with<'a>(&self, args: impl IntoIterator<Item = &'a str>, input: &str) -> Ended {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may not want the input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ended::of(&child.wait_with_output().unwrap())
    }

    /// A connection with a bearer token.
    pub fn connect(&self, name: &str, host: &str, token: &str) {
        let args = ["connection", "add", name, "--strategy", "oauth2", "--host", host];
        let ended = self.run_with(args, &format!("{token}\n"));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }

    /// Starts `proxy` with this policy; what else the configuration says follows `version: 1`.
    pub fn proxy(&self, policy: &str, more: &str) -> Proxy {
        self.write("policy.yaml", policy);
        let anonymous = if more.contains("agents:") { "" } else { "anonymous: allow\n" };
        self.write(
            "nexus-sidecar.yaml",
            &format!(
                "version: 1\nlisten: {{ proxy: '127.0.0.1:0', admin: '127.0.0.1:0' }}\npolicy: [policy.yaml]\n{anonymous}{more}"
            ),
        );
        self.serve()
    }

    /// Starts `proxy` with the configuration that was written.
    pub fn serve(&self) -> Proxy {
        Proxy::start(self.command(["proxy", "--config", "nexus-sidecar.yaml"]))
    }
}

/// What a process left.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A long-running process; dropping it kills it.
pub struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.env("NO_COLOR", "1").stderr(Stdio::piped()).spawn().unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self { child, log }
    }

    /// Waits until it listens, and answers its first address of this name.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.says("listening");
        let log = self.log();
        let list = log.split(&format!("{name}=[")).nth(1).unwrap().split(']').next().unwrap();
        list.split(',').next().unwrap().parse().unwrap()
    }

    /// Everything on its standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until its log holds this.
    pub fn says(&self, text: &str) {
        let started = Instant::now();
        while !self.log().contains(text) {
            assert!(started.elapsed() < Duration::from_secs(20), "no {text:?} in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < Duration::from_secs(20), "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A long-running sidecar.
pub struct Proxy {
    pub agent: Agent,
    pub admin: SocketAddr,
    running: Running,
}

impl Proxy {
    fn start(command: Command) -> Self {
        let running = Running::start(command);
        let agent = Agent { proxy: running.address("proxy"), trust: String::new(), credentials: None };
        Self { agent, admin: running.address("admin"), running }
    }
}

impl Deref for Proxy {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Proxy {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}
