//! `audit verify`: the files of the sidecars, and the Authority's audit in its store.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Place, print};
use crate::audit::{self, Head, Report};
use crate::cli::failure::{Failure, chain};
use crate::cli::output::safe;
use crate::cli::{exit, harden};

#[cfg(feature = "authority")]
use super::stored::{Stored, StoredArgs};

/// Prove that no line was edited, removed, moved or added
///
/// The files of the sidecars of this machine, and the Authority's audit in the store, if there is one.
/// Exit code 0: nothing was found; 1: something was. It prints heads: kept elsewhere and given to
/// --head later, they show whether what is here now still begins with what was here then.
#[derive(clap::Args)]
#[command(after_help = verify_help())]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// The chain's key of the files [default: the configuration's, or DIR/key]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A head that was kept elsewhere: COUNT:MAC, a copy of a .head file, or, of the store,
    /// INSTANCE:SEQUENCE:MAC; may be repeated
    #[arg(long = "head", value_name = "HEAD")]
    heads: Vec<String>,
    #[cfg(feature = "authority")]
    #[command(flatten)]
    stored: StoredArgs,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

/// Examples, and what a chain of MACs cannot show.
fn verify_help() -> String {
    let text = format!(
        "Examples:\n  nexus-sidecar audit verify\n  \
         nexus-sidecar audit verify --head \"$(cat head-of-yesterday.json)\"\n\n{}",
        audit::LIMITS
    );
    #[cfg(feature = "authority")]
    let text = format!("{text}\n\n{}", super::stored::LIMITS);
    text
}

/// Verifies, and answers the exit code.
pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    // Whoever could read the chain's key in our memory could forge lines.
    harden::harden()?;
    #[cfg(feature = "authority")]
    let (heads, stored) = Stored::verify(&args.stored, &args.place, &args.heads)?;
    #[cfg(not(feature = "authority"))]
    let heads = args.heads.clone();
    let heads = heads.iter().map(|head| read_head(head)).collect::<Result<Vec<_>, _>>()?;
    let files = files(args, &heads)?;
    let good = files.as_ref().is_none_or(|(_, report)| report.findings.is_empty());
    let report = files.as_ref().map_or_else(Report::default, |(_, report)| report.clone());
    let mut json = serde_json::to_value(&report).map_err(|error| Failure::because(&error))?;
    let texts: Vec<String> = files.iter().map(|(dir, report)| told(dir, report)).collect();
    #[cfg(feature = "authority")]
    let (good, texts) = {
        json["store"] = stored.json();
        (good && stored.is_good(), texts.into_iter().chain(stored.told()).collect::<Vec<_>>())
    };
    json["ok"] = good.into();
    let text = match args.json {
        true => serde_json::to_string_pretty(&json).map_err(|error| Failure::because(&error))?,
        false => texts.join("\n\n"),
    };
    // Who closed the pipe still gets the exit code.
    print(&[text]);
    Ok(if good { exit::OK } else { exit::FAILED }.into())
}

/// The report of the files, unless they are left out.
fn files(args: &VerifyArgs, heads: &[Head]) -> Result<Option<(PathBuf, Report)>, Failure> {
    #[cfg(feature = "authority")]
    if args.stored.no_files {
        return match heads.is_empty() {
            true => Ok(None),
            false => Err(Failure::usage("a head of a file was given, and --no-files leaves the files out")),
        };
    }
    let (dir, key) = args.place.find()?;
    let key = args.key_file.as_deref().unwrap_or(&key);
    let report = audit::verify(&dir, key, heads).map_err(|error| {
        let hint = if cfg!(feature = "authority") && !dir.exists() {
            "; --no-files leaves the files out, where no sidecar has recorded"
        } else {
            ""
        };
        Failure::failed(format!("{}{hint}", chain(&error)))
    })?;
    Ok(Some((dir, report)))
}

fn read_head(text: &str) -> Result<Head, Failure> {
    if let Ok(head) = text.parse() {
        return Ok(head);
    }
    let content = std::fs::read_to_string(text)
        .map_err(|error| Failure::usage(format!("{text:?} is neither COUNT:MAC nor a file of a head: {error}")))?;
    content.parse().map_err(|error| Failure::usage(format!("{text}: {error}")))
}

fn told(dir: &Path, report: &Report) -> String {
    let mut text = format!("audit     {}\n", dir.display());
    let running = report.files.iter().filter(|file| !file.closed).count();
    text += &format!("files     {}", report.files.len());
    if running > 0 {
        text += &format!(" ({running} not closed: the process runs, or died)");
    }
    text += &format!("\nlines     {}\nrequests  {}\nopen      {}", report.lines, report.requests, report.open);
    if report.open > 0 {
        text += " (left, and no outcome is recorded: they run, or their process died)";
        for trace in &report.open_traces {
            text += &format!("\n          {trace}");
        }
    }
    if report.lost > 0 {
        text += &format!("\nlost      {} lines that could not be written (best_effort)", report.lost);
    }
    for file in report.files.iter().filter(|file| file.torn && !file.closed) {
        text += &format!("\ntorn      {}: its last line is incomplete, behind its head", file.file);
    }
    for file in report.files.iter().filter(|file| file.unlisted) {
        text += &format!("\nunlisted  {}: its process died while it was opened", file.file);
    }
    if report.findings.is_empty() {
        text += "\n\nok: no line was edited, removed, moved or added\n\nKeep elsewhere, to give to --head later:";
        for head in &report.heads {
            text += &format!("\n  {head}  {}", head.file.as_deref().unwrap_or_default());
        }
        return text;
    }
    text += "\n\nTAMPERED:";
    for finding in &report.findings {
        text += &format!("\n  {}", safe(&finding.to_string()));
    }
    text + "\n\nA machine that lost power can lose the end of a file too, in other modes than durable."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_given_as_text_or_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        let mac = "ab".repeat(32);
        std::fs::write(&path, format!("{{\"file\":\"f\",\"count\":3,\"mac\":\"{mac}\"}}\n")).unwrap();
        assert_eq!(read_head(&format!("3:{mac}")).unwrap().count, 3);
        assert_eq!(read_head(path.to_str().unwrap()).unwrap().file.as_deref(), Some("f"));
        for bad in ["3:xyz", "/nonexistent"] {
            assert_eq!(read_head(bad).unwrap_err().code(), exit::USAGE);
        }
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(read_head(path.to_str().unwrap()).unwrap_err().code(), exit::USAGE);
    }
}
