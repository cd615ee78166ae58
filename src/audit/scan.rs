//! Reads one chain from its first line to its last, as a stream, and says where it does not hold.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::chain::{ChainKey, Mac, split};
use super::head::Head;

/// Longer than any line of ours: all its texts are bounded.
pub(super) const LONGEST: u64 = 64 * 1024;
/// Where the kind starts: behind the version and a time stamp, whose lengths are fixed.
const KIND_AT: usize = 49;

/// What a chain must have been at some length.
pub(super) struct Check {
    pub(super) head: Head,
    /// Who says so, for the finding.
    pub(super) source: &'static str,
}

/// What was read.
pub(super) struct Scan {
    /// Whole lines.
    pub(super) lines: u64,
    /// The last one's MAC.
    pub(super) last: Mac,
    /// Behind it is a part of a line.
    pub(super) torn: bool,
    /// What does not hold: the line, from 1, and why.
    pub(super) faults: Vec<(Option<u64>, String)>,
}

/// Walks the chain. `checks` are met or become faults; `visit` gets the number, the MAC and the
/// bytes before the MAC of each line that holds.
pub(super) fn scan(
    path: &Path,
    name: &str,
    key: &ChainKey,
    mut checks: Vec<Check>,
    mut visit: impl FnMut(u64, Mac, &[u8]),
) -> io::Result<Scan> {
    checks.sort_by_key(|check| check.head.count);
    let mut checks = checks.into_iter().peekable();
    let mut reader = BufReader::with_capacity(1 << 17, File::open(path)?);
    let mut scan = Scan { lines: 0, last: key.seed(name), torn: false, faults: Vec::new() };
    let mut line = Vec::new();
    loop {
        while let Some(check) = checks.next_if(|check| check.head.count == scan.lines) {
            if check.head.mac != scan.last.hex() {
                scan.faults.push((Some(scan.lines), format!("is another line than {} says", check.source)));
            }
        }
        line.clear();
        (&mut reader).take(LONGEST).read_until(b'\n', &mut line)?;
        let Some(content) = line.strip_suffix(b"\n") else {
            scan.torn = !line.is_empty();
            if line.len() as u64 == LONGEST {
                scan.faults.push((Some(scan.lines + 1), "is longer than any line of ours".to_owned()));
            }
            break;
        };
        scan.lines += 1;
        scan.step(key, content, &mut visit);
    }
    for check in checks {
        let (count, source) = (check.head.count, check.source);
        scan.faults.push((None, format!("has {} lines, fewer than the {count} that {source} says", scan.lines)));
    }
    Ok(scan)
}

impl Scan {
    fn step(&mut self, key: &ChainKey, line: &[u8], visit: &mut impl FnMut(u64, Mac, &[u8])) {
        let Some((body, stored)) = split(line).and_then(|(body, mac)| Some((body, Mac::parse(mac)?))) else {
            self.faults.push((Some(self.lines), "is no line of ours".to_owned()));
            return;
        };
        let holds = key.next(self.last, body) == stored;
        // The next line is checked against what stands here, so that one edit is one finding.
        self.last = stored;
        if holds {
            visit(self.lines, stored, body);
        } else {
            let what = "does not follow from the line before: it was edited, moved or added, or lines were removed";
            self.faults.push((Some(self.lines), what.to_owned()));
        }
    }
}

/// The kind of a line.
pub(super) fn kind(body: &[u8]) -> Option<&[u8]> {
    body.get(KIND_AT..)?.split(|b| *b == b'"').next()
}

/// The trace id and the attempt (or the number of attempts) of an intent (or an outcome).
pub(super) fn request(body: &[u8]) -> Option<(&[u8], u64)> {
    let rest = body.get(KIND_AT + kind(body)?.len()..)?.strip_prefix(b"\",\"trace\":\"")?;
    let (trace, rest) = rest.split_at_checked(32)?;
    let rest = rest.strip_prefix(b"\",\"attempt")?;
    let rest = rest.strip_prefix(b"s").unwrap_or(rest).strip_prefix(b"\":")?;
    let digits = rest.split(|b| !b.is_ascii_digit()).next()?;
    Some((trace, std::str::from_utf8(digits).ok()?.parse().ok()?))
}

/// The rest of what a chain must be read as: whole JSON again.
pub(super) fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(&[body, b"}"].concat()).ok()
}
