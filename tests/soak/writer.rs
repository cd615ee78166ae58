//! Writes without pause until it is killed, on several threads at once, so that groups form.
//!
//! Each thread leads one life after the other: a connection, an agent and a key of their own, made,
//! used and ended by a few steps that chance picks. A line tells of each step before it, and one after
//! its acknowledgement. A step that fails ends the life: nobody knows whether it was done.

use std::io::Write as _;
use std::time::Duration;

use nexus_sidecar::authority::{Authority, NewConnection, NewKey, Scope, Target};
use nexus_sidecar::lease::Ask;
use nexus_sidecar::model::{Binding, ConnectionName, Fields, Host, HostPattern, Secret, Strategy, Workspace};

use crate::Failure;
use crate::draw::Draw;
use crate::place::Place;

const THREADS: u64 = 6;

/// `SEED RUN PLACE...`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [seed, run, place @ ..] = arguments else { return Err("a writer wants a seed, a run and a place".into()) };
    let (seed, run): (u64, u64) = (seed.parse()?, run.parse()?);
    let authority = Place::of(place)?.open()?;
    tell("ready")?;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (authority, draw) = (authority.clone(), Draw::new(seed, run * THREADS + thread));
            std::thread::spawn(move || write(&authority, draw, &format!("r{run}t{thread}")))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread of the writer panicked")??;
    }
    Ok(())
}

/// One write to the pipe a line: it is there whole, or not at all.
fn tell(line: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes())
}

fn write(authority: &Authority, mut draw: Draw, prefix: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for number in 0_u64.. {
        let life = Life { authority, runtime: &runtime, name: format!("{prefix}n{number}") };
        if let Err(error) = life.lead(&mut draw) {
            tell(&format!("- {error}"))?;
            // Where nothing can be written, the next life would end as fast.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

struct Life<'a> {
    authority: &'a Authority,
    runtime: &'a tokio::runtime::Runtime,
    name: String,
}

impl Life<'_> {
    fn lead(&self, draw: &mut Draw) -> Result<(), Failure> {
        let (authority, name) = (self.authority, self.name.as_str());
        let connection = ConnectionName::parse(name)?;
        self.step("connection.added", || Ok(authority.add(new(&connection)?)?))?;
        self.step("agent.added", || Ok(authority.add_agent(name)?))?;
        self.step("grant.added", || Ok(authority.allow(name, name)?))?;
        for _ in 0..draw.below(4) {
            match draw.below(2) {
                0 => self.step("connection.set", || Ok(authority.set(&connection, fields(), None)?))?,
                _ => self.step("lease.lent", || self.lend(&connection))?,
            }
        }
        let mut key = None;
        self.step("key.added", || {
            let new = NewKey { name: name.to_owned(), scope: Scope::App, expires_at: None };
            key = Some(authority.add_key(new)?.1.id);
            Ok(())
        })?;
        if let (Some(key), 0) = (key, draw.below(2)) {
            self.step("key.revoked", || Ok(authority.revoke_key(&key)?))?;
        }
        if draw.below(2) == 0 {
            self.step("grant.removed", || Ok(authority.disallow(name, name)?))?;
        }
        if draw.below(2) == 0 {
            self.step("connection.revoked", || Ok(authority.revoke(&Target::Connection(name.to_owned()))?))?;
        }
        if draw.below(2) == 0 {
            self.step("connection.deleted", || Ok(authority.delete(&connection)?))?;
        }
        if draw.below(2) == 0 {
            self.step("agent.revoked", || Ok(authority.revoke(&Target::Agent(name.to_owned()))?))?;
        }
        Ok(())
    }

    fn step<T>(&self, event: &str, mut deed: impl FnMut() -> Result<T, Failure>) -> Result<(), Failure> {
        tell(&format!("? {event} {}", self.name))?;
        deed()?;
        Ok(tell(&format!("! {event} {}", self.name))?)
    }

    fn lend(&self, connection: &ConnectionName) -> Result<(), Failure> {
        let ask = Ask {
            workspace: Workspace::local(),
            agent: self.name.as_str().into(),
            connection: connection.clone(),
            host: Host::parse("api.test")?,
            scope: None,
            held: None,
        };
        let source = self.authority.source();
        Ok(self.runtime.block_on(source.lend(&ask)).map(drop)?)
    }
}

fn new(name: &ConnectionName) -> Result<NewConnection, Failure> {
    let strategy = Strategy::from_json(&serde_json::json!({ "type": "oauth2" }))?;
    let bindings = vec![Binding { hosts: vec![HostPattern::parse("api.test")?], strategy }];
    Ok(NewConnection { name: name.clone(), provider: None, bindings, owned: false, fields: fields(), expires_at: None })
}

fn fields() -> Fields {
    let mut fields = Fields::new();
    fields.insert("access_token", Secret::new("a token of a trial"));
    fields
}
