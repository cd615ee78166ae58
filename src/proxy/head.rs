//! What a request's head must look like before hyper may parse it (RFC 9112).
//!
//! hyper answers a malformed head with a bare 400, and drops one of two framings in silence.
//! This check stands before it: what passes here reads the same to every parser.

use http::Uri;

/// How the body behind a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// So many bytes; 0 where there is no body.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// A CONNECT: what follows is no message.
    Tunnel,
}

/// Why a message is refused before policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// A CR or LF that is not part of a CRLF.
    BareLineBreak,
    /// A line that continues the one before (obs-fold).
    Folding,
    /// Not `METHOD SP TARGET SP HTTP/1.x`.
    RequestLine,
    /// A byte in the target outside 0x21 to 0x7E, a fragment, or no URI.
    Target,
    /// `HTTP/2.0`, `HTTP/0.9` and others.
    Version,
    /// No `name: value`.
    Field,
    /// None, or more than one.
    Host,
    /// Not one decimal number.
    ContentLength,
    /// Not exactly `chunked`, or sent with HTTP/1.0.
    TransferEncoding,
    /// Both framings.
    BothFramings,
    /// More than the limit, or more than a hundred fields.
    TooLong,
    /// A chunk's size line, its end, or a trailer.
    Chunk,
    /// The head did not arrive in time.
    Slow,
}

impl Malformed {
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::BareLineBreak => "the request holds a CR or LF that is not part of a line end",
            Self::Folding => "the request holds a folded header line",
            Self::RequestLine => "the request line is not METHOD, target and version, one blank apart",
            Self::Target => "the request target holds a byte that must be percent-encoded, a fragment, or is no URI",
            Self::Version => "the request is not HTTP/1.0 or HTTP/1.1",
            Self::Field => "the request holds a header line that is not a name, a colon and a value",
            Self::Host => "the request needs exactly one Host header",
            Self::ContentLength => "the request needs at most one Content-Length, of decimal digits",
            Self::TransferEncoding => "the request has a Transfer-Encoding other than chunked",
            Self::BothFramings => "the request has both a Content-Length and a Transfer-Encoding",
            Self::TooLong => "the request's head is longer than the limit, or has more than 100 header lines",
            Self::Chunk => "the request's chunked body is malformed",
            Self::Slow => "the request's head did not arrive in time",
        }
    }
}

const MAX_FIELDS: usize = 100;

/// The longest target that `http::Uri` holds.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// Finds the end of a head in `bytes`, of which the first `scanned` were looked at before.
/// Answers the length of the head with its empty line, or `None` while it is incomplete.
pub(super) fn find_end(bytes: &[u8], scanned: usize) -> Result<Option<usize>, Malformed> {
    // TLS or SOCKS, from a client that takes this for another kind of proxy: it would wait in vain.
    if bytes.first().is_some_and(|first| !first.is_ascii_graphic() && !b"\r\n".contains(first)) {
        return Err(Malformed::RequestLine);
    }
    let mut at = scanned;
    while let Some(offset) = bytes[at..].iter().position(|&b| b == b'\n' || b == b'\r') {
        let here = at + offset;
        if bytes[here] == b'\n' {
            if here == 0 || bytes[here - 1] != b'\r' {
                return Err(Malformed::BareLineBreak);
            }
            if here >= 3 && bytes[here - 3..here] == *b"\r\n\r" {
                return Ok(Some(here + 1));
            }
        } else if bytes.get(here + 1).is_some_and(|&next| next != b'\n') {
            return Err(Malformed::BareLineBreak);
        }
        at = here + 1;
    }
    Ok(None)
}

/// Checks a whole head, its empty line included, and says how its body is framed.
pub(super) fn check(head: &[u8]) -> Result<BodyFraming, Malformed> {
    let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (connect, version) = check_request_line(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    let mut count = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        count += 1;
        if count > MAX_FIELDS {
            return Err(Malformed::TooLong);
        }
        fields.note(line)?;
    }
    fields.framing(connect, version)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

fn check_request_line(line: &[u8]) -> Result<(bool, Version), Malformed> {
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed::RequestLine);
    };
    if method.is_empty() || !method.iter().all(|&b| is_token(b)) {
        return Err(Malformed::RequestLine);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Malformed::Version),
    };
    if target.is_empty() || !target.iter().all(|b| (0x21..=0x7e).contains(b) && *b != b'#') {
        return Err(Malformed::Target);
    }
    // What http's parser would refuse must be refused here, or hyper answers it with a bare 400.
    let unusual =
        |b: &u8| matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'@' | b'[' | b']');
    if target.len() > MAX_TARGET || (target[0] != b'/' || target.iter().any(unusual)) && Uri::try_from(target).is_err()
    {
        return Err(Malformed::Target);
    }
    Ok((method == b"CONNECT", version))
}

#[derive(Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Fields {
    fn note(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let (name, value) = split_field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Malformed::ContentLength);
            }
            self.length = Some(parse_length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed::TransferEncoding);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn framing(&self, connect: bool, version: Version) -> Result<BodyFraming, Malformed> {
        if self.hosts > 1 || (self.hosts == 0 && version == Version::Http11) {
            return Err(Malformed::Host);
        }
        if self.chunked && version == Version::Http10 {
            return Err(Malformed::TransferEncoding);
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Malformed::BothFramings),
            (true, None) | (false, Some(1..)) if connect => Err(Malformed::ContentLength),
            (false, None | Some(0)) if connect => Ok(BodyFraming::Tunnel),
            (true, None) => Ok(BodyFraming::Chunked),
            (false, length) => Ok(BodyFraming::Length(length.unwrap_or_default())),
        }
    }
}

