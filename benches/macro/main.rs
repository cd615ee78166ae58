//! The macro benchmark: what the sidecar costs beside a direct connection, in one run.
//!
//! The release binary runs as `proxy --config` over a real store; destination and load stand in
//! this process. Every answer is checked: its status, its length, and that the destination saw
//! the credential. Nothing here asserts a time: figures go to a table and to
//! `target/bench/macro.json`, and are to be compared within one run only.
//!
//! `cargo bench --bench macro`; behind `--`, `--short` takes a few seconds in place of a minute.

mod command;
mod cpu;
mod load;
mod origin;
mod pki;
mod report;
mod sidecar;

use std::path::Path;
use std::time::Duration;

use load::{Case, Figures, Route, Shape};
use report::{Measured, Start};
use sidecar::{Mode, Sidecar};

/// What went wrong, in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Starts of which the median is shown.
const STARTS: usize = 5;

fn main() -> Result<(), Failure> {
    // `cargo test` runs benchmarks too, without `--bench`: there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let short = std::env::args().any(|argument| argument == "--short");
    let seconds = Duration::from_millis(if short { 150 } else { 2000 });
    let folder = tempfile::tempdir()?;
    let pinned = cpu::pin_self(cpu::LOAD);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pki = pki::Pki::new()?;
    let origin = origin::start(&pki)?;
    let mut measured =
        runtime.block_on(measure(folder.path(), &pki, origin, seconds, if short { 1 } else { STARTS }))?;
    report::progress("run -- true");
    measured.overhead = Some(command::measure(&folder.path().join("command"))?);
    report::print(&measured, pinned);
    let file = report::write(&measured, pinned, seconds)?;
    report::progress(&format!("written to {}", file.display()));
    Ok(())
}

async fn measure(
    folder: &Path,
    pki: &pki::Pki,
    origin: u16,
    seconds: Duration,
    starts: usize,
) -> Result<Measured, Failure> {
    let mut measured = Measured::default();
    let trust = load::trust(&[&pki.pem])?;
    let case = |shape| Case { shape, seconds, origin, route: Route::Direct, trust: trust.clone() };
    for shape in Shape::ALL {
        measured.add("direct", shape, run("direct", case(shape), None).await?);
    }
    for mode in Mode::ALL {
        let dir = folder.join(mode.word());
        let mut times = Vec::new();
        for _ in 1..starts {
            times.push(Sidecar::start(&dir, mode, pki, origin).await?.first_answer);
        }
        let sidecar = Sidecar::start(&dir, mode, pki, origin).await?;
        times.push(sidecar.first_answer);
        let idle = sidecar.memory();
        let trust = load::trust(&[&pki.pem, &sidecar.ca_pem()?])?;
        let proxied = |shape, host| Case {
            route: Route::Proxy { port: sidecar.port, host },
            trust: trust.clone(),
            ..case(shape)
        };
        if mode == Mode::Required {
            for shape in Shape::ALL {
                let figures = run("tunnelled", proxied(shape, origin::TUNNELLED), Some(&sidecar)).await?;
                measured.add("tunnelled", shape, figures);
            }
        }
        for shape in Shape::ALL {
            let figures = run(mode.word(), proxied(shape, origin::INJECTED), Some(&sidecar)).await?;
            measured.add(mode.word(), shape, figures);
        }
        times.sort();
        let first_answer = times.get(times.len() / 2).copied().unwrap_or_default();
        measured.starts.push(Start { mode, first_answer, idle, loaded: sidecar.memory() });
        sidecar.stop().await?;
    }
    Ok(measured)
}

async fn run(who: &str, case: Case, sidecar: Option<&Sidecar>) -> Result<Figures, Failure> {
    report::progress(&format!("{who}: {}", case.shape.words()));
    if let Some(sidecar) = sidecar {
        // One connection at a time across two virtual CPUs measures how one wakes the other.
        sidecar.pin(if case.shape == Shape::One { cpu::LOAD } else { cpu::SIDECAR });
    }
    let before = sidecar.map(Sidecar::cpu);
    let mut figures = case.run().await?;
    if let (Some(sidecar), Some(before)) = (sidecar, before) {
        figures.cpu_of_sidecar(sidecar.cpu().saturating_sub(before));
    }
    Ok(figures)
}
