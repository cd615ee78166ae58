//! Starts a writer, kills it, looks, and starts the next one over what it left.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use nexus_sidecar::authority::StoreHead;

use crate::check::check;
use crate::draw::Draw;
use crate::ledger::Ledger;
use crate::place::Place;
use crate::server::{Server, Stop};
use crate::{Failure, say};

/// Kills of one store, before the next begins with an empty one.
const ROUND: u64 = 20;

/// Of these, the first are while the store is being made.
const WHILE_IT_IS_MADE: u64 = 2;

/// What half a write, or none, would look like.
const HARM: [&str; 5] = [
    "DELETE FROM audit WHERE event = 'agent.added' AND sequence = (SELECT max(sequence) FROM audit
        WHERE event = 'agent.added')",
    "DELETE FROM agents WHERE name LIKE 'after%'",
    "DELETE FROM events WHERE number = (SELECT max(number) FROM events)",
    "UPDATE workspaces SET last_event = last_event + 1",
    "UPDATE connections SET version = version + 1",
];

/// A writer that gets this far without being killed hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills writers of files.
pub(crate) fn sqlite(kills: u64, seed: u64) -> Result<(), Failure> {
    let (started, mut acknowledged) = (Instant::now(), 0);
    for (round, first) in (0..kills).step_by(ROUND as usize).enumerate() {
        let folder = tempfile::tempdir()?;
        let mut trial = Trial::new(Place::sqlite(folder.path()), seed, round as u64);
        for kill in first..kills.min(first + ROUND) {
            trial.kill(kill).map_err(|error| format!("SQLite, seed {seed}, kill {kill}: {error}"))?;
        }
        trial.sees_harm()?;
        acknowledged += trial.ledger.acknowledged();
    }
    told("SQLite", kills, acknowledged, started);
    Ok(())
}

/// Kills writers of databases, and at times the server under them.
pub(crate) fn postgres(kills: u64, seed: u64) -> Result<(), Failure> {
    let Some(server) = Server::start() else { return Ok(()) };
    let (started, mut acknowledged, mut draw) = (Instant::now(), 0, Draw::new(seed, u64::MAX / 2));
    let mut servers = 0;
    for (round, first) in (0..kills).step_by(ROUND as usize).enumerate() {
        let folder = tempfile::tempdir()?;
        let place = Place::postgres(folder.path(), server.place(), server.database());
        let mut trial = Trial::new(place, seed, round as u64);
        for kill in first..kills.min(first + ROUND) {
            let with_the_server = kill % ROUND >= WHILE_IT_IS_MADE && draw.below(10) == 0;
            servers += u64::from(with_the_server);
            let done = if with_the_server { trial.kill_both(kill, &server) } else { trial.kill(kill) };
            done.map_err(|error| format!("PostgreSQL, seed {seed}, kill {kill}: {error}"))?;
        }
        trial.sees_harm()?;
        acknowledged += trial.ledger.acknowledged();
    }
    told("PostgreSQL", kills, acknowledged, started);
    say(&format!("PostgreSQL: before {servers} of these kills the server was killed too, and came back"));
    Ok(())
}

fn told(store: &str, kills: u64, acknowledged: u64, started: Instant) {
    say(&format!(
        "{store}: {kills} kills, {acknowledged} acknowledged writes, all there and none half done, {:.1} s",
        started.elapsed().as_secs_f64()
    ));
}

/// One store, and what its writers said.
struct Trial {
    place: Place,
    seed: u64,
    draw: Draw,
    ledger: Ledger,
    /// The chains as they were seen to end: none may end earlier later.
    heads: Vec<StoreHead>,
}

impl Trial {
    fn new(place: Place, seed: u64, round: u64) -> Self {
        let draw = Draw::new(seed, u64::MAX - round);
        Self { place, seed, draw, ledger: Ledger::default(), heads: Vec::new() }
    }

