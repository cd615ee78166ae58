//! Every request of a folder, by time, as a stream: nothing but what waits for its outcome is held.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::record::{Join, Record, Told};
use super::scan::LONGEST;
use super::{AuditError, file};

/// Where the time stamp stands in a line.
pub(super) const TIME: std::ops::Range<usize> = 12..39;

/// The requests of all files of a folder, merged by the time of their end.
pub struct Requests {
    dir: PathBuf,
    /// Files that start later than what was read so far, by their start.
    waiting: VecDeque<(String, String)>,
    open: BinaryHeap<Reverse<Reading>>,
    join: Join,
    damage: Damage,
}

/// What of the files could not be read. `verify` says what else may be wrong with them.
#[derive(Debug, Default)]
pub struct Damage {
    /// File -> how many of its lines are none of ours, and the number of the first.
    pub lines: BTreeMap<String, (u64, u64)>,
    /// Files that end within a line.
    pub torn: Vec<String>,
    /// Files that cannot be read (on), and why.
    pub files: Vec<AuditError>,
}

/// A file and its next line.
struct Reading {
    time: Vec<u8>,
    name: String,
    number: u64,
    line: Vec<u8>,
    reader: BufReader<File>,
}

impl Requests {
    /// Starts at the first request. With `since`, files that were last written before it are left
    /// out; requests that ended before it may still come.
    ///
    /// # Errors
    /// The folder cannot be read. A file that cannot is part of [`Damage`].
    pub fn open(dir: &Path, since: Option<SystemTime>) -> Result<Self, AuditError> {
        let is_old = |name: &String| {
            let written = dir.join(name).metadata().and_then(|data| data.modified());
            since.zip(written.ok()).is_some_and(|(since, written)| written < since)
        };
        let names = file::list(dir)?.into_iter().filter(|name| !is_old(name));
        let mut waiting: Vec<_> = names.map(|name| (started(&name), name)).collect();
        waiting.sort();
        Ok(Self {
            dir: dir.to_owned(),
            waiting: waiting.into(),
            open: BinaryHeap::new(),
            join: Join::default(),
            damage: Damage::default(),
        })
    }

    /// After the last request: what left and has no outcome, and what could not be read.
    pub fn rest(self) -> (Vec<Record>, Damage) {
        (self.join.open(), self.damage)
    }

    /// Opens the files that start before the next line of those that are open.
    fn open_files(&mut self) {
        while let Some((start, _)) = self.waiting.front()
            && self.open.peek().is_none_or(|Reverse(first)| start.as_bytes() <= first.time.as_slice())
            && let Some((_, name)) = self.waiting.pop_front()
        {
            match File::open(self.dir.join(&name)) {
                Ok(file) => {
                    let reader = BufReader::with_capacity(1 << 16, file);
                    self.read_on(Reading { time: Vec::new(), name, number: 0, line: Vec::new(), reader });
                }
                // Whoever removed it will hear of that from `verify`.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.damage.files.push(AuditError::reading(&self.dir.join(&name))(error)),
            }
        }
    }

    /// Reads a file's next line and puts the file where it belongs; one at its end is closed.
    fn read_on(&mut self, mut file: Reading) {
        loop {
            match file.read() {
                Ok(Next::Line) => return self.open.push(Reverse(file)),
                Ok(Next::TooLong) => self.damage.line(&file),
                Ok(Next::End) => return,
                Ok(Next::Torn) => return self.damage.torn.push(file.name),
                Err(error) => {
                    self.damage.files.push(AuditError::reading(&self.dir.join(&file.name))(error));
                    return;
                }
            }
        }
    }
}

impl Iterator for Requests {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            self.open_files();
            let Reverse(file) = self.open.pop()?;
            let told = self.join.line(&file.line);
            if told == Told::Unreadable {
                self.damage.line(&file);
            }
            self.read_on(file);
            if let Told::Request(request) = told {
                return Some(*request);
            }
        }
    }
}

impl Damage {
    fn line(&mut self, file: &Reading) {
        self.lines.entry(file.name.clone()).or_insert((0, file.number)).0 += 1;
    }
}

enum Next {
    Line,
    TooLong,
    Torn,
    End,
}

