//! An h2 client of frames alone, for what no library would send.

use std::collections::HashMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::Agent;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// How a stream ended.
#[derive(Debug, PartialEq)]
pub enum End {
    /// With an answer, whose body this is.
    Body(String),
    Reset,
    /// The connection was ended.
    Away,
}

impl End {
    /// The code of a refusal, or a word for the rest.
    pub fn word(&self) -> String {
        match self {
            Self::Body(body) => serde_json::from_str::<serde_json::Value>(body)
                .ok()
                .and_then(|body| body["error"]["code"].as_str().map(str::to_owned))
                .unwrap_or_else(|| body.clone()),
            Self::Reset => "reset".to_owned(),
            Self::Away => "away".to_owned(),
        }
    }
}

pub struct Frames {
    stream: TlsStream<TcpStream>,
    bodies: HashMap<u32, Vec<u8>>,
}

impl Frames {
    pub async fn open(agent: &Agent, authority: &str) -> Self {
        let host = authority.split(':').next().unwrap();
        let mut stream = agent.intercepted(authority, host, &[b"h2"]).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut frames = Self { stream, bodies: HashMap::new() };
        frames.send(SETTINGS, 0, 0, &[]).await.unwrap();
        frames
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await
    }

    /// HEADERS with these fields, each literal and unindexed (RFC 7541, section 6.2.2).
    pub async fn headers(&mut self, stream: u32, fields: &[(&str, &[u8])], flags: u8) -> std::io::Result<()> {
        self.send(HEADERS, END_HEADERS | flags, stream, &block(fields)).await
    }

    /// Reads until a stream ends.
    pub async fn end(&mut self, wanted: u32) -> End {
        loop {
            let mut head = [0; 9];
            if self.stream.read_exact(&mut head).await.is_err() {
                return End::Away;
            }
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let mut payload = vec![0; length];
            if self.stream.read_exact(&mut payload).await.is_err() {
                return End::Away;
            }
            match kind {
                SETTINGS | PING if flags & 1 == 0 => {
                    let echo = if kind == PING { payload } else { Vec::new() };
                    let _ = self.send(kind, 1, 0, &echo).await;
                }
                GOAWAY => return End::Away,
                RST_STREAM if stream == wanted => return End::Reset,
                DATA => self.bodies.entry(stream).or_default().extend(payload),
                _ => {}
            }
            if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 && stream == wanted {
                let body = self.bodies.remove(&stream).unwrap_or_default();
                return End::Body(String::from_utf8(body).unwrap());
            }
        }
    }
}

/// A header block.
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value] {
            if text.len() < 127 {
                block.push(u8::try_from(text.len()).unwrap());
            } else {
                block.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                block.push(u8::try_from(rest).unwrap());
            }
            block.extend_from_slice(text);
        }
    }
    block
}
