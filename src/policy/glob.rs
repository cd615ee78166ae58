//! Patterns of paths, query values and header values.
//!
//! In a path `*` stays within a segment and `**` crosses; `/**/` also stands for one slash. In a
//! value `*` stands for anything. Everything else stands for itself; a literal star of a path
//! cannot be told from the wildcard, one of a value cannot be written.

use std::fmt;

use crate::model::{Path, PathError};

/// A pattern, ready to match in time linear in the text for each of its pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// These bytes.
    Literal(Box<[u8]>),
    /// Any bytes without a slash.
    WithinSegment,
    /// Any bytes.
    Anything,
    /// Nothing, or any bytes that end with a slash: what `**/` means after a slash.
    Segments,
}

/// What makes a text no pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GlobError {
    /// Three stars or more.
    #[error("three stars have no meaning: `*` stays within a segment, `**` crosses")]
    Stars,
    /// It could match no path that is ever forwarded.
    #[error("no request has such a path: {0}")]
    NoPath(#[from] PathError),
    /// A path in it is not in the form that is matched.
    #[error("paths are matched in one form, in which this is {0:?}: write it so")]
    OtherForm(String),
    /// A query or a fragment.
    #[error("the path ends before `?`: match the query under `query`")]
    Query,
}

impl Glob {
    /// Reads a pattern of paths, which must itself be in the path form.
    pub(super) fn path(text: &str) -> Result<Self, GlobError> {
        if text.contains('?') {
            return Err(GlobError::Query);
        }
        if text.contains("***") {
            return Err(GlobError::Stars);
        }
        let form = Path::parse(text)?;
        if form.as_str() != text {
            return Err(GlobError::OtherForm(form.to_string()));
        }
        Ok(Self::pieces(text.as_bytes(), false))
    }

    /// Reads a pattern of values.
    pub(super) fn value(text: &str) -> Self {
        Self::pieces(text.as_bytes(), true)
    }

    fn pieces(text: &[u8], value: bool) -> Self {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while at < text.len() {
            if text[at] != b'*' {
                literal.push(text[at]);
                at += 1;
                continue;
            }
            let stars = text[at..].iter().take_while(|&&b| b == b'*').count();
            let after_slash = literal.last() == Some(&b'/');
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            at += stars;
            if value {
                pieces.push(Piece::Anything);
            } else if stars == 1 {
                pieces.push(Piece::WithinSegment);
            } else if after_slash && text.get(at) == Some(&b'/') {
                pieces.push(Piece::Segments);
                at += 1;
                // `/**/**/` is `/**/`.
                while text[at..].starts_with(b"**/") {
                    at += 3;
                }
            } else {
                pieces.push(Piece::Anything);
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Self(pieces.into())
    }

    /// The pattern in the spellings that a deny rule is matched in: lower case, and lower case
    /// with its escapes decoded.
    pub(super) fn for_denial(&self) -> Vec<Self> {
        let spell = |change: &dyn Fn(&[u8]) -> Vec<u8>| {
            let piece = |piece: &Piece| match piece {
                Piece::Literal(bytes) => Piece::Literal(change(bytes).into()),
                other => other.clone(),
            };
            Self(self.0.iter().map(piece).collect())
        };
        let lower = spell(&|bytes| String::from_utf8_lossy(bytes).to_lowercase().into_bytes());
        let decoded = spell(&|bytes| String::from_utf8_lossy(&unescape(bytes)).to_lowercase().into_bytes());
        if lower == decoded { vec![lower] } else { vec![lower, decoded] }
    }

    /// Tells whether the pattern stands for a text and no other.
    pub(super) fn is_literal(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Literal(_)))
    }

    /// Tells whether the pattern stands for this text.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        // Most patterns are a text, or a text and a final `**`.
        match &*self.0 {
            [] => return text.is_empty(),
            [Piece::Literal(all)] => return text == &**all,
            [Piece::Literal(start), Piece::Anything] => return text.starts_with(start),
            [Piece::Literal(start), ..] if !text.starts_with(start) => return false,
            _ => {}
        }
        let mut small = [false; 512];
        if text.len() < small.len() {
            self.reaches_end(text, &mut small[..=text.len()])
        } else {
            self.reaches_end(text, &mut vec![false; text.len() + 1])
        }
    }

    /// Moves the set of places that can be reached, piece by piece. No pattern and no text make
    /// this more than one pass over the text for each piece.
    fn reaches_end(&self, text: &[u8], reached: &mut [bool]) -> bool {
        reached[0] = true;
        for piece in &self.0 {
            match piece {
                Piece::Literal(bytes) => {
                    for at in (0..reached.len()).rev() {
                        let start = at.checked_sub(bytes.len());
                        reached[at] = start.is_some_and(|start| reached[start] && text[start..].starts_with(bytes));
                    }
                }
                Piece::WithinSegment => {
                    for at in 1..reached.len() {
                        reached[at] |= reached[at - 1] && text[at - 1] != b'/';
                    }
                }
                Piece::Anything => {
                    for at in 1..reached.len() {
                        reached[at] |= reached[at - 1];
                    }
                }
                Piece::Segments => {
                    let mut any = reached[0];
                    for at in 1..reached.len() {
                        let here = reached[at];
                        reached[at] |= any && text[at - 1] == b'/';
                        any |= here;
                    }
                }
            }
        }
        reached[text.len()]
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Piece::WithinSegment => f.write_str("*"),
            Piece::Anything => f.write_str("**"),
            Piece::Segments => f.write_str("**/"),
        })
    }
}

