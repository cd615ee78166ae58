//! Server-sent events (WHATWG HTML, section 9.2), read piece by piece within bounds.

/// The longest line, and the longest data of one message, in bytes.
const LONGEST: usize = 64 << 10;

/// One message of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// `event:`; `message` where none was said.
    pub(super) name: String,
    /// Every `data:` line, joined by line ends.
    pub(super) data: String,
    /// `id:`, if this message said one.
    pub(super) id: Option<String>,
}

/// What makes bytes no stream of events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SseError {
    /// A bound of this reader.
    #[error("a message of the event stream is longer than {LONGEST} bytes")]
    TooLong,
    /// The format is UTF-8 alone.
    #[error("the event stream is not UTF-8")]
    NotText,
}

/// What was read of a message so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    /// A line ended with CR: an LF after it belongs to that end.
    after_cr: bool,
    /// The first line may begin with a byte order mark.
    begun: bool,
    name: String,
    data: Option<String>,
    id: Option<String>,
}

impl Reader {
    /// Reads the next bytes; answers the messages that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, SseError> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let follows_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    messages.extend(self.take_line(&line)?);
                }
                _ if self.line.len() >= LONGEST => return Err(SseError::TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(messages)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<Message>, SseError> {
        let mut line = std::str::from_utf8(line).map_err(|_| SseError::NotText)?;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => {
                let data = match self.data.take() {
                    None => value.to_owned(),
                    Some(before) => format!("{before}\n{value}"),
                };
                if data.len() > LONGEST {
                    return Err(SseError::TooLong);
                }
                self.data = Some(data);
            }
            // A comment, `retry`, and what is not known.
            _ => {}
        }
        Ok(None)
    }

    /// A message without data is none.
    fn dispatch(&mut self) -> Option<Message> {
        let (name, id) = (std::mem::take(&mut self.name), self.id.take());
        let data = self.data.take()?;
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Message { name, data, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, data: &str, id: Option<&str>) -> Message {
        Message { name: name.into(), data: data.into(), id: id.map(str::to_owned) }
    }

    const STREAM: &str = "\u{feff}: hello\nevent: hello\ndata: {\"number\":1}\n\nid: 7\r\nevent: change\r\ndata:a\r\n\
                          data: b\r\n\r\nretry: 5\ndata\n\nid: 8\n\nevent: x\n\ndata:  two\rdata: more\r\rdata: unfinished\n";

    #[test]
    fn a_stream_is_its_messages_however_it_is_cut() {
        let want = [
            message("hello", "{\"number\":1}", None),
            message("change", "a\nb", Some("7")),
            message("message", "", None),
            message("message", " two\nmore", None),
        ];
        for size in [1, 2, 3, 7, 1000] {
            let mut reader = Reader::default();
            let mut found = Vec::new();
            for piece in STREAM.as_bytes().chunks(size) {
                found.extend(reader.feed(piece).unwrap());
            }
            assert_eq!(found, want, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_ends_it() {
        let long = vec![b'x'; LONGEST + 1];
        assert_eq!(Reader::default().feed(&long), Err(SseError::TooLong));
        let line = format!("data: {}\n", "x".repeat(LONGEST / 2));
        let mut reader = Reader::default();
        assert_eq!(reader.feed(line.as_bytes()), Ok(vec![]));
        assert_eq!(reader.feed(line.as_bytes()), Err(SseError::TooLong));
        assert_eq!(Reader::default().feed(b"data: \xff\n\n"), Err(SseError::NotText));
    }
}
