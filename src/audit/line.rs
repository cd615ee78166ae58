//! Writes one line: a JSON object whose fields come in the order they are added. By hand, since
//! every request pays for two of them.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use time::OffsetDateTime;

/// The longest path that is written whole, in bytes.
pub(super) const PATH: usize = 2048;
/// The longest reason.
pub(super) const REASON: usize = 512;
/// The longest of any other text.
pub(super) const TEXT: usize = 256;

/// A line being written, without its closing brace.
pub(super) struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    /// Starts a line in a buffer, whose old content goes.
    pub(super) fn begin(buffer: &'a mut Vec<u8>, time: SystemTime, kind: &'static str) -> Self {
        buffer.clear();
        buffer.extend_from_slice(b"{\"v\":1,\"t\":\"");
        buffer.extend_from_slice(&stamp(time));
        buffer.extend_from_slice(b"\",\"kind\":\"");
        buffer.extend_from_slice(kind.as_bytes());
        buffer.push(b'"');
        Self(buffer)
    }

    /// Adds a text, cut at [`TEXT`] bytes.
    pub(super) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.cut(name, text, TEXT)
    }

    /// Adds a text if there is one.
    pub(super) fn maybe(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// Adds a text, cut at so many bytes; a cut text ends in `…`.
    pub(super) fn cut(&mut self, name: &str, text: &str, limit: usize) -> &mut Self {
        self.key(name);
        self.0.push(b'"');
        if text.len() <= limit {
            escape(self.0, text);
        } else {
            escape(self.0, prefix(text, limit));
            self.0.extend_from_slice("…".as_bytes());
        }
        self.0.push(b'"');
        self
    }

    /// Adds a text whole, or its first [`PATH`] bytes and the SHA-256 of all of it as
    /// `NAME_sha256`.
    pub(super) fn hashed(&mut self, name: &str, text: &str) -> &mut Self {
        self.cut(name, text, PATH);
        if text.len() > PATH {
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            self.text(&format!("{name}_sha256"), &hex::encode(hash));
        }
        self
    }

    /// Adds what prints itself and is short.
    pub(super) fn shown(&mut self, name: &str, value: &impl fmt::Display) -> &mut Self {
        self.key(name);
        self.0.push(b'"');
        // `Escaping` never fails, and a value that fails to print leaves what it printed.
        let _ = write!(Escaping(self.0), "{value}");
        self.0.push(b'"');
        self
    }

    /// Adds a number.
    pub(super) fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.key(name);
        decimal(self.0, number);
        self
    }

    /// Adds an object of durations in whole microseconds; those that round to zero are left out.
    pub(super) fn micros(&mut self, name: &str, durations: &[(&str, Duration)]) -> &mut Self {
        self.key(name);
        let start = self.0.len();
        self.0.push(b'{');
        for (stage, duration) in durations {
            let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            if micros > 0 {
                if self.0.len() > start + 1 {
                    self.0.push(b',');
                }
                self.0.push(b'"');
                self.0.extend_from_slice(stage.as_bytes());
                self.0.extend_from_slice(b"\":");
                decimal(self.0, micros);
            }
        }
        self.0.push(b'}');
        self
    }

    fn key(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

/// RFC 3339 in UTC with microseconds, always 27 bytes. Years outside 0 to 9999 do not occur.
pub(super) fn stamp(time: SystemTime) -> [u8; 27] {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, micro) = time.to_hms_micro();
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut digits = |at: usize, width: usize, mut number: u32| {
        for place in text[at..at + width].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    digits(0, 4, year.unsigned_abs());
    digits(5, 2, u8::from(month).into());
    digits(8, 2, day.into());
    digits(11, 2, hour.into());
    digits(14, 2, minute.into());
    digits(17, 2, second.into());
    digits(20, 6, micro);
    text
}

fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn prefix(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Escapes as JSON does, and DEL and the C1 controls too: a terminal obeys those.
fn escape(out: &mut Vec<u8>, text: &str) {
    let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for char in text.chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            char if char.is_control() => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let code = char as usize;
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', DIGITS[code >> 4 & 15], DIGITS[code & 15]]);
            }
            char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

struct Escaping<'a>(&'a mut Vec<u8>);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn line(build: impl FnOnce(&mut Line<'_>)) -> Value {
        let mut buffer = Vec::new();
        build(&mut Line::begin(&mut buffer, SystemTime::UNIX_EPOCH, "test"));
        buffer.push(b'}');
        serde_json::from_slice(&buffer).unwrap()
    }

    #[test]
    fn times() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_795_263_006_120_000, "2026-11-21T12:10:06.120000Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
            assert_eq!(std::str::from_utf8(&stamp(time)).unwrap(), text);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_long_paths_hashed() {
        let long = "é".repeat(2000);
        let value = line(|line| {
            line.text("a", &format!("x{long}")).hashed("path", &long).hashed("short", "/");
        });
        assert_eq!(value["a"].as_str().unwrap(), format!("x{}…", "é".repeat(127)));
        assert_eq!(value["path"].as_str().unwrap(), format!("{}…", "é".repeat(1024)));
        assert_eq!(value["path_sha256"].as_str().unwrap().len(), 64);
        assert!(value.get("short_sha256").is_none());
    }

    #[test]
    fn stages_that_were_not_reached_are_left_out() {
        let some = Duration::from_micros(7);
        let value = line(|line| {
            line.micros("us", &[("a", Duration::ZERO), ("b", some), ("c", some)]).number("n", u64::MAX).number("z", 0);
        });
        assert_eq!(value["us"], serde_json::json!({"b": 7, "c": 7}));
        assert_eq!((value["n"].as_u64(), value["z"].as_u64()), (Some(u64::MAX), Some(0)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>()) {
            let value = line(|line| { line.cut("a", &text, usize::MAX).shown("b", &text); });
            prop_assert_eq!(value["a"].as_str(), Some(text.as_str()));
            prop_assert_eq!(value["b"].as_str(), Some(text.as_str()));
        }

        #[test]
        fn no_line_holds_a_control(text in "\\PC*|[\u{0}-\u{a0}]*") {
            let mut buffer = Vec::new();
            Line::begin(&mut buffer, SystemTime::UNIX_EPOCH, "test").text("a", &text);
            prop_assert!(!std::str::from_utf8(&buffer).unwrap().chars().any(char::is_control));
        }
    }
}
