//! A sidecar as its operator starts it beside one agent, a process of its own, which borrows from the
//! Authority over TLS and follows its events.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::Failure;
use crate::client::Client;
use crate::serve::{AGENT, Authority, address, command, listening, spawn};

/// `agent:password` in base64, as the proxy is told it.
const PASSWORD: (&str, &str) = ("a password of the benchmark", "YmVuY2g6YSBwYXNzd29yZCBvZiB0aGUgYmVuY2htYXJr");

/// A sidecar that has no stream after this long gets none.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running sidecar and its agent's connection; dropping it ends it.
pub(crate) struct Sidecar {
    child: Process,
    agent: Client<TcpStream>,
    proxy: SocketAddr,
    origin: SocketAddr,
}

impl Sidecar {
    /// Starts one in a folder of its own.
    pub(crate) async fn start(
        folder: &Path,
        authority: &Authority,
        key: &Path,
        origin: SocketAddr,
        connections: usize,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        // Each connection has upstream connections of its own: those that nobody needs any more go early.
        let configuration = format!(
            "version: 1\nlisten: {{ proxy: '127.0.0.1:0', admin: '127.0.0.1:0' }}\npolicy: [policy.yaml]\n\
             upstream: {{ idle_timeout: 2s }}\n\
             agents: [{{ name: {AGENT}, proxy_password_file: password }}]\n\
             sources: {{ fleet: {{ url: 'https://{}', dialect: nexus, auth: {{ bearer_file: '{}' }}, ca_file: '{}' }} }}\n",
            authority.address,
            key.display(),
            authority.ca_file.display(),
        );
        fs::write(folder.join("sidecar.yaml"), configuration)?;
        private(&folder.join("password"), PASSWORD.0)?;
        let rule = |number| {
            format!(
                "  - {{ host: 127.0.0.1, port: {}, path: /c{number}, connection: c{number}, plaintext: true, networks: [127.0.0.0/8] }}\n",
                origin.port()
            )
        };
        let rules: String = (0..connections).map(rule).collect();
        fs::write(folder.join("policy.yaml"), format!("version: 1\nrules:\n{rules}"))?;
        let mut child = spawn(&mut command(folder, &["proxy", "--config", "sidecar.yaml"]), None)?;
        let line = listening(&mut child);
        let child = Process(child);
        let line = line?;
        let (proxy, admin) = (address(&line, "proxy")?, address(&line, "admin")?);
        let sidecar = Self { child, agent: Client::plain(proxy).await?, proxy, origin };
        sidecar.hears(admin).await?;
        Ok(sidecar)
    }

    /// Waits until it holds the Authority's stream of events.
    async fn hears(&self, admin: SocketAddr) -> Result<(), Failure> {
        let request = format!("GET /status HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        let until = Instant::now() + PATIENCE;
        let mut client = Client::plain(admin).await?;
        loop {
            let answer = client.exchange(request.as_bytes()).await?;
            let status: serde_json::Value = serde_json::from_slice(answer.body)?;
            match status["sources"][0]["stream"].as_str() {
                Some("open") => return Ok(()),
                _ if Instant::now() > until => return Err(format!("no stream is open: {status}").into()),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Asks through the sidecar for what this connection is needed for; answers the status. It is 0 where
    /// the sidecar cut the connection, and may be 502 where it cut the one to the destination, as it does
    /// with what is under way when its lease is revoked.
    pub(crate) async fn ask(&mut self, number: usize) -> Result<u16, Failure> {
        let (origin, password) = (self.origin, PASSWORD.1);
        let request = format!(
            "GET http://{origin}/c{number} HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: Basic {password}\r\n\r\n"
        );
        match self.agent.exchange(request.as_bytes()).await {
            Ok(answer) => Ok(answer.status),
            Err(_) => {
                self.agent = Client::plain(self.proxy).await?;
                Ok(0)
            }
        }
    }

    /// Its proportional set size in KiB, where that may be read.
    pub(crate) fn memory(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.0.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

/// A process that ends with what it is part of.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn private(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(writeln!(file, "{text}")?)
}
