use std::fmt;

use zeroize::Zeroizing;

/// Bytes that must never be shown: they are wiped when dropped and print as `[secret]`.
///
/// There is no `Clone`, no `Serialize`, no `Display` and no comparison that stops early.
/// [`Secret::expose`] is called only in the rooms that `tests/it/tidy.rs` lists.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of the bytes. The caller's other copies are the caller's to wipe.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Shows the bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Shows the bytes as text, or `None` where they are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Tells whether there is nothing in it; the length itself stays private.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one line that these bytes are, without its end; `None` where that is empty or more
    /// than one: how a password or a key stands in a file.
    pub fn line(&self) -> Option<Self> {
        let line = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty() && !line.contains(&b'\n')).then(|| Self::new(line))
    }

    /// A second owner of the same bytes, wiped on its own. Named, so that a copy is a decision.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_has_something_in_it() {
        for (bytes, expected) in [("a", Some("a")), ("a\n", Some("a")), ("a\r\n", Some("a")), (" a ", Some(" a "))] {
            assert_eq!(Secret::new(bytes).line().unwrap().expose_str(), expected, "{bytes:?}");
        }
        for bytes in ["", "\n", "\r\n", "a\nb", "a\n\n", "\na"] {
            assert!(Secret::new(bytes).line().is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
