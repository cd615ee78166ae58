//! Inside a CONNECT: TLS under a leaf of ours, or plain HTTP; what is neither is refused.

use std::sync::Arc;

use http::Method;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use super::arrival::Arrival;
use super::front::Front;
use super::prefixed::Prefixed;
use super::quickack;
use super::registry::Stay;
use super::serve;
use super::strict::StrictStream;
use crate::model::{Code, Host, HostPort, Refusal, Scheme};

/// The alert `unrecognized_name` (RFC 6066, section 3), which rustls does not send: a fatal
/// TLS 1.2 record of two bytes.
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// A CONNECT whose inside is read.
pub(super) struct Intercepted {
    pub(super) front: Arc<Front>,
    pub(super) arrival: Arrival,
    pub(super) target: HostPort,
}

/// The bytes of an agent after its CONNECT.
pub(super) type AgentStream = Prefixed<TcpStream>;

/// Takes the socket back from hyper, with what it had read ahead.
pub(super) fn take_stream(upgraded: Upgraded) -> Option<AgentStream> {
    let parts = upgraded.downcast::<TokioIo<StrictStream<TcpStream>>>().ok()?;
    let (stream, ahead) = parts.io.into_inner().into_parts(parts.read_buf);
    Some(Prefixed::new(ahead, stream))
}

impl Intercepted {
    /// Serves what is inside until it ends. Only where no request came out of it has it an entry
    /// of its own.
    pub(super) async fn serve(self, upgrade: OnUpgrade) {
        let Some(stream) = upgrade.await.ok().and_then(take_stream) else { return };
        let Ok(agent) = self.arrival.agent() else { return };
        let stay = self.front.pipeline.registry.connection(agent.clone());
        match self.inside(stream, &stay).await {
            Ok(requests) if requests > 0 => {}
            Ok(_) => self.record(&Refusal::new(Code::InvalidRequest, "the connection ended before a request came")),
            Err(refusal) => self.record(&refusal),
        }
    }

    async fn inside(&self, mut stream: AgentStream, stay: &Stay) -> Result<u64, Refusal> {
        self.front.pipeline.still_knows(self.arrival.agent()?)?;
        let patience = self.front.pipeline.timeouts.handshake;
        let peeked = tokio::select! {
            peeked = tokio::time::timeout(patience, stream.peek(1)) => peeked,
            why = stay.closer().closed() => return Err(why),
        };
        let first = match peeked {
            Ok(Ok(bytes)) => bytes.first().copied(),
            Ok(Err(error)) => {
                return Err(Refusal::new(Code::InvalidRequest, "the connection broke off").with_log(error.to_string()));
            }
            Err(_) => {
                return Err(Refusal::new(
                    Code::RequestTimeout,
                    "nothing was sent after the CONNECT: a server that speaks first needs a tunnel rule",
                ));
            }
        };
        match first {
            None => Ok(0),
            Some(TLS_HANDSHAKE) => self.tls(stream, stay).await,
            Some(byte) if byte.is_ascii_uppercase() => {
                let arrival = self.arrival_inside(Scheme::Http, "plain");
                Ok(serve::inside_h1(&self.front, stream, arrival, stay).await)
            }
            Some(_) => {
                let message = "what follows the CONNECT is neither TLS nor HTTP: it needs a rule with action: tunnel and protocol: any";
                Err(Refusal::new(Code::NotSupported, message))
            }
        }
    }

    async fn tls(&self, stream: AgentStream, stay: &Stay) -> Result<u64, Refusal> {
        let patience = self.front.pipeline.timeouts.handshake;
        let stream = tokio::select! {
            done = tokio::time::timeout(patience, self.handshake(stream)) => done
                .map_err(|_| Refusal::new(Code::RequestTimeout, "the TLS handshake was not finished in time"))??,
            why = stay.closer().closed() => return Err(why),
        };
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let arrival = self.arrival_inside(Scheme::Https, if h2 { "h2" } else { "tls" });
        Ok(if h2 {
            serve::inside_h2(&self.front, stream, arrival, stay).await
        } else {
            serve::inside_h1(&self.front, stream, arrival, stay).await
        })
    }

    async fn handshake(&self, stream: AgentStream) -> Result<TlsStream<AgentStream>, Refusal> {
        let failed = |error: std::io::Error| {
            let message = "the TLS handshake failed: does the client trust our CA?";
            Refusal::new(Code::InvalidRequest, message).with_log(format!("{message} ({error})"))
        };
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(failed)?;
        if let Err(refusal) = agree(&self.target.host, start.client_hello().server_name()) {
            let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = start.io.shutdown().await;
            return Err(refusal);
        }
        let pipeline = &self.front.pipeline;
        let (config, minted) =
            self.front.leaves.server_config(&self.target.host, pipeline.clock.wall()).map_err(|error| {
                Refusal::new(Code::Internal, "no certificate could be made for the host").with_log(error.to_string())
            })?;
        if minted {
            pipeline.metrics.leaf_minted();
        }
        let stream = start.into_stream(config).await.map_err(failed)?;
        quickack::acknowledge(stream.get_ref().0.get_ref());
        Ok(stream)
    }

    fn arrival_inside(&self, scheme: Scheme, via: &'static str) -> Arrival {
        let mut arrival = self.arrival.clone();
        arrival.tunnel = Some(Arc::new(self.target.with_scheme(scheme)));
        arrival.via = via;
        arrival.line = Arc::default();
        arrival
    }

    fn record(&self, refusal: &Refusal) {
        let target = format!("{}:{}", self.target.host, self.target.port.unwrap_or_default());
        self.front.pipeline.record_refusal(&self.arrival, &Method::CONNECT, &target, refusal);
    }
}

/// SNI and CONNECT name one host. No SNI means the CONNECT's.
pub(super) fn agree(host: &Host, server_name: Option<&str>) -> Result<(), Refusal> {
    match server_name {
        None => Ok(()),
        Some(name) if Host::parse(name).is_ok_and(|name| name == *host) => Ok(()),
        Some(_) => Err(Refusal::new(Code::MisdirectedRequest, "the TLS server name is not the host of the CONNECT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_name_is_the_connects() {
        let host = Host::parse("a.example").unwrap();
        assert!(agree(&host, None).is_ok());
        assert!(agree(&host, Some("A.example")).is_ok());
        assert_eq!(agree(&host, Some("b.example")).unwrap_err().code(), Code::MisdirectedRequest);
        assert!(agree(&host, Some("")).is_err());
    }
}