impl Reading {
    fn read(&mut self) -> io::Result<Next> {
        self.line.clear();
        (&mut self.reader).take(LONGEST).read_until(b'\n', &mut self.line)?;
        self.number += 1;
        if self.line.pop_if(|last| *last == b'\n').is_none() {
            if (self.line.len() as u64) < LONGEST {
                return Ok(if self.line.is_empty() { Next::End } else { Next::Torn });
            }
            self.reader.skip_until(b'\n')?;
            return Ok(Next::TooLong);
        }
        // A line without a time stays behind the one before it.
        if let Some(time) = self.line.get(TIME).filter(|time| time.starts_with(b"2")) {
            self.time.clear();
            self.time.extend_from_slice(time);
        }
        Ok(Next::Line)
    }
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Reading {}

impl PartialOrd for Reading {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reading {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.time, &self.name).cmp(&(&other.time, &other.name))
    }
}

/// The start that a file's name tells, as a time stamp's beginning; empty where it tells none.
fn started(name: &str) -> String {
    let compact = name.split('-').nth(1).unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match (compact.get(..8), compact.get(8..9), compact.get(9..15), compact.get(15..)) {
        (Some(day), Some("T"), Some(time), Some("Z")) if digits(day) && digits(time) => {
            format!("{}-{}-{}T{}:{}:{}", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..])
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Audit;
    use crate::audit::tests::{clock, config, request};
    use crate::config::AuditMode;
    use std::time::Duration;

    #[test]
    fn the_requests_of_every_file_come_by_time() {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        let config = config(dir.path(), AuditMode::Required);
        for round in 0..3 {
            let audits = [(); 2].map(|()| Audit::open(&config, clock.clone()).unwrap());
            for number in 20 * round..20 * (round + 1) {
                clock.advance(Duration::from_millis(100));
                request(&audits[usize::from(number % 3 == 0)], number);
            }
            audits.iter().for_each(|audit| audit.close().unwrap());
        }
        let mut requests = Requests::open(dir.path(), None).unwrap();
        let numbers: Vec<u64> =
            requests.by_ref().map(|record| u64::from_str_radix(&record.trace[16..], 16).unwrap()).collect();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
        let (open, damage) = requests.rest();
        assert!(open.is_empty() && damage.lines.is_empty() && damage.torn.is_empty() && damage.files.is_empty());
    }

    #[test]
    fn what_is_damaged_is_told_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let line = |second: u32, trace: &str| {
            format!(
                "{{\"v\":1,\"t\":\"2026-11-21T12:10:{second:02}.000000Z\",\"kind\":\"outcome\",\"trace\":\"{trace}\"}}\n"
            )
        };
        let long = "x".repeat(70_000);
        let text = format!("{}\n\u{0}\u{1}\n{long}\n{}{{\"v\":1", line(1, "a"), line(3, "c"));
        std::fs::write(dir.path().join("audit-20261121T121000Z-1-1.jsonl"), text.as_bytes()).unwrap();
        std::fs::write(dir.path().join("audit-odd.jsonl"), line(2, "b")).unwrap();
        std::fs::create_dir(dir.path().join("audit-folder.jsonl")).unwrap();
        let mut requests = Requests::open(dir.path(), None).unwrap();
        assert_eq!(requests.by_ref().map(|record| record.trace).collect::<String>(), "abc");
        let damage = requests.rest().1;
        assert_eq!(damage.lines["audit-20261121T121000Z-1-1.jsonl"], (3, 2));
        assert_eq!((damage.torn.len(), damage.files.len()), (1, 1));
    }

    #[test]
    fn files_that_were_written_before_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("audit-x.jsonl"), "{\"kind\":\"outcome\",\"t\":\"\",\"trace\":\"a\"}\n")
            .unwrap();
        let count = |since| Requests::open(dir.path(), Some(since)).unwrap().count();
        let written = dir.path().join("audit-x.jsonl").metadata().unwrap().modified().unwrap();
        assert_eq!((count(written), count(written + Duration::from_secs(1))), (1, 0));
    }

    #[test]
    fn a_name_tells_the_start() {
        assert_eq!(started("audit-20261121T121006Z-77-1.jsonl"), "2026-11-21T12:10:06");
        for odd in ["audit-x.jsonl", "audit-é0261121T121006Z-1.jsonl", "audit-2026112éT12006Z-1.jsonl", "audit"] {
            assert_eq!(started(odd), "", "{odd}");
        }
    }
}
