//! An Authority as its operator starts it: the release binary, TLS, a store, an agent and its key.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{Client, trust};
use crate::store::Store;
use crate::{BINARY, Failure, cpu, progress};

/// The agent of the benchmark.
pub(crate) const AGENT: &str = "bench";

/// Connections over which the store is filled.
const FILLERS: usize = 32;

/// A running Authority; dropping it ends it.
pub(crate) struct Authority {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) connector: TlsConnector,
    /// What its certificate is verified with.
    pub(crate) ca_file: PathBuf,
    admin: String,
}

impl Authority {
    /// Starts one over a store, on this CPU if one is named.
    pub(crate) fn start(store: &Store, on: Option<usize>) -> Result<Self, Failure> {
        let home = store.home();
        let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let pem = certified.cert.pem();
        let ca_file = home.join("cert.pem");
        fs::write(&ca_file, &pem)?;
        fs::write(home.join("key.pem"), certified.signing_key.serialize_pem())?;
        let configuration = format!(
            "version: 1\nauthority:\n  listen: '127.0.0.1:0'\n  store: {}\n  tls: {{ cert_file: cert.pem, key_file: key.pem }}\n  \
             limits: {{ rate: 10000000/minute, leases: 10000000/minute }}\n",
            store.setting()
        );
        fs::write(home.join("authority.yaml"), configuration)?;
        let mut command = command(home, &["authority", "serve", "--config", "authority.yaml"]);
        let mut child = spawn(&mut command, on)?;
        let line = listening(&mut child);
        let mut authority =
            Self { child, address: ([127, 0, 0, 1], 0).into(), connector: trust(&pem)?, ca_file, admin: String::new() };
        authority.address = address(&line?, "authority")?;
        authority.admin = fs::read_to_string(home.join(".local/share/nexus-sidecar/admin-key"))?.trim().to_owned();
        Ok(authority)
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> Result<Client<TlsStream<TcpStream>>, Failure> {
        Client::tls(self.address, &self.connector).await
    }

    /// A request of an administrator.
    pub(crate) fn request(&self, call: &str, body: &str) -> String {
        request(call, self.address, &self.admin, body)
    }

    /// Adds so many connections, `c0` and so on, each with a token that names it, and lets the agent
    /// borrow them.
    pub(crate) async fn fill(&self, store: &Store, count: usize) -> Result<(), Failure> {
        let next = Arc::new(Mutex::new(0..count));
        let mut fillers = JoinSet::new();
        for _ in 0..FILLERS {
            let (mut client, next) = (self.connect().await?, Arc::clone(&next));
            let (address, admin) = (self.address, self.admin.clone());
            fillers.spawn(async move {
                while let Some(number) = { next.lock().await.next() } {
                    let body = format!(
                        r#"{{"name":"c{number}","bindings":[{{"hosts":["127.0.0.1","api.test"],"strategy":{{"type":"oauth2"}}}}],"fields":{{"access_token":"token-{number}-"}}}}"#
                    );
                    let request = request("POST /api/v2/connections", address, &admin, &body);
                    let answer = client.exchange(request.as_bytes()).await?;
                    if answer.status != 201 {
                        return Err(Failure::from(format!("not made: {}", answer.text())));
                    }
                }
                Ok(())
            });
        }
        while let Some(done) = fillers.join_next().await {
            done??;
        }
        store.execute(&format!(
            "INSERT INTO grants (workspace, agent, connection, created_at) SELECT workspace, '{AGENT}', id, 0 FROM connections"
        ))
    }

    /// The agent, and the key of its sidecars in a file.
    pub(crate) fn admit(&self, store: &Store) -> Result<PathBuf, Failure> {
        let home = store.home();
        run(home, &["authority", "agent", "add", AGENT, "--config", "authority.yaml"])?;
        let add = ["authority", "key", "add", "--scope", "sidecar", "--agent", AGENT, "--out", "sidecar.key"];
        run(home, &[&add[..], &["--config", "authority.yaml"]].concat())?;
        Ok(home.join("sidecar.key"))
    }

    /// The CPU time of all its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let times = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
        Duration::from_nanos(times.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request with a key and a JSON body, if there is one.
pub(crate) fn request(call: &str, address: SocketAddr, key: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    format!(
        "{call} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The binary in a home of its own, with nothing of this process's environment.
pub(crate) fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().env("HOME", home).env("XDG_RUNTIME_DIR", home).current_dir(home).args(arguments);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let output = command(home, arguments).stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Starts a process whose log is read, on this CPU if one is named: a child inherits that of the
/// thread that starts it.
pub(crate) fn spawn(command: &mut Command, on: Option<usize>) -> Result<Child, Failure> {
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            if let Some(on) = on {
                cpu::pin(None, on);
            }
            command.spawn()
        });
        starter.join()
    });
    Ok(started.map_err(|_| "the process could not be started")??)
}

/// Reads the log until it says where the process listens, and answers that line; what it warns of later
/// passes.
pub(crate) fn listening(child: &mut Child) -> Result<String, Failure> {
    let log: ChildStderr = child.stderr.take().ok_or("the process has no standard error")?;
    let mut lines = BufReader::new(log).lines();
    let mut said = String::new();
    for line in lines.by_ref() {
        let line = line?;
        if line.contains("listening") {
            std::thread::spawn(move || {
                lines.map_while(Result::ok).filter(|line| !line.contains(" INFO ")).for_each(|line| progress(&line));
            });
            return Ok(line);
        }
        said += &format!("\n{line}");
    }
    Err(format!("it does not listen:{said}").into())
}

/// The first address that such a line has for the port of this name.
pub(crate) fn address(line: &str, port: &str) -> Result<SocketAddr, Failure> {
    let rest = line.split_once(&format!("{port}=[")).map(|(_, rest)| rest).unwrap_or_default();
    Ok(rest.split([']', ',']).next().unwrap_or_default().parse()?)
}
