//! Follows a chunked body (RFC 9112, section 7.1) without keeping it.

use super::head::{Malformed, split_field};

/// Where in a chunked body the next byte stands.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    line: Vec<u8>,
    trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

/// A size line with its extensions, or one trailer.
const MAX_LINE: usize = 4096;
const MAX_TRAILERS: usize = 32;

impl Chunked {
    pub(super) fn new() -> Self {
        Self { state: State::Size, line: Vec::new(), trailers: 0 }
    }

    /// Takes bytes; answers how many belong to the body, and whether it ended with them.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            if let State::Data(left) = self.state {
                let rest = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX);
                let taken = left.min(rest);
                at += usize::try_from(taken).unwrap_or_default();
                self.state = if taken == left { State::DataEnd } else { State::Data(left - taken) };
                continue;
            }
            at += 1;
            if self.take(bytes[at - 1])? {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// Takes a byte of a line; true once the body is over.
    fn take(&mut self, byte: u8) -> Result<bool, Malformed> {
        if byte != b'\n' {
            if self.line.len() >= MAX_LINE || self.line.last() == Some(&b'\r') {
                return Err(Malformed::Chunk);
            }
            self.line.push(byte);
            return Ok(false);
        }
        if self.line.pop() != Some(b'\r') {
            return Err(Malformed::Chunk);
        }
        let done = self.end_line()?;
        self.line.clear();
        Ok(done)
    }

    fn end_line(&mut self) -> Result<bool, Malformed> {
        match self.state {
            State::Size => {
                self.state = match parse_size(&self.line)? {
                    0 => State::Trailers,
                    size => State::Data(size),
                };
            }
            State::DataEnd if self.line.is_empty() => self.state = State::Size,
            State::DataEnd | State::Data(_) => return Err(Malformed::Chunk),
            State::Trailers if self.line.is_empty() => return Ok(true),
            State::Trailers => {
                self.trailers += 1;
                if self.trailers > MAX_TRAILERS || split_field(&self.line).is_err() {
                    return Err(Malformed::Chunk);
                }
            }
        }
        Ok(false)
    }
}

fn parse_size(line: &[u8]) -> Result<u64, Malformed> {
    let mut parts = line.splitn(2, |&b| b == b';');
    let digits = parts.next().unwrap_or_default();
    let extension = parts.next().unwrap_or_default();
    let plain = extension.iter().all(|&b| (0x20..0x7f).contains(&b) || b == b'\t');
    if digits.is_empty() || digits.len() > 15 || !plain || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Malformed::Chunk);
    }
    Ok(digits.iter().fold(0, |size, &b| size * 16 + u64::from(char::from(b).to_digit(16).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_at_once(body: &[u8]) -> Result<(usize, bool), Malformed> {
        Chunked::new().follow(body)
    }

    #[test]
    fn the_end_is_found_at_every_cut() {
        let body = b"5;ext=\"v\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        let length = body.len() - 5;
        assert_eq!(all_at_once(body), Ok((length, true)));
        for cut in 0..length {
            let mut chunked = Chunked::new();
            assert_eq!(chunked.follow(&body[..cut]), Ok((cut, false)), "{cut}");
            assert_eq!(chunked.follow(&body[cut..]), Ok((length - cut, true)), "{cut}");
        }
    }

    #[test]
    fn malformed() {
        for body in [
            &b"\r\n"[..],
            b" 5\r\n",
            b"5 \r\n",
            b"0x5\r\n",
            b"-1\r\n",
            b"5\n",
            b"5\rx\n",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"1000000000000000\r\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\nbad\r\n\r\n",
            b"5;\x00\r\n",
        ] {
            // A byte more makes a bare CR visible.
            let mut body = body.to_vec();
            body.extend_from_slice(b"\r\n");
            assert_eq!(all_at_once(&body), Err(Malformed::Chunk), "{:?}", String::from_utf8_lossy(&body));
        }
        assert_eq!(all_at_once(&[b'1'; MAX_LINE + 2]), Err(Malformed::Chunk));
    }
}