/// Decodes every well-formed escape once.
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_misses() {
        for (pattern, yes, no) in [
            ("/simple", &["/simple"][..], &["/simpleevil", "/simple/", "/Simple", "/simpl", "/simple/a"][..]),
            ("/simple/*", &["/simple/a", "/simple/"], &["/simple", "/simple/a/b", "/simpleevil/a"]),
            ("/simple/**", &["/simple/a", "/simple/a/b", "/simple/"], &["/simple", "/simpleevil", "/simpleevil/a"]),
            ("/a/*/c", &["/a/b/c", "/a//c"], &["/a/c", "/a/b/b/c", "/a/b/cc"]),
            ("/a/**/c", &["/a/c", "/a/b/c", "/a/b/b/c"], &["/ac", "/a/bc", "/a/b/cc", "/a"]),
            ("/**/c", &["/c", "/b/c", "/a/b/c"], &["/bc", "/c/"]),
            ("/**", &["/", "/a", "/a/b"], &[]),
            ("/*.json", &["/a.json", "/.json"], &["/a/b.json", "/a.jsonx"]),
            ("/v*/x**", &["/v1/x", "/v1/xyz/z"], &["/v1/2/x", "/v1/y"]),
            ("/a%2Fb", &["/a%2Fb"], &["/a/b"]),
            ("/", &["/"], &["/a", "//"]),
        ] {
            let glob = Glob::path(pattern).unwrap();
            for text in yes {
                assert!(glob.matches(text), "{pattern} should match {text}");
            }
            for text in no {
                assert!(!glob.matches(text), "{pattern} should not match {text}");
            }
        }
    }

    #[test]
    fn values_know_no_segments() {
        let glob = Glob::value("Delete*");
        assert!(glob.matches("DeleteBucket/x") && glob.matches("Delete") && !glob.matches("delete"));
        assert!(Glob::value("").matches("") && !Glob::value("").matches("a"));
        assert!(Glob::value("a").is_literal() && !glob.is_literal());
    }

    #[test]
    fn patterns_of_no_path_are_refused() {
        for bad in ["", "a", "/a b", "/a/../b", "/a/***", "/a?b=c", "/%7Ea", "/a%2f", "/é", "/a\\b"] {
            assert!(Glob::path(bad).is_err(), "{bad}");
        }
        let error = Glob::path("/a%2fb").unwrap_err().to_string();
        assert!(error.contains("/a%2Fb"), "{error}");
    }

    #[test]
    fn a_long_path_takes_linear_time() {
        let text = format!("/{}", "a".repeat(200_000));
        assert!(!Glob::path("/**a*a*a**b*c").unwrap().matches(&text));
    }

    /// The meaning, written as directly as it can be.
    fn naive(pattern: &str, text: &str) -> bool {
        if let Some(rest) = pattern.strip_prefix("/**/") {
            let after = |at: usize| naive(&format!("/{rest}"), &text[at..]);
            return text.bytes().enumerate().any(|(at, b)| b == b'/' && after(at)) && text.starts_with('/');
        }
        if let Some(rest) = pattern.strip_prefix("**") {
            return (0..=text.len()).any(|at| naive(rest, &text[at..]));
        }
        if let Some(rest) = pattern.strip_prefix('*') {
            let stop = text.find('/').unwrap_or(text.len());
            return (0..=stop).any(|at| naive(rest, &text[at..]));
        }
        match (pattern.bytes().next(), text.bytes().next()) {
            (None, None) => true,
            (Some(p), Some(t)) if p == t => naive(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_matcher(
            pattern in "(/|/a|b|\\*|\\*\\*|/\\*\\*/){0,6}",
            text in "/[ab/]{0,8}",
        ) {
            let pattern = format!("/{pattern}");
            prop_assume!(!pattern.contains("***"));
            let glob = Glob::path(&pattern).unwrap();
            prop_assert_eq!(Glob::path(&glob.to_string()), Ok(glob.clone()));
            prop_assert_eq!(glob.matches(&text), naive(&pattern, &text), "{} {}", pattern, text);
        }

        #[test]
        fn a_path_matches_itself(text in "/[a-z/._-]{0,30}") {
            if let Ok(glob) = Glob::path(&text) {
                prop_assert!(glob.matches(&text));
            }
        }
    }
}
