//! How far a revocation has come at the provider: waited for, and said.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app;
use crate::authority::{Authority, Ended, Revocation, Revoked};
use crate::cli::failure::Failure;
use crate::cli::moment::moment;
use crate::cli::start;
use crate::config::Config;

/// A person waits no longer for providers.
const LIMIT: Duration = Duration::from_secs(5);

/// Tells the providers of what was revoked, and of what is still being told, and waits a little.
pub(in crate::cli) fn wait(config: &Config, authority: &Authority, revoked: &mut Revoked) -> Result<(), Failure> {
    for ended in [&mut revoked.connections, &mut revoked.before] {
        if ended.iter().any(|ended| ended.revocation == Revocation::Pending) {
            let caller = app::caller(config).map_err(|error| Failure::because(&error))?;
            let authority = authority.clone().calling_through(caller);
            let told =
                start::block_on(async { authority.told(ended, LIMIT).await.map_err(|error| Failure::because(&error)) });
            *ended = told?;
        }
    }
    Ok(())
}

/// In words.
pub(in crate::cli) fn said(revocation: &Revocation) -> String {
    match revocation {
        Revocation::Pending => "still trying: its provider has not answered yet".to_owned(),
        Revocation::Upstream => "revoked upstream".to_owned(),
        Revocation::Local { until: Some(until) } => format!("local only, valid until {}", moment(*until)),
        Revocation::Local { until: None } => "local only, valid until its provider ends it".to_owned(),
        Revocation::Nothing => "it had no credentials".to_owned(),
    }
}

/// As JSON.
pub(in crate::cli) fn as_json(ended: &Ended) -> Value {
    json!({
        "name": ended.name,
        "id": ended.id,
        "state": "revoked",
        "revocation": ended.revocation.as_str(),
        "valid_until": until(&ended.revocation),
    })
}

/// When credentials that are revoked here alone end by themselves, where that is known.
pub(in crate::cli) fn until(revocation: &Revocation) -> Option<String> {
    match revocation {
        Revocation::Local { until } => until.map(moment),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn each_outcome_has_its_words() {
        let until = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        for (revocation, want, end) in [
            (Revocation::Pending, "still trying", Value::Null),
            (Revocation::Upstream, "revoked upstream", Value::Null),
            (
                Revocation::Local { until },
                "local only, valid until 2027-01-15T08:00:00Z",
                "2027-01-15T08:00:00Z".into(),
            ),
            (Revocation::Local { until: None }, "local only, valid until its provider ends it", Value::Null),
            (Revocation::Nothing, "no credentials", Value::Null),
        ] {
            assert!(said(&revocation).contains(want), "{}", said(&revocation));
            let ended = Ended { id: "1".into(), name: "a".into(), revocation };
            assert_eq!(as_json(&ended)["valid_until"], end);
        }
    }
}
