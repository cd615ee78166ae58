//! Proves a folder: every chain from its first line, each against the heads beside it, the index
//! and whatever heads were kept elsewhere. It reads only, also while processes write.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::chain::{ChainKey, Mac};
use super::index::{self, Listed};
use super::report::{FileReport, Finding, Report};
use super::scan::{self, Check, Scan, scan};
use super::snapshot::{HeadRead, Snapshot};
use super::{AuditError, Head, file, key};

/// Findings of one file that are told one by one.
const MOST_FAULTS: usize = 20;
/// Open requests whose ids are told.
const MOST_TRACES: usize = 100;

/// Checks all files of a folder under the key in a file, and against heads that were kept
/// elsewhere.
///
/// # Errors
/// Only where something cannot be read; what was tampered with is in the report.
pub fn verify(dir: &Path, key_file: &Path, heads: &[Head]) -> Result<Report, AuditError> {
    // A folder that is not there is said first: its key most likely went with it.
    file::list(dir)?;
    let key = key::read(key_file)?;
    let loose = heads.iter().filter(|head| head.file.is_none()).map(|head| (head.clone(), false)).collect();
    let tally = Tally { loose, ..Tally::default() };
    let named = heads.iter().filter(|head| head.file.is_some()).collect();
    let mut proof = Proof { dir, key, named, tally, ends: HashMap::new(), report: Report::default() };
    proof.folder()?;
    Ok(proof.finish())
}

struct Proof<'a> {
    dir: &'a Path,
    key: ChainKey,
    /// Given heads that name a file.
    named: Vec<&'a Head>,
    tally: Tally,
    /// How the files that were read end.
    ends: HashMap<String, Head>,
    report: Report,
}

/// What is counted over all lines that hold.
#[derive(Default)]
struct Tally {
    /// Given heads that name no file, and whether a line met them.
    loose: Vec<(Head, bool)>,
    /// Requests with an intent and, so far, no outcome.
    open: HashMap<Vec<u8>, u64>,
    ended: u64,
    lost: u64,
    opening: Option<Opening>,
}

/// The first line of a file: what there was when it was opened.
#[derive(Deserialize)]
struct Opening {
    index_count: usize,
    index_mac: String,
    previous: Option<String>,
    previous_count: Option<u64>,
    previous_mac: Option<String>,
}

#[derive(Deserialize)]
struct Note {
    lost: u64,
}

