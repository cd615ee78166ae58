//! A client that costs little: one connection, requests as bytes, answers read whole.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;

/// A client's TLS that trusts this certificate.
pub(crate) fn trust(pem: &str) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection that is kept.
pub(crate) struct Client<S> {
    stream: S,
    bytes: Vec<u8>,
}

/// An answer, while the next request has not been sent.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Client<TcpStream> {
    pub(crate) async fn plain(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, bytes: Vec::with_capacity(4096) })
    }
}

impl Client<TlsStream<TcpStream>> {
    pub(crate) async fn tls(address: SocketAddr, connector: &TlsConnector) -> Result<Self, Failure> {
        let plain = Client::plain(address).await?;
        let stream = connector.connect(ServerName::from(address.ip()), plain.stream).await?;
        Ok(Self { stream, bytes: plain.bytes })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Sends a request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, Failure> {
        self.stream.write_all(request).await?;
        self.bytes.clear();
        let (mut head, mut length) = (None, 0);
        while head.is_none_or(|head| self.bytes.len() < head + length) {
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                return Err("the answer broke off".into());
            }
            if head.is_none()
                && let Some(end) = memchr::memmem::find(&self.bytes, b"\r\n\r\n")
            {
                (head, length) = (Some(end + 4), content_length(&self.bytes[..end])?);
            }
        }
        let head = head.unwrap_or_default();
        let status = std::str::from_utf8(self.bytes.get(9..12).unwrap_or_default())?.parse()?;
        Ok(Answer { status, head: &self.bytes[..head], body: &self.bytes[head..head + length] })
    }
}

impl Answer<'_> {
    /// The whole of it, for whoever asks what went wrong.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&[self.head, self.body].concat()).into_owned()
    }
}

fn content_length(head: &[u8]) -> Result<usize, Failure> {
    for line in head.split(|byte| *byte == b'\n') {
        let name = b"content-length:";
        if line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name) {
            return Ok(std::str::from_utf8(&line[name.len()..])?.trim().parse()?);
        }
    }
    // An answer without a body.
    Ok(0)
}
