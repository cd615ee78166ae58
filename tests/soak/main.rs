//! Kills a writer of the store at random, and looks at what it left. Each acknowledged write has to be
//! there, none half done, and the audit unbroken. Separately, `sync` watches by system calls that an
//! acknowledgement follows the sync of what it acknowledges: the page cache outlives a process, so that
//! no kill can show that.
//!
//! The writer is this program again: it uses the library as the product does, and tells on a pipe what
//! it is about to do and what was acknowledged.
//!
//! `cargo test --test soak -- --kills 20`; `--seed N` repeats a run as far as the machine lets it.

mod check;
mod draw;
mod ledger;
mod place;
mod rounds;
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared with the integration tests")]
#[path = "../it/support/postgres.rs"]
mod server;
mod sync;
mod writer;

use std::io::Write as _;

/// What went wrong, in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).map(|text| text.parse::<u64>()).transpose()
    };
    if let Some(at) = arguments.iter().position(|argument| argument == "--writer") {
        return writer::run(&arguments[at + 1..]);
    }
    let Some(kills) = number("--kills")? else {
        say("nothing to do: --kills N says how often each store's writer is killed (make soak-seed, make soak)");
        return Ok(());
    };
    let seed = match number("--seed")? {
        Some(seed) => seed,
        None => draw::seed()?,
    };
    say(&format!("seed {seed}"));
    sync::sqlite()?;
    sync::postgres()?;
    rounds::sqlite(kills, seed)?;
    rounds::postgres(kills, seed)
}

/// Tells whoever runs it.
fn say(text: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "{text}");
}
