//! Follows a folder: the lines of all files, those that other processes start included.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::requests::TIME;
use super::{AuditError, file};

/// More than a line usually takes, to know where in a file to start.
const USUAL: u64 = 1024;
/// The most that is read of one file at once.
const CHUNK: u64 = 4 << 20;

/// A place in every file of a folder.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    /// The next byte to read of each file.
    places: BTreeMap<String, u64>,
}

impl Tail {
    /// Starts at about `lines` lines before the end, and answers them: by time, without their
    /// newlines.
    pub fn open(dir: &Path, lines: usize) -> Result<(Self, Vec<String>), AuditError> {
        let mut tail = Self { dir: dir.to_owned(), places: BTreeMap::new() };
        let span = USUAL.saturating_mul(lines as u64);
        for name in file::list(dir)? {
            let path = dir.join(&name);
            let length = path.metadata().map_err(AuditError::reading(&path))?.len();
            tail.places.insert(name, length.saturating_sub(span));
        }
        let mut last = Vec::new();
        let starts = tail.places.clone();
        loop {
            let more = tail.read(Some(&starts))?;
            if more.is_empty() {
                break;
            }
            last.extend(more);
        }
        last.sort_by(|a, b| time(a).cmp(time(b)));
        let first = last.len().saturating_sub(lines);
        Ok((tail, last.split_off(first)))
    }

    /// The whole lines that were written since, of all files, by time.
    pub fn poll(&mut self) -> Result<Vec<String>, AuditError> {
        for name in file::list(&self.dir)? {
            self.places.entry(name).or_insert(0);
        }
        self.read(None)
    }

    /// Reads on. A start in the middle of a file is most likely in the middle of a line.
    fn read(&mut self, starts: Option<&BTreeMap<String, u64>>) -> Result<Vec<String>, AuditError> {
        let mut lines = Vec::new();
        for (name, place) in &mut self.places {
            let path = self.dir.join(name);
            let text = match read_at(&path, *place) {
                Ok(text) => text,
                // Whoever removed it will hear of that from `verify`.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(AuditError::reading(&path)(error)),
            };
            let inside = starts.is_some_and(|starts| *place > 0 && starts.get(name) == Some(place));
            *place += text.len() as u64;
            let whole = String::from_utf8_lossy(&text);
            lines.extend(whole.lines().skip(usize::from(inside)).map(str::to_owned));
        }
        lines.sort_by(|a, b| time(a).cmp(time(b)));
        Ok(lines)
    }
}

/// The whole lines from a place on.
fn read_at(path: &Path, place: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(place))?;
    let mut text = Vec::new();
    file.take(CHUNK).read_to_end(&mut text)?;
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    text.truncate(whole);
    Ok(text)
}

fn time(line: &str) -> &str {
    line.get(TIME).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::{clock, config, facts, request};
    use crate::audit::{Audit, AuditConfig};
    use crate::config::AuditMode;
    use std::time::Duration;

    fn kinds(lines: &[String]) -> Vec<String> {
        let kind = |line: &String| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned()
        };
        lines.iter().map(kind).collect()
    }

    #[test]
    fn the_last_lines_and_then_the_new_ones_of_every_file() {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        let config: AuditConfig = config(dir.path(), AuditMode::Required);
        let first = Audit::open(&config, clock.clone()).unwrap();
        for number in 0..50 {
            clock.advance(Duration::from_millis(1));
            request(&first, number);
        }
        first.close().unwrap();
        let (mut tail, last) = Tail::open(dir.path(), 3).unwrap();
        assert_eq!(kinds(&last), ["intent", "outcome", "close"]);
        assert!(tail.poll().unwrap().is_empty());
        let second = Audit::open(&config, clock).unwrap();
        drop(second.entry(facts(1)).unwrap());
        second.close().unwrap();
        assert_eq!(kinds(&tail.poll().unwrap()), ["open", "outcome", "close"]);
        let (_, all) = Tail::open(dir.path(), 1000).unwrap();
        assert_eq!(all.len(), 105);
        let (mut tail, none) = Tail::open(dir.path(), 0).unwrap();
        assert_eq!((none.len(), tail.poll().unwrap().len()), (0, 0));
    }

    #[test]
    fn a_line_is_told_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit-x.jsonl");
        std::fs::write(&path, "{\"v\":1}\n{\"v\"").unwrap();
        let (mut tail, last) = Tail::open(dir.path(), 9).unwrap();
        assert_eq!(last, ["{\"v\":1}"]);
        assert!(tail.poll().unwrap().is_empty());
        std::fs::write(&path, "{\"v\":1}\n{\"v\":2}\n").unwrap();
        assert_eq!(tail.poll().unwrap(), ["{\"v\":2}"]);
    }
}
