//! A PostgreSQL of the distribution's package, for tests: on a socket in a folder of its own, as an
//! unprivileged user, with everything that makes a commit durable. Unit tests of the store include
//! this file too.
//!
//! A shell supervises the server: it does what is written to it line by line, and when its input
//! ends, however the tests ended, it stops the server and removes the folder.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The role that the server is made with; a socket asks for no password.
pub const USER: &str = "nexus";

/// Part of the name of a socket, where there is no network.
const PORT: u16 = 5432;

/// Set where the tests must not pass without a server.
const NEEDED: &str = "NEXUS_TESTS_NEED_POSTGRES";

/// `nobody`, where the tests run as root: the server refuses to be that.
const NOBODY: u32 = 65534;

const SUPERVISOR: &str = r#"
run() { "$BIN/postgres" -D "$DIR/data" >>"$DIR/log" 2>&1 & pid=$!; }
start() {
  run
  until "$BIN/pg_isready" -q -h "$DIR" -p "$PORT"; do
    kill -0 $pid 2>/dev/null || { tries=$((tries + 1)); [ $tries -lt 100 ] || return; run; }
    sleep 0.05
  done
}
while read -r word more; do
  tries=0
  case $word in
    start) start ;;
    stop) kill -"$more" $pid; wait $pid ;;
    conf) echo "$more" >>"$DIR/data/postgresql.conf" ;;
    sql) "$BIN/psql" -qXAt -h "$DIR" -p "$PORT" -U nexus -v ON_ERROR_STOP=1 -c "$more" postgres >>"$DIR/log" 2>&1 || echo failed ;;
  esac
  echo done
done
kill -QUIT $pid 2>/dev/null
wait
rm -rf "$DIR"
"#;

/// A server.
pub struct Server {
    folder: PathBuf,
    port: u16,
    shell: Child,
    /// None only while it is dropped.
    way: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    databases: AtomicU32,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// As an operator does: connections are told, and what was committed is written.
    Fast,
    /// Without a word to anybody; it recovers from its log when it starts.
    Immediate,
    /// As the kernel does.
    Kill,
}

impl Server {
    /// The server that tests share, each with a database of its own; none where PostgreSQL is not
    /// installed, which is said, and is a failure where a server is needed.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A server for one test, which may stop it.
    pub fn start() -> Option<Self> {
        Self::with(PORT, "listen_addresses = ''")
    }

    /// A server for one test, which listens on loopback too.
    pub fn on_network() -> Option<Self> {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        Self::with(port, "listen_addresses = '127.0.0.1'")
    }

    fn with(port: u16, addresses: &str) -> Option<Self> {
        let Some(bin) = binaries() else {
            assert!(std::env::var_os(NEEDED).is_none(), "PostgreSQL is not installed, and {NEEDED} is set");
            // Past what the test harness keeps to itself.
            let said = "PostgreSQL is not installed: tests of its store pass without having run\n";
            let _ = std::io::stderr().write_all(said.as_bytes());
            return None;
        };
        let folder = tempfile::Builder::new().prefix("nexus-pg-").tempdir_in("/tmp").unwrap().keep();
        let root = rustix::process::geteuid().is_root();
        if root {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(&folder).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").process_group(0);
            if root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        let mut init = command(&bin.join("initdb"));
        init.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--no-locale", "-U", USER, "-D"]);
        let made = init.arg(folder.join("data")).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut shell = command(Path::new("/bin/sh"));
        shell.args(["-c", SUPERVISOR]).env("BIN", &bin).env("DIR", &folder).env("PORT", port.to_string());
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let way = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        let server = Self { folder, port, shell, way: Mutex::new(Some(way)), databases: AtomicU32::new(0) };
        for line in [
            format!("port = {port}"),
            format!("unix_socket_directories = '{}'", server.folder.display()),
            addresses.to_owned(),
            "max_connections = 400".to_owned(),
            "shared_buffers = 32MB".to_owned(),
        ] {
            server.tell(&format!("conf {line}"));
        }
        server.run();
        Some(server)
    }

    /// The folder of its socket, and the number in the socket's name.
    pub fn place(&self) -> (&Path, u16) {
        (&self.folder, self.port)
    }

    /// Makes an empty database, and answers its name.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        name
    }

    /// Runs one line of SQL as the server's owner, in a database of its own.
    pub fn sql(&self, sql: &str) {
        let said = self.tell(&format!("sql {sql}"));
        assert!(said.is_empty(), "{sql}: {}", self.log());
    }

    /// Adds a line to its configuration, which holds from its next start.
    pub fn configure(&self, line: &str) {
        self.tell(&format!("conf {line}"));
    }

    /// Puts a file into its data folder, its own alone.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.folder.join("data").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Stops it, and waits until it has.
    pub fn stop(&self, how: Stop) {
        let signal = match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
            Stop::Kill => "KILL",
        };
        self.tell(&format!("stop {signal}"));
    }

    /// Starts it again, and waits until it takes connections.
    pub fn run(&self) {
        self.tell("start");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn tell(&self, line: &str) -> String {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let way = way.as_mut().unwrap();
        writeln!(way.0, "{line}").unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(way.1.read_line(&mut line).unwrap() > 0, "the server's supervisor has gone");
            if line == "done\n" {
                return said;
            }
            said.push_str(&line);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input ends the supervisor, and that the server.
        drop(self.way.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.shell.wait();
    }
}

/// Where the newest server's programs are.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let found = versions.filter_map(|entry| {
        let version: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let bin = Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin");
        ["initdb", "postgres", "pg_isready", "psql"]
            .iter()
            .all(|name| bin.join(name).is_file())
            .then_some((version, bin))
    });
    found.max().map(|(_, bin)| bin)
}
