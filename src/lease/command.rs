//! Commands that write credentials: one is run for each lease, and nothing of it is kept here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::configured::{Fetch, Fetched};
use super::secret_json::SecretJson;
use super::{Ask, Asked, LendError};
use crate::config::{CommandConnection, CommandError, CommandOutput, CommandSource, Environment, SecretCommand};
use crate::model::{Fields, Secret};
use crate::telemetry::Clock;

/// What a number of seconds may say: some 30,000 years, past which no clock counts.
const LONGEST: u64 = 1_000_000_000_000;

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
        let (fields, end) = read(&place.output, &written, place.ttl.is_some(), asked_at).map_err(unusable)?;
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
    ttl: bool,
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
            let json = SecretJson::parse(written).map_err(|_| "wrote no JSON")?;
            fill(&json, places, &mut fields)?;
            // Keys without an end do not name one; what has a `ttl` can do without.
            let said = |place: &&String| !ttl || at(&json, place).is_some();
            let moment = expires_at.as_ref().filter(said).map(|place| moment(&json, place)).transpose()?;
            let within = expires_in.as_ref().filter(said).map(|place| seconds(&json, place)).transpose()?;
            let within = within.and_then(|seconds| asked_at.checked_add(seconds));
            Ok((fields, moment.into_iter().chain(within).min()))
        }
    }
}

/// A member, or what a JSON pointer (RFC 6901) leads to; lists are not looked into.
fn at<'j>(json: &'j SecretJson, place: &str) -> Option<&'j SecretJson> {
    let Some(pointer) = place.strip_prefix('/') else { return json.at(&[place]) };
    let names: Vec<String> = pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    json.at(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What is not there is left out: the contract says what cannot be.
fn fill(json: &SecretJson, places: &BTreeMap<String, String>, fields: &mut Fields) -> Result<(), String> {
    for (field, place) in places {
        match at(json, place) {
            Some(SecretJson::Text(text)) if !text.is_empty() => fields.insert(field, text.duplicate()),
            None | Some(SecretJson::Other) => {}
            Some(_) => return Err(format!("wrote no text at {place:?}")),
        }
    }
    match (fields.is_empty(), places.values().next()) {
        (true, Some(place)) => Err(format!("wrote nothing at {place:?}")),
        _ => Ok(()),
    }
}

/// RFC 3339, or seconds since 1970, as a number or its digits.
fn moment(json: &SecretJson, place: &str) -> Result<SystemTime, String> {
    let text = at(json, place).and_then(|value| value.text(&[]));
    match text.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()) {
        Some(moment) => Ok(moment.into()),
        None => {
            let seconds = seconds(json, place)?;
            SystemTime::UNIX_EPOCH.checked_add(seconds).ok_or_else(|| format!("wrote no time at {place:?}"))
        }
    }
}

fn seconds(json: &SecretJson, place: &str) -> Result<Duration, String> {
    let value = at(json, place);
    let number = match value {
        Some(SecretJson::Count(number)) => Some(*number),
        _ => value.and_then(|value| value.text(&[])).and_then(|text| text.parse().ok()),
    };
    let number = number.filter(|number| *number < LONGEST);
    number.map(Duration::from_secs).ok_or_else(|| format!("wrote no time at {place:?}"))
}

#[cfg(test)]
mod tests;
