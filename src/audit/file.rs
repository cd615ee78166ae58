//! One file of the audit: made, listed in the index, appended to, closed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use super::AuditError;
use super::chain::{Chain, ChainKey};
use super::head::{self, Head, HeadFile};
use super::index::Index;
use super::line::Line;
use super::sink::{Sink, drain};

/// Makes a sink of a fresh file; tests make one that fails.
pub(super) type MakeSink = fn(File) -> Arc<dyn Sink>;

/// Where files are made.
pub(super) struct Folder {
    pub(super) dir: PathBuf,
    pub(super) key: ChainKey,
    pub(super) durable: bool,
    pub(super) make_sink: MakeSink,
}

/// A file that is appended to.
pub(super) struct LogFile {
    pub(super) name: Arc<str>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) chain: Chain,
    /// Bytes written, those of the pending lines excluded.
    pub(super) size: u64,
}

impl Folder {
    /// Makes a file with its first line and its head, then lists it in the index: whoever dies in
    /// between leaves a file of one line that is not listed, which `verify` takes for what it is.
    pub(super) fn start(
        &self,
        reason: &'static str,
        previous: Option<&Head>,
        time: SystemTime,
    ) -> Result<(LogFile, HeadFile), AuditError> {
        let mut index = Index::lock(&self.dir, &self.key, self.durable)?;
        let (name, file) = self.create(time)?;
        let started = self.begin(&name, file, reason, previous, time, &mut index);
        started.inspect_err(|_| {
            for path in [self.dir.join(&name), head::path(&self.dir, &name)] {
                // A file of one line that stays is not listed, and found to be what it is.
                let _ = std::fs::remove_file(path);
            }
        })
    }

    fn begin(
        &self,
        name: &str,
        file: File,
        reason: &'static str,
        previous: Option<&Head>,
        time: SystemTime,
        index: &mut Index,
    ) -> Result<(LogFile, HeadFile), AuditError> {
        let path = self.dir.join(name);
        let mut chain = Chain::start(&self.key, name);
        let (mut body, mut line) = (Vec::new(), Vec::new());
        open_line(&mut body, time, name, reason, &index.head(), previous);
        chain.push(&body, &mut line);
        let sink = (self.make_sink)(file);
        let size = drain(&*sink, &mut line).map_err(AuditError::writing(&path))?;
        if self.durable {
            sink.sync().and_then(|()| File::open(&self.dir)?.sync_all()).map_err(AuditError::writing(&path))?;
        }
        let head = Head::of(name, &chain);
        let mut heads = HeadFile::new(&self.dir, name);
        heads.replace(&head)?;
        index.append("opened", &head, time)?;
        Ok((LogFile { name: name.into(), sink, chain, size }, heads))
    }

    /// Says in the index that a file is complete.
    pub(super) fn list_closed(&self, head: &Head, time: SystemTime) -> Result<(), AuditError> {
        Index::lock(&self.dir, &self.key, self.durable)?.append("closed", head, time)
    }

    fn create(&self, time: SystemTime) -> Result<(String, File), AuditError> {
        let compact = format_description!("[year][month][day]T[hour][minute][second]Z");
        let start = OffsetDateTime::from(time).format(compact).unwrap_or_default();
        let process = std::process::id();
        let mut number = 1;
        loop {
            let name = format!("{PREFIX}{start}-{process}-{number}{SUFFIX}");
            let path = self.dir.join(&name);
            match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((name, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(AuditError::writing(&path)(error)),
            }
        }
    }
}

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";

/// Tells whether a name is one of ours.
pub(super) fn is_log(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// The names of all log files in a folder, sorted, which is by the time of their start.
pub(super) fn list(dir: &Path) -> Result<Vec<String>, AuditError> {
    let mut names = Vec::new();
    let items = std::fs::read_dir(dir).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => AuditError::Nothing { path: dir.to_owned() },
        _ => AuditError::reading(dir)(error),
    });
    for item in items? {
        let item = item.map_err(AuditError::reading(dir))?;
        names.extend(item.file_name().into_string().ok().filter(|name| is_log(name)));
    }
    names.sort_unstable();
    Ok(names)
}

fn open_line(
    body: &mut Vec<u8>,
    time: SystemTime,
    name: &str,
    reason: &'static str,
    index: &Head,
    previous: Option<&Head>,
) {
    let mut line = Line::begin(body, time, "open");
    line.text("file", name).text("version", env!("CARGO_PKG_VERSION")).text("reason", reason);
    line.number("index_count", index.count).text("index_mac", &index.mac);
    if let Some(Head { file: Some(file), count, mac }) = previous {
        line.text("previous", file).number("previous_count", *count).text("previous_mac", mac);
    }
}
