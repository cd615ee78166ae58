//! Path, query and headers as they are signed.

use super::{PathEncoding, SigV4Error};

/// A little less than the crate's URI type holds. The crate expects to write the URI that it read
/// once more, and panics where it cannot.
const MAX_URI: usize = 65_000;

/// Path and query in their signed form, the query not yet sorted: the crate does that.
pub(super) fn uri(path: &str, query: Option<&str>, encoding: PathEncoding) -> Result<String, SigV4Error> {
    if !path.starts_with('/') {
        return Err(SigV4Error::Request("the path does not start with a slash".into()));
    }
    let mut uri = String::with_capacity(path.len() + query.map_or(0, str::len) + 16);
    match encoding {
        PathEncoding::Twice => path.bytes().for_each(|byte| push_path_byte(&mut uri, byte)),
        PathEncoding::Once => push_encoded_once(&mut uri, path.as_bytes()),
    }
    let mut separator = '?';
    for piece in query.unwrap_or_default().split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        uri.push(separator);
        push_form(&mut uri, name)?;
        uri.push('=');
        push_form(&mut uri, value)?;
        separator = '&';
    }
    if uri.len() > MAX_URI {
        return Err(SigV4Error::Request(format!("path and query are longer than {MAX_URI} bytes once encoded")));
    }
    Ok(uri)
}

/// Header values as text. RFC 9110, section 5.5, lets a value hold any byte above 0x7F; the
/// crate signs UTF-8 alone.
pub(super) fn headers<'a>(headers: &[(&'a str, &'a [u8])]) -> Result<Vec<(&'a str, &'a str)>, SigV4Error> {
    let text = |&(name, value): &(&'a str, &'a [u8])| match std::str::from_utf8(value) {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(SigV4Error::Request(format!("the header {name} is not UTF-8"))),
    };
    headers.iter().map(text).collect()
}

/// Encodes what is not encoded yet and keeps what is, so that every spelling of a path signs as
/// its decoded bytes do: that is what S3 and its look-alikes compute. To them an escaped slash is
/// a slash of the key.
fn push_encoded_once(text: &mut String, path: &[u8]) {
    let mut at = 0;
    while at < path.len() {
        match escape_at(path, at) {
            Some(byte) => push_path_byte(text, byte),
            None => {
                push_path_byte(text, path[at]);
                at += 1;
                continue;
            }
        }
        at += 3;
    }
}

/// Decodes a name or value as a form is decoded (`+` is a blank, bad escapes stay) and encodes it
/// as the signature wants it. The crate decodes to UTF-8 text and would replace what is none, so
/// that is refused here.
fn push_form(text: &mut String, piece: &str) -> Result<(), SigV4Error> {
    let raw = piece.as_bytes();
    let mut decoded = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let escaped = escape_at(raw, at);
        decoded.push(escaped.unwrap_or(if raw[at] == b'+' { b' ' } else { raw[at] }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    if std::str::from_utf8(&decoded).is_err() {
        return Err(SigV4Error::Request("the query's escapes do not decode to UTF-8".into()));
    }
    decoded.iter().for_each(|&byte| push_byte(text, byte));
    Ok(())
}

fn push_path_byte(text: &mut String, byte: u8) {
    if byte == b'/' { text.push('/') } else { push_byte(text, byte) }
}

fn push_byte(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        text.push(char::from(byte));
    } else {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        text.push('%');
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    if bytes[at] != b'%' {
        return None;
    }
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_encoded_once_or_twice() {
        for (path, once, twice) in [
            ("/", "/", "/"),
            ("/k%20ey/%C3%A9~.txt", "/k%20ey/%C3%A9~.txt", "/k%2520ey/%25C3%25A9~.txt"),
            ("/a(1):b@c+d", "/a%281%29%3Ab%40c%2Bd", "/a%281%29%3Ab%40c%2Bd"),
            ("/a%2fb//c", "/a/b//c", "/a%252fb//c"),
            ("/100%", "/100%25", "/100%25"),
            ("/é b", "/%C3%A9%20b", "/%C3%A9%20b"),
        ] {
            assert_eq!(uri(path, None, PathEncoding::Once).unwrap(), once, "{path}");
            assert_eq!(uri(path, None, PathEncoding::Twice).unwrap(), twice, "{path}");
        }
    }

    #[test]
    fn a_query_has_one_encoding() {
        for (query, want) in [
            ("q=a+b%20c&Z=1&a=%2a", "/?q=a%20b%20c&Z=1&a=%2A"),
            ("flag&&x=", "/?flag=&x="),
            ("a=b=c/d", "/?a=b%3Dc%2Fd"),
            ("a=%zz%2", "/?a=%25zz%252"),
        ] {
            assert_eq!(uri("/", Some(query), PathEncoding::Once).unwrap(), want, "{query}");
        }
        assert!(uri("/", Some("a=%C3"), PathEncoding::Once).is_err());
    }
}
