//! The Authority and what borrows from it, measured: what a lease call costs, what it costs to keep
//! leases fresh and to look at one, and how soon a revocation is everywhere.
//!
//! The release binary runs as `authority serve` over TLS, and as the sidecars that borrow from it;
//! load, agents and their destination stand in this process. Every answer is checked. Nothing here
//! asserts a time: figures go to standard output beside the bars that they are to reach, and to
//! `target/bench/authority.json`.
//!
//! `cargo bench --bench authority`; behind `--`, `--short` takes seconds in place of minutes, and
//! `lend`, `renew` or `revoke` leaves the others out.

mod client;
#[path = "../macro/cpu.rs"]
#[expect(dead_code, reason = "there, the sidecar has a CPU of its own")]
mod cpu;
mod lend;
mod origin;
mod renew;
mod revoke;
mod serve;
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared with the integration tests")]
#[path = "../../tests/it/support/postgres.rs"]
mod server;
mod sidecar;
mod store;

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use store::Kind;

/// What went wrong, in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The release binary.
const BINARY: &str = env!("CARGO_BIN_EXE_nexus-sidecar");

/// The CPU of the Authority, and that of PostgreSQL and of this process.
const AUTHORITY: usize = 0;
const LOAD: usize = 1;

fn main() -> Result<(), Failure> {
    // `cargo test` runs benchmarks too, without `--bench`: there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let given = |word: &str| std::env::args().any(|argument| argument == word);
    let one = ["lend", "renew", "revoke"].into_iter().find(|word| given(word));
    let short = given("--short");
    let wanted = |word| one.is_none_or(|one| one == word);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut report = serde_json::Map::new();
    if wanted("revoke") {
        report.insert("revoke".into(), runtime()?.block_on(revoke::measure(short))?);
    }
    let two = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1);
    let pinned = (wanted("renew") || wanted("lend")) && two && cpu::pin(None, LOAD);
    if wanted("renew") {
        report.insert("renew".into(), json!(runtime()?.block_on(renew::measure(short, pinned))?));
    }
    if wanted("lend") {
        let mut figures = Vec::new();
        for kind in Kind::ALL {
            figures.push(runtime()?.block_on(lend::measure(kind, short, pinned))?);
        }
        report.insert("lend".into(), figures.into_iter().flatten().collect());
    }
    let file = write(&json!(report))?;
    progress(&format!("written to {}", file.display()));
    Ok(())
}

fn write(report: &Value) -> Result<PathBuf, Failure> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("authority.json");
    std::fs::write(&file, serde_json::to_string_pretty(report)? + "\n")?;
    Ok(file)
}

/// Says what is measured now.
fn progress(text: &str) {
    // Nobody may be watching.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Tells a result.
fn tell(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The value below which this share of the sorted ones lies.
fn quantile(sorted: &[std::time::Duration], share: f64) -> std::time::Duration {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
