//! What is printed and what is kept.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::command::Overhead;
use crate::load::{Figures, Shape};
use crate::sidecar::{Memory, Mode};

/// Every figure of a run, in the order of its making.
#[derive(Default)]
pub(crate) struct Measured {
    figures: Vec<(&'static str, Shape, Figures)>,
    pub(crate) starts: Vec<Start>,
    /// What `run` adds to a command.
    pub(crate) overhead: Option<Overhead>,
}

/// What was seen of a sidecar beside its requests.
pub(crate) struct Start {
    pub(crate) mode: Mode,
    /// From the start to the first answer through it: the median of the starts.
    pub(crate) first_answer: Duration,
    /// After the first answer.
    pub(crate) idle: Memory,
    /// After all the load.
    pub(crate) loaded: Memory,
}

impl Measured {
    pub(crate) fn add(&mut self, who: &'static str, shape: Shape, figures: Figures) {
        self.figures.push((who, shape, figures));
    }

    fn direct(&self, shape: Shape) -> Option<&Figures> {
        self.figures.iter().find(|(who, its, _)| *who == "direct" && *its == shape).map(|(_, _, figures)| figures)
    }
}

/// Says on standard error what is going on.
pub(crate) fn progress(text: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints the tables on standard output.
pub(crate) fn print(measured: &Measured, pinned: bool) {
    let mut text = String::new();
    for shape in Shape::ALL {
        text += &format!("\n{}\n", shape.words());
        text += "                     req/s          p50 us          p99 us   sidecar CPU us/request\n";
        let direct = measured.direct(shape);
        for (who, _, figures) in measured.figures.iter().filter(|(_, its, _)| *its == shape) {
            let ratio = |value: f64, of: fn(&Figures) -> f64| direct.map_or(1.0, |direct| value / of(direct));
            text += &format!(
                "  {who:<12} {:>8.0} ({:>4.2}x) {:>6.0} ({:>5.2}x) {:>6.0} ({:>5.2}x) {:>10}\n",
                figures.per_second,
                ratio(figures.per_second, |direct| direct.per_second),
                figures.p50,
                ratio(figures.p50, |direct| direct.p50),
                figures.p99,
                ratio(figures.p99, |direct| direct.p99),
                figures.cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}")),
            );
        }
    }
    text += "\n               first answer, ms   memory idle, MB   after load, MB\n";
    for start in &measured.starts {
        text += &format!(
            "  {:<12} {:>16.1} {:>13.1} {} {:>12.1} {}\n",
            start.mode.word(),
            milliseconds(start.first_answer),
            megabytes(start.idle),
            start.idle.kind,
            megabytes(start.loaded),
            start.loaded.kind,
        );
    }
    if let Some(overhead) = &measured.overhead {
        text += &format!(
            "\n  run -- true  {:>5.1} ms more than true ({:.1} ms), the sidecar at most {:.1} MB resident\n",
            milliseconds(overhead.beside.saturating_sub(overhead.alone)),
            milliseconds(overhead.alone),
            overhead.peak_kib as f64 / 1024.0,
        );
    }
    text += "\n(N.NNx): the figure over that of a direct connection in this run. required, durable, best_effort:\n\
             intercepted, the credential injected, recorded in that audit mode.\n";
    text += if pinned {
        "Load and destination on CPU 0, the sidecar on CPU 1, or on CPU 0 too with one kept connection.\n"
    } else {
        "Not pinned to CPUs: this machine has one, or does not let us.\n"
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes everything as JSON, and says where.
pub(crate) fn write(measured: &Measured, pinned: bool, seconds: Duration) -> Result<PathBuf, Failure> {
    let figures: Vec<Value> = measured.figures.iter().map(|(who, shape, f)| {
        let direct = measured.direct(*shape).copied().unwrap_or(*f);
        json!({
            "route": who,
            "shape": shape.words(),
            "requests": f.requests,
            "requests_per_second": f.per_second,
            "p50_us": f.p50,
            "p99_us": f.p99,
            "sidecar_cpu_us_per_request": f.cpu,
            "to_direct": { "requests_per_second": f.per_second / direct.per_second, "p50": f.p50 / direct.p50, "p99": f.p99 / direct.p99 },
        })
    }).collect();
    let starts: Vec<Value> = measured
        .starts
        .iter()
        .map(|start| {
            json!({
                "audit_mode": start.mode.word(),
                "first_answer_ms": milliseconds(start.first_answer),
                "memory_kind": start.idle.kind,
                "idle_kib": start.idle.kib,
                "loaded_kib": start.loaded.kib,
            })
        })
        .collect();
    let overhead = measured.overhead.as_ref().map(|overhead| {
        json!({
            "true_ms": milliseconds(overhead.alone),
            "run_true_ms": milliseconds(overhead.beside),
            "sidecar_peak_kib": overhead.peak_kib,
        })
    });
    let report = json!({
        "pinned": pinned,
        "seconds": seconds.as_secs_f64(),
        "figures": figures,
        "sidecars": starts,
        "run": overhead,
    });
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("macro.json");
    std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")?;
    Ok(file)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn megabytes(memory: Memory) -> f64 {
    memory.kib as f64 / 1024.0
}