    /// Starts a writer, kills it after a while, and looks at what it left.
    fn kill(&mut self, kill: u64) -> Result<(), Failure> {
        let mut writer = Writer::start(&self.place, self.seed, kill)?;
        if kill % ROUND >= WHILE_IT_IS_MADE {
            writer.wait_for("ready", &mut self.ledger)?;
        }
        writer.go_on_for(self.for_a_while(), &mut self.ledger)?;
        writer.kill(&mut self.ledger)?;
        self.look(kill)
    }

    /// Kills the server under a writer, starts it again, and kills the writer once it writes again.
    fn kill_both(&mut self, kill: u64, server: &Server) -> Result<(), Failure> {
        let mut writer = Writer::start(&self.place, self.seed, kill)?;
        writer.wait_for("ready", &mut self.ledger)?;
        writer.go_on_for(self.for_a_while(), &mut self.ledger)?;
        writer.may_fail = true;
        server.stop(Stop::Kill);
        server.run();
        // What was said until now may have been said before.
        writer.go_on_for(Duration::ZERO, &mut self.ledger)?;
        writer.wait_for("! ", &mut self.ledger)?;
        writer.go_on_for(self.for_a_while(), &mut self.ledger)?;
        writer.kill(&mut self.ledger)?;
        self.look(kill)
    }

    /// Short lives are as likely as long ones.
    fn for_a_while(&mut self) -> Duration {
        let most = 1_u64 << self.draw.below(10);
        Duration::from_micros(self.draw.below(most * 1000))
    }

    fn look(&mut self, kill: u64) -> Result<(), Failure> {
        let authority = self.place.open()?;
        check(self.place.rows()?, &self.ledger)?;
        self.verify(&authority)?;
        // Life goes on.
        let name = format!("after{kill}");
        self.ledger.take(&format!("? agent.added {name}"));
        authority.add_agent(&name)?;
        self.ledger.take(&format!("! agent.added {name}"));
        self.verify(&authority)
    }

    /// What would pass a store that was harmed proves nothing.
    fn sees_harm(&self) -> Result<(), Failure> {
        let rows = self.place.rows()?;
        for harm in HARM {
            let harmed = self.place.rows_after(harm)?;
            // Where there was nothing to harm, there is nothing to see.
            if harmed != rows && check(harmed, &self.ledger).is_ok() {
                return Err(format!("a store after {harm} passes").into());
            }
        }
        Ok(())
    }

    fn verify(&mut self, authority: &nexus_sidecar::authority::Authority) -> Result<(), Failure> {
        let report = authority.verify_audit(&self.heads)?;
        if !report.findings.is_empty() {
            return Err(format!("the audit does not verify: {}", report.findings.join("; ")).into());
        }
        self.heads = report.heads;
        Ok(())
    }
}

struct Writer {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// The server was taken from under it.
    may_fail: bool,
}

impl Writer {
    fn start(place: &Place, seed: u64, run: u64) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--writer", &seed.to_string(), &run.to_string()]).args(place.arguments());
        let mut child = command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let pipe = child.stdout.take().ok_or("the writer has no standard output")?;
        let (way, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Only the trial's end stops this earlier than the writer's.
            BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| way.send(line))
        });
        Ok(Self { child, lines, may_fail: false })
    }

    /// Waits for a line that begins like this.
    fn wait_for(&mut self, begin: &str, ledger: &mut Ledger) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|error| format!("the writer does not go on: {error}"))?;
            self.heard(&line, ledger)?;
            if line.starts_with(begin) {
                return Ok(());
            }
        }
    }

    fn go_on_for(&mut self, time: Duration, ledger: &mut Ledger) -> Result<(), Failure> {
        let until = Instant::now() + time;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.heard(&line, ledger)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err("the writer ended by itself".into()),
            }
        }
    }

    /// SIGKILL, and then everything that it had said.
    fn kill(mut self, ledger: &mut Ledger) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.heard(&line, ledger)?;
        }
        Ok(())
    }

    fn heard(&self, line: &str, ledger: &mut Ledger) -> Result<(), Failure> {
        match line.strip_prefix("- ") {
            Some(why) if !self.may_fail => Err(format!("a write failed: {why}").into()),
            _ => {
                ledger.take(line);
                Ok(())
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
