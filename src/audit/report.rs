use serde::Serialize;

use super::Head;

/// What [`verify()`](super::verify()) cannot find, for people.
pub const LIMITS: &str = "Not found: lines removed from the end of a file whose process did not close it, if its \
.head file was set back as well, unless a newer head is given with --head; whole files that were removed together \
with the end of the index and its .head, likewise; lines that whoever holds the key has forged; and the outcomes of \
the last 20 ms of a process that was killed, which were never written.";

/// What an audit's folder holds, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The files, in the order in which they were opened.
    pub files: Vec<FileReport>,
    /// Whole lines in all of them.
    pub lines: u64,
    /// Requests: those that ended and those that are open.
    pub requests: u64,
    /// Requests with an intent and no outcome: they run, or their process died.
    pub open: u64,
    /// The trace ids of the first hundred of these.
    pub open_traces: Vec<String>,
    /// Lines that `best_effort` could not write, as the audit itself says.
    pub lost: u64,
    /// Edits, removals and foreign parts. Empty: nothing was found.
    pub findings: Vec<Finding>,
    /// What to keep elsewhere: the head of the index, and of each file that is not closed.
    pub heads: Vec<Head>,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// Its name.
    pub file: String,
    /// Whole lines in it.
    pub lines: u64,
    /// Its process closed it. If not, that process runs or died.
    pub closed: bool,
    /// It ends in a part of a line: its process is writing it, or died while it was.
    pub torn: bool,
    /// Its process died before it listed it in the index; it holds nothing but its first line.
    pub unlisted: bool,
}

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The line, from 1, if it is at one.
    pub line: Option<u64>,
    /// What is wrong with it.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}
