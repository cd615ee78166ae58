//! Requests under way: an origin that the test drives byte by byte, and what both sides see.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{Agent, Answer, read_answer};

/// Waits for what must happen soon.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), what).await.expect("it did not happen within five seconds")
}

/// A cleartext origin on a port of its own, that answers nothing by itself.
pub struct ByHand {
    listener: TcpListener,
}

impl ByHand {
    pub async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub async fn accept(&self) -> TcpStream {
        soon(self.listener.accept()).await.unwrap().0
    }

    /// Whether nobody connects for a while.
    pub async fn is_left_alone(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(100), self.listener.accept()).await.is_err()
    }

    /// A GET of this path whose head has arrived here, and no answer was given.
    pub async fn asked(&self, agent: &Agent, path: &str) -> Underway {
        let port = self.port();
        let mut stream = agent.dial().await;
        let authorization = agent.authorization();
        let head = format!(
            "GET http://127.0.0.1:{port}{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{authorization}X-Seen: 1\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut origin = self.accept().await;
        let head = read_until(&mut origin, b"\r\n\r\n").await;
        Underway { agent: stream, origin, head: String::from_utf8(head).unwrap() }
    }

    /// The same, its answer's head and first part on their way to the agent and read there.
    pub async fn answering(&self, agent: &Agent, path: &str) -> Underway {
        let mut underway = self.asked(agent, path).await;
        underway.origin.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await.unwrap();
        read_until(&mut underway.agent, b"part\r\n").await;
        underway
    }
}

/// A request between its head and its last byte.
pub struct Underway {
    pub agent: TcpStream,
    pub origin: TcpStream,
    /// As it arrived at the origin.
    pub head: String,
}

impl Underway {
    /// Ends an answer that was begun; the agent has all of it.
    pub async fn ends_well(mut self) {
        self.origin.write_all(b"4\r\nrest\r\n0\r\n\r\n").await.unwrap();
        let rest = read_until(&mut self.agent, b"0\r\n\r\n").await;
        assert!(String::from_utf8_lossy(&rest).contains("rest"), "{rest:?}");
    }

    /// Both sides see their connection closed, the agent before the answer's end.
    pub async fn gets_cut(mut self) {
        let mut rest = Vec::new();
        let _ = soon(self.agent.read_to_end(&mut rest)).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
        is_closed(&mut self.origin).await;
    }

    /// The agent is told, and the origin's connection is closed.
    pub async fn gets_refused(mut self) -> Answer {
        let answer = soon(read_answer(&mut self.agent)).await;
        is_closed(&mut self.origin).await;
        answer
    }
}

/// The other side closes, whatever it had written before.
pub async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
}

/// Reads up to and with these bytes.
pub async fn read_until(stream: &mut (impl tokio::io::AsyncRead + Unpin), end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon(async {
        while !bytes.ends_with(end) {
            bytes.push(stream.read_u8().await.expect("the stream ended early"));
        }
    })
    .await;
    bytes
}
