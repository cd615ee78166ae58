use std::fmt;

use super::readings;

/// A path in the one form that is matched, signed, sent and recorded.
///
/// Unreserved escapes are decoded, the others upper-cased, and nothing else is changed
/// (RFC 3986, section 6.2.2; dot segments are refused instead of removed). `//` and `%2F` stay,
/// and `%2F` never equals `/`. It starts with `/` and holds only visible ASCII.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Box<str>);

/// What makes a path one that is never forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not `/…`.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// A byte that has no place in a path (RFC 3986, section 3.3), such as `\`, a blank, `{`.
    #[error("the path holds a byte that must be percent-encoded")]
    RawByte,
    /// A `%` that two hex digits do not follow, or `%u`.
    #[error("the path holds a percent sign without two hex digits")]
    BadEscape,
    /// A control byte, NUL or a backslash behind one or two escapes.
    #[error("the path holds an escaped control byte or backslash")]
    Control,
    /// Escapes that decode to something that is no UTF-8, overlong forms included.
    #[error("the path's escapes do not decode to UTF-8")]
    NotUtf8,
    /// `.` or `..`, in any spelling.
    #[error("the path holds a dot segment")]
    DotSegment,
}

impl Path {
    /// Reads the path of a request target, without its query.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if let Some(plain) = plain(raw) {
            return Ok(plain);
        }
        let form = normalise(raw.as_bytes())?;
        check_decoded(form.as_bytes())?;
        Ok(Self(form.into()))
    }

    /// The form, such as `/a%20b/~c`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every common reading of the path but the form itself, without repeats: case ignored,
    /// slashes merged, `%2F` and `%5C` as `/`, `;…` cut, a trailing slash, one more decoding.
    /// Readings are lower case; a deny rule is matched against each.
    pub fn deny_readings(&self) -> Vec<String> {
        readings::of(&self.0)
    }

    /// Tells whether a lenient server could read another path in it. Case alone does not count.
    pub fn has_second_reading(&self) -> bool {
        readings::differs(&self.0)
    }
}

/// The fast way for what most paths are: nothing escaped, nothing odd, no dot segment.
fn plain(raw: &str) -> Option<Path> {
    let bytes = raw.as_bytes();
    let mut start_of_segment = false;
    for &byte in bytes {
        if start_of_segment && byte == b'.' || !is_path_byte(byte) || byte == b';' {
            return None;
        }
        start_of_segment = byte == b'/';
    }
    Some(Path(raw.into()))
}

fn normalise(raw: &[u8]) -> Result<String, PathError> {
    let mut form = String::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'%' {
            if !is_path_byte(raw[at]) {
                return Err(PathError::RawByte);
            }
            form.push(char::from(raw[at]));
            at += 1;
            continue;
        }
        let byte = readings::escape_at(raw, at).ok_or(PathError::BadEscape)?;
        if is_unreserved(byte) {
            form.push(char::from(byte));
        } else {
            form.push('%');
            form.push(char::from(raw[at + 1].to_ascii_uppercase()));
            form.push(char::from(raw[at + 2].to_ascii_uppercase()));
        }
        at += 3;
    }
    Ok(form)
}

/// Looks below the escapes, twice: what a server that decodes once more would see.
fn check_decoded(form: &[u8]) -> Result<(), PathError> {
    if has_dot_segment(form) {
        return Err(PathError::DotSegment);
    }
    let mut layer = form.to_vec();
    for _ in 0..2 {
        layer = readings::decode(&layer);
        if layer.iter().any(|&b| b < 0x20 || b == 0x7f || b == b'\\') {
            return Err(PathError::Control);
        }
        if std::str::from_utf8(&layer).is_err() {
            return Err(PathError::NotUtf8);
        }
        if has_dot_segment(&layer) {
            return Err(PathError::DotSegment);
        }
        if layer.windows(2).any(|pair| pair.eq_ignore_ascii_case(b"%u")) {
            return Err(PathError::BadEscape);
        }
    }
    Ok(())
}

fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|&b| b == b'/').any(|segment| {
        let name = segment.split(|&b| b == b';').next().unwrap_or_default();
        name == b"." || name == b".."
    })
}

/// `pchar` of RFC 3986, section 3.3, and the slash.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form() {
        for (raw, want) in [
            ("/", "/"),
            ("/%7euser/%41", "/~user/A"),
            ("/a%2fb", "/a%2Fb"),
            ("/a//b/", "/a//b/"),
            ("/a%20b/%C3%A9", "/a%20b/%C3%A9"),
            ("/c;d=e/f*'()", "/c;d=e/f*'()"),
            ("/...", "/..."),
            ("/.git/config", "/.git/config"),
            ("/a%2520b", "/a%2520b"),
            ("/100%25", "/100%25"),
        ] {
            assert_eq!(Path::parse(raw).map(|p| p.to_string()).as_deref(), Ok(want), "{raw}");
        }
    }

    #[test]
    fn never_forwarded() {
        for raw in [
            "",
            "a",
            "*",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2E/b",
            "/a/.%2e/b",
            "/a/..;x/b",
            "/a/.;/b",
            "/a/%252e%252e/b",
            "/a%2f..%2fb",
            "/a/..%2fb",
            "/a\\b",
            "/a%5cb",
            "/a%255cb",
            "/a%00",
            "/a%2500b",
            "/a%0ab",
            "/a b",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%u0041",
            "/a%25u002e",
            "/%c0%ae",
            "/%ff",
            "/a%7f",
            "/é",
            "/a{b}",
            "/a|b",
            "/a\"b",
            "/a<b>",
            "/a^b",
            "/a`b",
            "/a#b",
            "/a?b",
            "/a[b]",
        ] {
            assert!(Path::parse(raw).is_err(), "{raw:?} was accepted");
        }
    }

    #[test]
    fn second_readings() {
        for raw in ["/a//b", "/a%2Fb", "/a;v=1/b", "/a/", "/a%252Fb", "/a%2541"] {
            assert!(Path::parse(raw).unwrap().has_second_reading(), "{raw}");
        }
        for raw in ["/", "/a/b", "/A/b", "/a%20b", "/%C3%A9"] {
            assert!(!Path::parse(raw).unwrap().has_second_reading(), "{raw}");
        }
    }
}
