//! The load: connections that send one request after the other and check every answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;
use crate::origin::{ANSWER, CREDENTIAL, INJECTED, TUNNELLED};

/// How requests follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// One connection that is kept.
    One,
    /// 64 connections that are kept.
    Many,
    /// A new connection for each request, one at a time.
    Fresh,
}

impl Shape {
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Many, Self::Fresh];

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::One => "keep-alive, 1 connection",
            Self::Many => "keep-alive, 64 connections",
            Self::Fresh => "new connection per request",
        }
    }

    const fn connections(self) -> usize {
        match self {
            Self::One | Self::Fresh => 1,
            Self::Many => 64,
        }
    }
}

/// How a request gets to the destination.
#[derive(Clone, Copy)]
pub(crate) enum Route {
    /// Past the sidecar, the credential in hand.
    Direct,
    /// Through the sidecar on this port, to this host.
    Proxy { port: u16, host: &'static str },
}

/// One measurement.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) shape: Shape,
    pub(crate) seconds: Duration,
    pub(crate) origin: u16,
    pub(crate) route: Route,
    pub(crate) trust: Arc<ClientConfig>,
}

/// What came out of it. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) requests: usize,
    /// Those of the warm-up too.
    all: usize,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// CPU of the sidecar for a request, where there is a sidecar.
    pub(crate) cpu: Option<f64>,
}

/// A client that trusts these authorities and resumes no session.
pub(crate) fn trust(pems: &[&str]) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    for pem in pems {
        for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate?)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

impl Case {
    /// Warms up, then measures.
    pub(crate) async fn run(self) -> Result<Figures, Failure> {
        let begin = Instant::now() + self.seconds / 5;
        let end = begin + self.seconds;
        let mut connections = JoinSet::new();
        for _ in 0..self.shape.connections() {
            connections.spawn(self.clone().connection(begin, end));
        }
        let (mut times, mut all) = (Vec::new(), 0);
        while let Some(done) = connections.join_next().await {
            let (of_one, count) = done??;
            times.extend(of_one);
            all += count;
        }
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
        Ok(Figures {
            requests: times.len(),
            all,
            per_second: times.len() as f64 / self.seconds.as_secs_f64(),
            p50: at(0.50).as_secs_f64() * 1e6,
            p99: at(0.99).as_secs_f64() * 1e6,
            cpu: None,
        })
    }

    /// One request over a connection of its own.
    pub(crate) async fn once(&self) -> Result<(), Failure> {
        exchange(&mut self.connect().await?, self.request().as_bytes()).await
    }

    async fn connection(self, begin: Instant, end: Instant) -> Result<(Vec<Duration>, usize), Failure> {
        let request = self.request();
        let (mut times, mut all) = (Vec::new(), 0);
        let mut kept = None;
        loop {
            let started = Instant::now();
            if started >= end {
                return Ok((times, all));
            }
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => self.connect().await?,
            };
            exchange(&mut stream, request.as_bytes()).await?;
            all += 1;
            if started >= begin {
                times.push(started.elapsed());
            }
            if self.shape != Shape::Fresh {
                kept = Some(stream);
            }
        }
    }

    fn host(&self) -> &'static str {
        match self.route {
            Route::Direct => INJECTED,
            Route::Proxy { host, .. } => host,
        }
    }

    fn request(&self) -> String {
        // Where the sidecar injects, the agent has nothing to send.
        let injected = matches!(self.route, Route::Proxy { host, .. } if host != TUNNELLED);
        let own = if injected { String::new() } else { format!("Authorization: Bearer {CREDENTIAL}\r\n") };
        let (host, port) = (self.host(), self.origin);
        format!("GET /bench HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n{own}\r\n")
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let port = match self.route {
            Route::Direct => self.origin,
            Route::Proxy { port, .. } => port,
        };
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        if let Route::Proxy { host, .. } = self.route {
            let target = format!("{host}:{}", self.origin);
            stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
            let head = read_head(&mut stream, &mut Vec::new()).await?;
            expect_ok(&head)?;
        }
        let name = ServerName::try_from(self.host())?;
        Ok(TlsConnector::from(Arc::clone(&self.trust)).connect(name, stream).await?)
    }
}

/// Sends a request and reads the whole answer, which must be a good one.
async fn exchange<S>(stream: &mut S, request: &[u8]) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await?;
    let mut body = Vec::with_capacity(2048);
    let head = read_head(stream, &mut body).await?;
    expect_ok(&head)?;
    while body.len() < ANSWER {
        if stream.read_buf(&mut body).await? == 0 {
            return Err("the answer broke off".into());
        }
    }
    if body.len() == ANSWER && body.iter().all(|&byte| byte == b'x') {
        Ok(())
    } else {
        Err("the answer is not what the destination sent".into())
    }
}

/// Reads to the empty line; what came behind it goes to `rest`.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S, rest: &mut Vec<u8>) -> Result<String, Failure> {
    let mut bytes = Vec::with_capacity(2048);
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            rest.extend_from_slice(&bytes[end + 4..]);
            bytes.truncate(end);
            return Ok(String::from_utf8(bytes)?);
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err("the connection ended before an answer came".into());
        }
    }
}

fn expect_ok(head: &str) -> Result<(), Failure> {
    if head.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("not a good answer: {head}").into()) }
}

impl Figures {
    /// Shares the sidecar's CPU among the requests of warm-up and measurement.
    pub(crate) fn cpu_of_sidecar(&mut self, used: Duration) {
        self.cpu = Some(used.as_secs_f64() * 1e6 / self.all.max(1) as f64);
    }
}
