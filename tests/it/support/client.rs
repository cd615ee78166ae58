//! An agent of the tests' own: raw bytes where the bytes matter, hyper where they do not.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::provider;

/// An answer with its body read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The `error` object of a refusal.
    pub fn error(&self) -> serde_json::Value {
        let body: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON in {} {:?}", self.status, String::from_utf8_lossy(&self.body)));
        body["error"].clone()
    }

    /// The code of a refusal, which stands in the body and in a header alike.
    pub fn code(&self) -> String {
        let code = self.error()["code"].as_str().unwrap().to_owned();
        assert_eq!(self.headers["x-nexus-error"], code.as_str());
        code
    }
}

/// Who speaks to the proxy, and how.
#[derive(Clone)]
pub struct Agent {
    pub proxy: SocketAddr,
    pub trust: String,
    pub credentials: Option<(String, String)>,
}

impl Agent {
    /// `Proxy-Authorization` as a line, or nothing.
    pub fn authorization(&self) -> String {
        self.credentials.as_ref().map_or_else(String::new, |(user, password)| {
            let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            format!("Proxy-Authorization: Basic {token}\r\n")
        })
    }

    pub async fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(self.proxy).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes and reads one answer; for what no library would send.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.dial().await;
        stream.write_all(bytes).await.unwrap();
        read_answer(&mut stream).await
    }

    /// CONNECT; a refusal comes back as the error.
    pub async fn connect(&self, authority: &str) -> Result<TcpStream, Answer> {
        let mut stream = self.dial().await;
        let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n", self.authorization());
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        if answer.status == StatusCode::OK { Ok(stream) } else { Err(answer) }
    }

    /// A client's TLS configuration that trusts the sidecar's CA alone.
    pub fn tls(&self, alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.trust.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// CONNECT and TLS with this server name.
    pub async fn intercepted(
        &self,
        authority: &str,
        sni: &str,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = self.connect(authority).await.expect("CONNECT refused");
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        TlsConnector::from(self.tls(alpn)).connect(name, stream).await
    }

    /// A request to an https URL through CONNECT, over HTTP/1.1.
    pub async fn https(&self, request: Request<Full<Bytes>>) -> Answer {
        self.https_over(request, b"http/1.1").await
    }

    /// The same over h2.
    pub async fn h2(&self, request: Request<Full<Bytes>>) -> Answer {
        self.https_over(request, b"h2").await
    }

    async fn https_over(&self, mut request: Request<Full<Bytes>>, alpn: &[u8]) -> Answer {
        let host = request.uri().host().unwrap().to_owned();
        let port = request.uri().port_u16().unwrap_or(443);
        let stream = match self.connect(&format!("{host}:{port}")).await {
            Ok(stream) => stream,
            Err(answer) => return answer,
        };
        let name = ServerName::try_from(host).unwrap();
        let stream = TlsConnector::from(self.tls(&[alpn])).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        if alpn == b"h2" {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            return collect(sender.send_request(request).await.unwrap()).await;
        }
        let authority = request.uri().authority().unwrap().to_string();
        request.headers_mut().entry("host").or_insert(authority.parse().unwrap());
        *request.uri_mut() = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        collect(sender.send_request(request).await.unwrap()).await
    }

    /// Any request in absolute form on the proxy's port, byte for byte as given; `Host` and
    /// framing are added.
    pub async fn plain(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let host = url.split('/').nth(2).unwrap();
        let mut head = format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\n{}", self.authorization());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    /// The same port, asked by another agent.
    #[must_use]
    pub fn named(&self, name: &str, password: &str) -> Self {
        Self { credentials: Some((name.to_owned(), password.to_owned())), ..self.clone() }
    }

    /// A GET of an absolute-form URL on the proxy's port.
    pub async fn get_plain(&self, url: &str) -> Answer {
        let uri: http::Uri = url.parse().unwrap();
        let host = uri.authority().unwrap();
        self.raw(
            format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{}Connection: close\r\n\r\n", self.authorization())
                .as_bytes(),
        )
        .await
    }

    /// A GET of an https URL.
    pub async fn get(&self, url: &str) -> Answer {
        self.https(Request::get(url).body(Full::default()).unwrap()).await
    }
}

async fn collect(response: Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Reads one answer from a raw stream and not a byte more: its head, and the body that
/// `Content-Length` names.
pub async fn read_answer<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => panic!("the connection ended within a head: {:?}", String::from_utf8_lossy(&head)),
        }
    }
    let (status, headers) = parse_head(&head);
    let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the connection ended within a body");
    Answer { status, headers, body: body.into() }
}

fn parse_head(head: &[u8]) -> (StatusCode, HeaderMap) {
    let text = std::str::from_utf8(head).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(http::HeaderName::try_from(name).unwrap(), value.trim().parse().unwrap());
    }
    (status, headers)
}
