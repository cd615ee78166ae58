//! A head: how long a chain was at some time, and its last MAC. Kept beside the file it shows
//! where a file was cut short; kept elsewhere it shows what was done to file and head together.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::AuditError;
use super::chain::{Chain, Mac};

/// How many lines a chain had, and the MAC of the last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The file whose chain it is; without one, any chain of the folder may be meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// How many lines.
    pub count: u64,
    /// The last line's MAC, 64 lower-case hex digits.
    pub mac: String,
}

/// What makes a text no head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a head is COUNT:MAC, with 64 lower-case hex digits, or the JSON of a .head file")]
pub struct HeadError;

impl Head {
    pub(super) fn of(name: &str, chain: &Chain) -> Self {
        Self { file: Some(name.to_owned()), count: chain.count, mac: chain.last.hex() }
    }
}

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let text = text.trim();
        let head = if text.starts_with('{') {
            serde_json::from_str(text).map_err(|_| HeadError)?
        } else {
            let (count, mac) = text.split_once(':').ok_or(HeadError)?;
            Self { file: None, count: count.parse().map_err(|_| HeadError)?, mac: mac.to_owned() }
        };
        Mac::parse(head.mac.as_bytes()).map(|_| head).ok_or(HeadError)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.count, self.mac)
    }
}

/// The head file of one chain. It never goes back, whoever comes last.
#[derive(Debug)]
pub(super) struct HeadFile {
    path: PathBuf,
    file: String,
    count: u64,
}

impl HeadFile {
    pub(super) fn new(dir: &Path, file: &str) -> Self {
        Self { path: path(dir, file), file: file.to_owned(), count: 0 }
    }

    /// How many lines the file says there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Replaces the file atomically, if the head is of the same chain and newer.
    pub(super) fn replace(&mut self, head: &Head) -> Result<(), AuditError> {
        if head.count <= self.count || head.file.as_deref() != Some(&*self.file) {
            return Ok(());
        }
        write(&self.path, head).map_err(AuditError::writing(&self.path))?;
        self.count = head.count;
        Ok(())
    }
}

/// Where the head of a chain is.
pub(super) fn path(dir: &Path, file: &str) -> PathBuf {
    dir.join(format!("{file}.head"))
}

/// Reads a head file; `Ok(None)` where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Result<Head, HeadError>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(std::str::from_utf8(&bytes).map_err(|_| HeadError).and_then(str::parse))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, head: &Head) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let fresh = path.with_extension("head.tmp");
    let text = serde_json::to_string(head)? + "\n";
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let mac = "0a".repeat(32);
        let short: Head = format!("7:{mac}\n").parse().unwrap();
        assert_eq!(short, Head { file: None, count: 7, mac: mac.clone() });
        let long: Head = format!("{{\"file\":\"f\",\"count\":7,\"mac\":\"{mac}\"}}").parse().unwrap();
        assert_eq!(long.file.as_deref(), Some("f"));
        for bad in ["", "7", &format!("x:{mac}"), &format!("7:{}", mac.to_uppercase()), "7:00", "{}"] {
            assert_eq!(bad.parse::<Head>(), Err(HeadError), "{bad}");
        }
    }

    #[test]
    fn it_never_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = HeadFile::new(dir.path(), "f");
        let head = |count| Head { file: Some("f".into()), count, mac: "00".repeat(32) };
        for (write, kept) in [(2, 2), (5, 5), (4, 5)] {
            file.replace(&head(write)).unwrap();
            assert_eq!(read(&path(dir.path(), "f")).unwrap(), Some(Ok(head(kept))));
        }
        assert_eq!(read(&path(dir.path(), "g")).unwrap(), None);
    }
}