/// Splits `name: value`, both checked (RFC 9110, section 5.5), the blanks around the value cut.
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Malformed::Folding);
    }
    let colon = line.iter().position(|&b| b == b':').ok_or(Malformed::Field)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let visible = |&b: &u8| b == b'\t' || (b >= 0x20 && b != 0x7f);
    if name.is_empty() || !name.iter().all(|&b| is_token(b)) || !value.iter().all(visible) {
        return Err(Malformed::Field);
    }
    Ok((name, value.trim_ascii()))
}

fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::ContentLength);
    }
    Ok(value.iter().fold(0, |sum, &b| sum * 10 + u64::from(b - b'0')))
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BodyFraming, Malformed> {
        match find_end(text.as_bytes(), 0)? {
            Some(end) => check(&text.as_bytes()[..end]),
            None => panic!("incomplete: {text:?}"),
        }
    }

    #[test]
    fn framings() {
        use BodyFraming::{Chunked, Length, Tunnel};
        for (text, want) in [
            ("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Length(0)),
            ("GET / HTTP/1.0\r\n\r\n", Length(0)),
            ("POST / HTTP/1.1\r\nhost:a\r\nContent-Length:  12 \r\n\r\n", Length(12)),
            ("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n", Chunked),
            ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", Tunnel),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\nEmpty:\r\n\r\n", Length(0)),
            ("GET /?q={a:[1]}|x HTTP/1.1\r\nHost: a\r\n\r\n", Length(0)),
        ] {
            assert_eq!(read(text), Ok(want), "{text:?}");
        }
    }

    #[test]
    fn malformed_or_ambiguous() {
        use Malformed as M;
        let host = "Host: a\r\n";
        for (text, want) in [
            ("GET /\r\n\r\n".to_owned(), M::RequestLine),
            ("\u{5}\u{1}\u{0}".to_owned(), M::RequestLine),
            ("\u{16}\u{3}\u{1}".to_owned(), M::RequestLine),
            (format!("GET  / HTTP/1.1\r\n{host}\r\n"), M::RequestLine),
            (format!("GET / HTTP/1.1 \r\n{host}\r\n"), M::RequestLine),
            (format!("GE(T / HTTP/1.1\r\n{host}\r\n"), M::RequestLine),
            (format!("GET / HTTP/2.0\r\n{host}\r\n"), M::Version),
            (format!("GET / http/1.1\r\n{host}\r\n"), M::Version),
            (format!("GET /\u{e9} HTTP/1.1\r\n{host}\r\n"), M::Target),
            (format!("GET /\u{7f} HTTP/1.1\r\n{host}\r\n"), M::Target),
            (format!("GET /a#b HTTP/1.1\r\n{host}\r\n"), M::Target),
            (format!("GET http://[::1/ HTTP/1.1\r\n{host}\r\n"), M::Target),
            (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(MAX_TARGET)), M::Target),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), M::Host),
            (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), M::Host),
            (format!("GET / HTTP/1.1\n{host}\r\n"), M::BareLineBreak),
            (format!("GET / HTTP/1.1\r\n{host}A: b\rc\r\n\r\n"), M::BareLineBreak),
            (format!("GET / HTTP/1.1\r\n{host} folded\r\n\r\n"), M::Folding),
            (format!("GET / HTTP/1.1\r\n{host}\tfolded\r\n\r\n"), M::Folding),
            (format!("GET / HTTP/1.1\r\n{host}Name : value\r\n\r\n"), M::Field),
            (format!("GET / HTTP/1.1\r\n{host}: value\r\n\r\n"), M::Field),
            (format!("GET / HTTP/1.1\r\n{host}novalue\r\n\r\n"), M::Field),
            (format!("GET / HTTP/1.1\r\n{host}A: b\u{0}\r\n\r\n"), M::Field),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 1\r\n\r\n"), M::ContentLength),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length: 1, 1\r\n\r\n"), M::ContentLength),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\n"), M::ContentLength),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length: 0x1\r\n\r\n"), M::ContentLength),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length:\r\n\r\n"), M::ContentLength),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length: 9999999999999999999\r\n\r\n"), M::ContentLength),
            (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"), M::TransferEncoding),
            (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: \u{b}chunked\r\n\r\n"), M::Field),
            (
                format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
                M::TransferEncoding,
            ),
            (format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n"), M::TransferEncoding),
            (
                format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
                M::BothFramings,
            ),
            (format!("CONNECT a:443 HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\n"), M::ContentLength),
            (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "A: b\r\n".repeat(100)), M::TooLong),
        ] {
            let got = match find_end(text.as_bytes(), 0) {
                Ok(Some(end)) => check(&text.as_bytes()[..end]),
                Ok(None) => panic!("incomplete: {text:?}"),
                Err(why) => Err(why),
            };
            assert_eq!(got, Err(want), "{text:?}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..head.len() {
            let early = find_end(&head[..cut], 0).unwrap();
            assert_eq!(early, (cut >= head.len() - 4).then_some(head.len() - 4), "{cut}");
            assert_eq!(find_end(head, cut.saturating_sub(3).min(head.len() - 8)).unwrap(), Some(head.len() - 4));
        }
    }
}
