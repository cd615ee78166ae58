//! The chained list of the files in a folder, shared by all processes that write there.
//!
//! A line says that a file was opened or closed, and the head that it had then. Whoever appends
//! holds the lock on the index file, so that a process that dies leaves at most a torn last line,
//! which the next one cuts off.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;

use super::AuditError;
use super::chain::{Chain, ChainKey, Mac, split};
use super::head::{Head, HeadFile};
use super::line::Line;

/// The index's file, and the name of its chain.
pub(super) const NAME: &str = "index.jsonl";
/// Longer than any line of an index.
const LONGEST: u64 = 4096;
/// How long to wait for another process's append.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a line says. Other fields are for people.
#[derive(Deserialize, Debug)]
pub(super) struct Listed {
    /// The line's number, from 1.
    pub(super) n: u64,
    /// `opened` or `closed`.
    pub(super) kind: String,
    /// The file.
    pub(super) file: String,
    /// Its lines then.
    pub(super) count: u64,
    /// Its last MAC then.
    pub(super) last: String,
}

impl Listed {
    /// The file's head then.
    pub(super) fn head(&self) -> Head {
        Head { file: Some(self.file.clone()), count: self.count, mac: self.last.clone() }
    }
}

/// The index, locked for one process until this is dropped.
pub(super) struct Index {
    file: File,
    path: PathBuf,
    dir: PathBuf,
    chain: Chain,
    durable: bool,
}

impl Index {
    /// Takes the lock and reads where the chain ends; makes the index at the first start.
    pub(super) fn lock(dir: &Path, key: &ChainKey, durable: bool) -> Result<Self, AuditError> {
        let path = dir.join(NAME);
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(&path);
        let mut file = file.map_err(AuditError::writing(&path))?;
        hold(&file, FlockOperation::NonBlockingLockExclusive, &path)?;
        let chain = match last_line(&mut file).map_err(AuditError::writing(&path))? {
            None => Chain::start(key, NAME),
            Some(line) => {
                let (count, last) = end_of(&line).ok_or_else(|| AuditError::Index { path: path.clone() })?;
                Chain::resume(key, count, last)
            }
        };
        Ok(Self { file, path, dir: dir.to_owned(), chain, durable })
    }

    /// The index's own head.
    pub(super) fn head(&self) -> Head {
        Head::of(NAME, &self.chain)
    }

    /// Appends a line about a file, and replaces the index's head.
    pub(super) fn append(&mut self, kind: &'static str, head: &Head, time: SystemTime) -> Result<(), AuditError> {
        let (mut body, mut line) = (Vec::new(), Vec::new());
        Line::begin(&mut body, time, kind)
            .number("n", self.chain.count + 1)
            .text("file", head.file.as_deref().unwrap_or_default())
            .number("count", head.count)
            .text("last", &head.mac);
        let before = self.file.metadata().map_err(AuditError::writing(&self.path))?.len();
        self.chain.push(&body, &mut line);
        let written =
            self.file.write_all(&line).and_then(|()| if self.durable { self.file.sync_data() } else { Ok(()) });
        let written = written.map_err(AuditError::writing(&self.path));
        let done = written.and_then(|()| HeadFile::new(&self.dir, NAME).replace(&self.head()));
        done.inspect_err(|_| {
            // All or nothing, so that the caller can try again; what cannot be taken back is a
            // line more, which is true as well.
            let _ = self.file.set_len(before);
        })
    }
}

/// Takes a lock on an open file, waiting a while for one that another process holds.
pub(super) fn hold(file: &File, how: FlockOperation, path: &Path) -> Result<(), AuditError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match flock(file, how) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(AuditError::Busy { path: path.to_owned() }),
            Err(error) => return Err(AuditError::writing(path)(error.into())),
        }
    }
}

/// The last whole line; a torn one behind it is cut off.
fn last_line(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2 * LONGEST)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    if whole < tail.len() {
        file.set_len(length - (tail.len() - whole) as u64)?;
    }
    let lines = tail[..whole].strip_suffix(b"\n");
    Ok(lines.map(|lines| lines.rsplit(|b| *b == b'\n').next().unwrap_or(lines).to_vec()))
}

fn end_of(line: &[u8]) -> Option<(u64, Mac)> {
    let (_, mac) = split(line)?;
    let listed: Listed = serde_json::from_slice(line).ok()?;
    Some((listed.n, Mac::parse(mac)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(dir: &Path, file: &str) -> Head {
        let mut index = Index::lock(dir, &ChainKey::new(b"k"), false).unwrap();
        let head = Head { file: Some(file.into()), count: 1, mac: "00".repeat(32) };
        index.append("opened", &head, SystemTime::UNIX_EPOCH).unwrap();
        index.head()
    }

    #[test]
    fn the_chain_goes_on_behind_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(append(dir.path(), "a").count, 1);
        let whole = std::fs::read(dir.path().join(NAME)).unwrap();
        std::fs::write(dir.path().join(NAME), [&whole[..], b"{\"v\":1,\"t"].concat()).unwrap();
        assert_eq!(append(dir.path(), "b").count, 2);
        let lines = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.as_bytes().starts_with(&whole));
    }

    #[test]
    fn nothing_is_chained_to_a_foreign_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "hello\n").unwrap();
        assert!(matches!(Index::lock(dir.path(), &ChainKey::new(b"k"), false), Err(AuditError::Index { .. })));
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..20).for_each(|_| drop(append(dir.path(), "f"))));
            }
        });
        assert_eq!(append(dir.path(), "f").count, 161);
    }
}
