//! Commands that write credentials: one is run for each lease, and nothing of it is kept here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::{Zeroize, Zeroizing};

use super::configured::{Fetch, Fetched};
use super::{Ask, Asked, LendError};
use crate::config::{CommandConnection, CommandError, CommandOutput, CommandSource, Environment, SecretCommand};
use crate::model::{Fields, Secret, strict_json};
use crate::telemetry::Clock;

/// What a number of seconds may say: some 30,000 years, past which no clock counts.
const LONGEST: f64 = 1e12;

/// Runs commands.
pub struct CommandFetch {
    timeout: Duration,
    environment: Environment,
    clock: Arc<dyn Clock>,
}

impl CommandFetch {
    /// Runs commands with what they may see of this environment.
    pub fn new(source: &CommandSource, environment: Environment, clock: Arc<dyn Clock>) -> Self {
        Self { timeout: source.timeout, environment, clock }
    }

    async fn run(&self, place: &CommandConnection, ask: &Ask) -> Result<Fetched, LendError> {
        let asked_at = self.clock.wall();
        let (argv, timeout) = (place.argv.clone(), self.timeout);
        let environment = self.environment.only(place.environment.iter().map(String::as_str));
        let run = move || SecretCommand::unattended(&argv, &environment, timeout).run();
        let program = place.argv.first().map(String::as_str).unwrap_or_default();
        let name = || ask.connection.clone();
        let written = match tokio::task::spawn_blocking(run).await {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => return Err(failed(name(), program, &error)),
            Err(error) => return Err(LendError::Unavailable { name: name(), why: error.to_string() }),
        };
        let unusable = |why| LendError::Unusable { name: name(), why: format!("the command {program:?} {why}") };
        let (fields, end) = read(&place.output, &written, asked_at).map_err(unusable)?;
        let by_ttl = place.ttl.and_then(|ttl| asked_at.checked_add(ttl));
        Ok(Fetched { fields, expires_at: end.into_iter().chain(by_ttl).min(), refreshable: true })
    }
}

fn failed(name: crate::model::ConnectionName, program: &str, error: &CommandError) -> LendError {
    // What it said on the standard error may hold a secret: nobody kept it.
    let hint = if matches!(error, CommandError::Failed(_)) { ": run it by hand to see what it says" } else { "" };
    let why = format!("the command {program:?} {error}{hint}");
    if error.may_pass() { LendError::Unavailable { name, why } } else { LendError::Unusable { name, why } }
}

impl Fetch for CommandFetch {
    type Place = CommandConnection;

    fn fetch<'a>(&'a self, place: &'a CommandConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(self.run(place, ask))
    }
}

/// The fields of an output, and the end that it names.
fn read(
    output: &CommandOutput,
    written: &Zeroizing<Vec<u8>>,
    asked_at: SystemTime,
) -> Result<(Fields, Option<SystemTime>), String> {
    let mut fields = Fields::new();
    match output {
        CommandOutput::Line(field) => {
            let line = Secret::new(written.as_slice()).line().ok_or("wrote nothing, or more than one line")?;
            fields.insert(field, line);
            Ok((fields, None))
        }
        CommandOutput::Json { fields: places, expires_at, expires_in } => {
            let json = Json(strict_json(written).map_err(|_| "wrote no JSON")?);
            json.fill(places, &mut fields)?;
            let at = expires_at.as_ref().map(|place| json.moment(place)).transpose()?;
            let within = expires_in.as_ref().map(|place| json.seconds(place)).transpose()?;
            let within = within.and_then(|seconds| asked_at.checked_add(seconds));
            Ok((fields, at.into_iter().chain(within).min()))
        }
    }
}

/// What was written, wiped when it was read.
struct Json(Value);

impl Json {
    fn at(&self, place: &str) -> Option<&Value> {
        if place.starts_with('/') { self.0.pointer(place) } else { self.0.get(place) }
    }

    fn fill(&self, places: &BTreeMap<String, String>, fields: &mut Fields) -> Result<(), String> {
        for (field, place) in places {
            match self.at(place) {
                Some(Value::String(text)) if !text.is_empty() => fields.insert(field, Secret::new(text.as_bytes())),
                _ => return Err(format!("wrote no text at {place:?}")),
            }
        }
        Ok(())
    }

    /// RFC 3339, or seconds since 1970, as a number or its digits.
    fn moment(&self, place: &str) -> Result<SystemTime, String> {
        let rfc3339 =
            self.at(place).and_then(Value::as_str).and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        match rfc3339 {
            Some(moment) => Ok(moment.into()),
            None => {
                let seconds = self.seconds(place)?;
                SystemTime::UNIX_EPOCH.checked_add(seconds).ok_or_else(|| format!("wrote no time at {place:?}"))
            }
        }
    }

    fn seconds(&self, place: &str) -> Result<Duration, String> {
        let number = match self.at(place) {
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| (0.0..LONGEST).contains(number));
        number.map(Duration::from_secs_f64).ok_or_else(|| format!("wrote no time at {place:?}"))
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
