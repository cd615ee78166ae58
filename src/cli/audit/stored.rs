//! The Authority's audit, which is in its store.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Place;
use crate::authority::{Authority, StoreHead, StoreReport};
use crate::cli::failure::Failure;
use crate::cli::output::safe;
use crate::cli::{start, store};
use crate::telemetry::SystemClock;

/// What cannot be found in a store, for people.
pub(super) const LIMITS: &str = "Not found in the store: the last lines of a process that were removed together with \
its head, and all lines of a process that were removed with its row, unless a head of it is given with --head; a \
store that was put back as it was once, likewise; and lines that whoever holds authority.key has forged.";

#[derive(clap::Args)]
pub(super) struct StoredArgs {
    /// Leave the Authority's audit in the store out; its key is not read then
    #[arg(long)]
    no_store: bool,
    /// Leave the files of the sidecars out
    #[arg(long, conflicts_with_all = ["no_store", "key_file", "dir"])]
    pub(super) no_files: bool,
}

/// What came of it.
pub(super) enum Stored {
    /// There is none here, or it was left out.
    Out,
    /// Heads of a store were given, and there is none.
    Gone,
    /// It cannot be opened or read.
    Closed(String),
    Read(String, StoreReport),
}

impl Stored {
    /// Verifies the store of the configuration. Answers the heads that are not a store's, too.
    pub(super) fn verify(args: &StoredArgs, place: &Place, heads: &[String]) -> Result<(Vec<String>, Self), Failure> {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for head in heads {
            match StoreHead::parse(head) {
                Some(head) => own.push(head),
                None => others.push(head.clone()),
            }
        }
        if args.no_store || place.dir.is_some() {
            if !own.is_empty() {
                let why = "a head of the store was given, and --no-store or --dir leaves the store out";
                return Err(Failure::usage(why));
            }
            return Ok((others, Self::Out));
        }
        let config = start::config(place.config.as_deref())?;
        if !config.is_embedded() || !Authority::has_store(&config.authority) {
            if args.no_files && own.is_empty() {
                return Err(Failure::failed("there is no store here: without the files, nothing is left to verify"));
            }
            return Ok((others, if own.is_empty() { Self::Out } else { Self::Gone }));
        }
        let opened = store::open(&config.authority, Arc::new(SystemClock));
        let read = opened.and_then(|authority| {
            let report = authority.verify_audit(&own).map_err(|error| Failure::because(&error))?;
            Ok(Self::Read(authority.store_name(), report))
        });
        Ok((others, read.unwrap_or_else(|failure| Self::Closed(failure.message().to_owned()))))
    }

    pub(super) fn is_good(&self) -> bool {
        match self {
            Self::Out => true,
            Self::Read(_, report) => report.findings.is_empty(),
            Self::Gone | Self::Closed(_) => false,
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Out => Value::Null,
            Self::Gone => json!({ "findings": [GONE] }),
            Self::Closed(why) => json!({ "error": why }),
            Self::Read(name, report) => json!({
                "store": name,
                "instances": report.instances,
                "lines": report.lines,
                "findings": report.findings,
                "heads": report.heads.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
        }
    }

    /// What is said of it; nothing where it is out.
    pub(super) fn told(&self) -> Option<String> {
        match self {
            Self::Out => None,
            Self::Gone => Some(format!("store     none\n\nTAMPERED:\n  {GONE}")),
            Self::Closed(why) => {
                Some(format!("store     cannot be verified: {why}\n          --no-store leaves it out"))
            }
            Self::Read(name, report) => Some(said(name, report)),
        }
    }
}

const GONE: &str = "heads of a store were given, and there is no store";

fn said(name: &str, report: &StoreReport) -> String {
    let mut text = format!("store     {name}\nprocesses {}\nlines     {}", report.instances, report.lines);
    if report.findings.is_empty() {
        text += "\n\nok: no line of the store was edited, removed, moved or added";
        if !report.heads.is_empty() {
            text += "\n\nKeep elsewhere, to give to --head later:";
        }
        for head in &report.heads {
            text += &format!("\n  {head}");
        }
        return text;
    }
    text += "\n\nTAMPERED:";
    for finding in &report.findings {
        text += &format!("\n  {}", safe(finding));
    }
    text
}
