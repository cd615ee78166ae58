use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A head longer than this is not read: the status stands in its first line.
const LONGEST: u64 = 1024;

/// Asks one of our own health listeners over plain TCP, on the operator's word, and answers the
/// status of `GET path`. `address` is `HOST:PORT`; each address of the host is tried in turn.
///
/// Blocking and free of any runtime, so that a probe costs next to nothing.
pub fn probe(address: &str, path: &str, wait: Duration) -> io::Result<u16> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in address.to_socket_addrs()? {
        match ask(candidate, address, path, wait) {
            Ok(status) => return Ok(status),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask(candidate: SocketAddr, host: &str, path: &str, wait: Duration) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&candidate, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    // One write, so that whoever reads once has read it all.
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut limited = stream.take(LONGEST);
    let mut piece = [0; 256];
    while !head.contains(&b'\n') {
        match limited.read(&mut piece)? {
            0 => break,
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    status(&head).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

/// The status of a status line (RFC 9112, section 4).
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\n').next()?).ok()?;
    let digits = line.strip_prefix("HTTP/1.")?.get(2..5)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answering(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(answer);
        });
        address
    }

    #[test]
    fn the_status_is_the_answers() {
        let wait = Duration::from_secs(5);
        assert_eq!(probe(&answering(b"HTTP/1.1 200 OK\r\n\r\n"), "/readyz", wait).unwrap(), 200);
        assert_eq!(probe(&answering(b"HTTP/1.1 503 \r\n\r\nx"), "/readyz", wait).unwrap(), 503);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        let wait = Duration::from_secs(5);
        for answer in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 2x0 OK\r\n", b"HTTP/1.1", b"HTTP/1.1 \xff\xff\xff\n"] {
            assert!(probe(&answering(answer), "/readyz", wait).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn nobody_there_is_an_error() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(probe(&free.to_string(), "/", Duration::from_secs(5)).is_err());
    }
}