impl Proof<'_> {
    fn folder(&mut self) -> Result<(), AuditError> {
        let given = self.given(index::NAME);
        let loose = &mut self.tally.loose;
        let snapshot = Snapshot::take(self.dir, &self.key, given, |n, mac| meet(loose, n, mac))?;
        for (line, what) in &snapshot.faults {
            self.find(index::NAME, *line, what.clone());
        }
        self.report.heads.extend(snapshot.head.clone());
        let mut done: HashMap<&str, Vec<&Listed>> = HashMap::new();
        let mut order = Vec::new();
        for listed in &snapshot.listed {
            let of_it = done.entry(&listed.file).or_default();
            if of_it.is_empty() {
                order.push(listed.file.as_str());
            }
            of_it.push(listed);
        }
        for name in order {
            if snapshot.files.contains_key(name) {
                self.file(name, &done[name], &snapshot)?;
            } else {
                self.find(name, None, "is missing: the index lists it".to_owned());
            }
        }
        for name in snapshot.files.keys().filter(|name| !done.contains_key(name.as_str())) {
            self.file(name, &[], &snapshot)?;
        }
        for head in std::mem::take(&mut self.named) {
            let name = head.file.as_deref().unwrap_or_default();
            let known = snapshot.files.contains_key(name) || name == index::NAME && snapshot.head.is_some();
            if !known && !done.contains_key(name) {
                self.find(name, None, "is missing: a head of it was given".to_owned());
            }
        }
        Ok(())
    }

    fn file(&mut self, name: &str, listed: &[&Listed], snapshot: &Snapshot) -> Result<(), AuditError> {
        let closed = listed.iter().find(|listed| listed.kind == "closed");
        let mut checks = self.given(name);
        checks.extend(listed.iter().map(|listed| Check { head: listed.head(), source: "the index" }));
        match snapshot.files.get(name) {
            Some(HeadRead::Good(head)) if head.file.as_deref() == Some(name) => {
                checks.push(Check { head: head.clone(), source: "its .head file" });
            }
            Some(HeadRead::Missing) if listed.is_empty() => {}
            Some(HeadRead::Missing) => self.find(name, None, "has lost its .head file".to_owned()),
            _ => self.find(name, None, "has a .head file that is none".to_owned()),
        }
        let path = self.dir.join(name);
        self.tally.opening = None;
        let tally = &mut self.tally;
        let scan = scan(&path, name, &self.key, checks, |n, mac, body| tally.line(n, mac, body));
        let scan = scan.map_err(AuditError::reading(&path))?;
        if closed.is_some_and(|closed| scan.lines > closed.count || scan.torn) {
            self.find(name, None, "goes on behind its end".to_owned());
        }
        let unlisted = listed.is_empty();
        if unlisted && (scan.lines > 1 || !scan.faults.is_empty()) {
            self.find(name, None, "is not in the index".to_owned());
        }
        self.opening(name, snapshot);
        self.note(name, scan, closed.is_some(), unlisted);
        Ok(())
    }

    /// Checks what the first line says of the index and of the file before.
    fn opening(&mut self, name: &str, snapshot: &Snapshot) {
        let Some(opening) = self.tally.opening.take() else { return };
        let mac = snapshot.macs.get(opening.index_count).map(|mac| mac.hex());
        if mac != Some(opening.index_mac) {
            let what = format!(
                "was opened when the index had {} lines, which are not those that it has now",
                opening.index_count
            );
            self.find(name, Some(1), what);
        }
        if let Some(previous) = opening.previous {
            let end = self.ends.get(&previous).map(|head| (Some(head.count), Some(head.mac.as_str())));
            if end != Some((opening.previous_count, opening.previous_mac.as_deref())) {
                self.find(name, Some(1), format!("follows {previous}, which does not end as this line says"));
            }
        }
    }

    fn note(&mut self, name: &str, scan: Scan, closed: bool, unlisted: bool) {
        let more = scan.faults.len().saturating_sub(MOST_FAULTS);
        for (line, what) in scan.faults.into_iter().take(MOST_FAULTS) {
            self.find(name, line, what);
        }
        if more > 0 {
            self.find(name, None, format!("has {more} more findings"));
        }
        let head = Head { file: Some(name.to_owned()), count: scan.lines, mac: scan.last.hex() };
        if !closed && !unlisted {
            self.report.heads.push(head.clone());
        }
        self.ends.insert(name.to_owned(), head);
        self.report.lines += scan.lines;
        let file = name.to_owned();
        self.report.files.push(FileReport { file, lines: scan.lines, closed, torn: scan.torn, unlisted });
    }

    fn given(&self, name: &str) -> Vec<Check> {
        let of_it = self.named.iter().filter(|head| head.file.as_deref() == Some(name));
        of_it.map(|head| Check { head: Head::clone(head), source: "the head that was given" }).collect()
    }

    fn find(&mut self, file: &str, line: Option<u64>, what: String) {
        self.report.findings.push(Finding { file: file.to_owned(), line, what });
    }

    fn finish(mut self) -> Report {
        for (head, met) in std::mem::take(&mut self.tally.loose) {
            if !met {
                let what = "is the end of no chain here: lines were removed or edited".to_owned();
                self.find(&format!("the head {head}"), None, what);
            }
        }
        let mut report = self.report;
        report.open = self.tally.open.values().sum();
        report.requests = self.tally.ended + report.open;
        report.lost = self.tally.lost;
        let traces = self.tally.open.keys().map(|trace| String::from_utf8_lossy(trace).into_owned());
        report.open_traces = traces.take(MOST_TRACES).collect();
        report.open_traces.sort_unstable();
        report
    }
}

impl Tally {
    fn line(&mut self, n: u64, mac: Mac, body: &[u8]) {
        meet(&mut self.loose, n, mac);
        match scan::kind(body) {
            Some(b"intent") => {
                if let Some((trace, 1)) = scan::request(body) {
                    *self.open.entry(trace.to_vec()).or_default() += 1;
                }
            }
            Some(b"outcome") => {
                self.ended += 1;
                if let Some((trace, 1..)) = scan::request(body) {
                    self.outcome(trace);
                }
            }
            Some(b"open") if n == 1 => self.opening = scan::json(body),
            Some(b"note") => self.lost += scan::json::<Note>(body).map_or(0, |note| note.lost),
            _ => {}
        }
    }

    fn outcome(&mut self, trace: &[u8]) {
        // Several requests at once may share the id that an agent chose.
        match self.open.get_mut(trace) {
            Some(open) if *open > 1 => *open -= 1,
            Some(_) => drop(self.open.remove(trace)),
            None => {}
        }
    }
}

fn meet(loose: &mut [(Head, bool)], count: u64, mac: Mac) {
    for (head, met) in loose {
        *met |= head.count == count && head.mac == mac.hex();
    }
}

#[cfg(test)]
mod tests;
