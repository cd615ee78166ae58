//! `connection test`: whose credentials a connection has, as its provider says.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{existing, missing, print, refused};
use crate::app::{self, Ground, Parts, Who};
use crate::audit::Audit;
use crate::authority::Authority;
use crate::cli::failure::Failure;
use crate::cli::output::safe;
use crate::cli::{environment, start};
use crate::config::{Catalogue, Config, Listen, Provider, UserCall};
use crate::identity::Gate;
use crate::lease::Sources;
use crate::model::{Code, ConnectionName};
use crate::telemetry::{Clock, Metrics, SystemClock};
use crate::tls::Ca;

/// A person waits.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// More of a name than this says nothing more, in characters.
const LONGEST_NAME: usize = 200;

/// Asks, and says what came of it.
pub(super) fn test(config: Config, name: &ConnectionName, as_json: bool) -> Result<(), Failure> {
    environment::check(std::env::vars_os())?;
    let authority = existing(&config)?.ok_or_else(|| missing(name))?;
    let connection = authority.show(name).map_err(|error| refused(&error))?;
    let (provider, call) = question(name, connection.provider.as_deref())?;
    let who = ask(config, &authority, call, name)?;
    let (line, result) = said(name, provider, &who);
    if as_json {
        print(&format!("{line:#}\n"))?;
        return result.map(drop);
    }
    print(&format!("{}\n", result?))
}

/// The call that tells whose credentials a provider's are.
fn question(name: &ConnectionName, provider: Option<&str>) -> Result<(&'static Provider, &'static UserCall), Failure> {
    let instead = format!(
        "try a call that it should allow: nexus-sidecar run --policy FILE -- curl URL, with a rule that borrows {name}"
    );
    let Some(provider) = provider else {
        return Err(Failure::failed(format!(
            "the connection {name} was made without a provider, so that nobody knows whom to ask: {instead}"
        )));
    };
    let found = Catalogue::built_in().provider(provider);
    let call = found.and_then(|found| Some((found, found.user.as_ref()?)));
    call.ok_or_else(|| {
        Failure::failed(format!("{provider} has no call that says whose credentials these are: {instead}"))
    })
}

fn ask(mut config: Config, authority: &Authority, call: &UserCall, name: &ConnectionName) -> Result<Who, Failure> {
    config.listen = Listen::default();
    config.connections.clear();
    config.timeouts.connect = config.timeouts.connect.min(CONNECT);
    config.timeouts.response = config.timeouts.response.min(ANSWER);
    let policy = app::policy_of_call(call, name).map_err(|problems| Failure::because(&problems))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ground = Ground::open(&config).map_err(|error| Failure::because(&error))?;
    let ca = Ca::ephemeral(clock.wall()).map_err(|error| Failure::because(&error))?;
    let audit = Audit::open(&config.audit, Arc::clone(&clock)).map_err(|error| Failure::because(&error))?;
    let parts = Parts {
        config,
        policy,
        gate: Arc::new(Gate::named(Vec::new(), false)),
        ca,
        sources: Sources::only(authority.source()),
        audit: audit.clone(),
        metrics: Arc::new(Metrics::new()),
        clock,
        on_refusal: None,
    };
    let who = start::block_on(async {
        let bound = app::bind_on(ground, parts).map_err(|error| Failure::because(&error))?;
        Ok(bound.who(call).await)
    });
    audit.close().map_err(|error| Failure::because(&error))?;
    who
}

/// As JSON, and as a line or a failure. Nothing of an answer is in it but the name.
fn said(name: &ConnectionName, provider: &Provider, who: &Who) -> (Value, Result<String, Failure>) {
    let title = &provider.title;
    let mut line = json!({ "connection": name.as_str(), "provider": provider.connection.as_str(), "works": false });
    let result = match who {
        Who::Works { name: user } => {
            let user = user.as_ref().map(|user| safe(&user.chars().take(LONGEST_NAME).collect::<String>()));
            line["works"] = true.into();
            line["user"] = user.clone().into();
            let user = user.map(|user| format!(" as {user}")).unwrap_or_default();
            return (line, Ok(format!("connection {name}: works{user} at {title}")));
        }
        Who::Refused(status) => {
            line["status"] = status.as_u16().into();
            format!(
                "{title} refuses the credential of the connection {name} (its answer: {}): give it a new one with \
                 nexus-sidecar connection set {name}",
                status.as_u16()
            )
        }
        Who::Unclear(status) => {
            line["status"] = status.as_u16().into();
            format!(
                "{title} answered {} to the question whose credential this is, which says nothing about it: try again \
                 later",
                status.as_u16()
            )
        }
        Who::Unasked(refusal) => {
            line["code"] = refusal.code().as_str().into();
            match refusal.code() {
                Code::UpstreamFailed | Code::UpstreamTimeout => {
                    format!("{title} cannot be reached: {}", refusal.log())
                }
                // Here the reader of logs and the stranger are one person.
                Code::PolicyDenied => refusal.log().to_owned(),
                _ => refusal.message().to_owned(),
            }
        }
    };
    line["reason"] = result.as_str().into();
    (line, Err(Failure::failed(result)))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::model::Refusal;

    fn told(who: &Who) -> (Value, Result<String, Failure>) {
        said(&ConnectionName::parse("work").unwrap(), Catalogue::built_in().provider("github").unwrap(), who)
    }

    #[test]
    fn a_name_is_shown_and_obeyed_by_no_terminal() {
        let (line, result) = told(&Who::Works { name: Some("octo\u{1b}[2Jcat".into()) });
        assert_eq!(result.unwrap(), "connection work: works as octo\\u{1b}[2Jcat at GitHub");
        assert_eq!((&line["works"], &line["provider"]), (&json!(true), &json!("github")));
        let (_, long) = told(&Who::Works { name: Some("x".repeat(100_000)) });
        assert!(long.unwrap().len() < 300);
        assert_eq!(told(&Who::Works { name: None }).1.unwrap(), "connection work: works at GitHub");
    }

    #[test]
    fn what_does_not_work_says_what_to_do() {
        let unreached = Refusal::new(Code::UpstreamFailed, "m").with_log("cannot connect: refused");
        let expired = Refusal::new(Code::ConnectionExpired, "run nexus-sidecar connection set work");
        for (who, want) in [
            (
                Who::Refused(StatusCode::UNAUTHORIZED),
                "(its answer: 401): give it a new one with nexus-sidecar connection set work",
            ),
            (Who::Unclear(StatusCode::BAD_GATEWAY), "answered 502"),
            (Who::Unasked(unreached), "GitHub cannot be reached: cannot connect: refused"),
            (Who::Unasked(expired), "connection set work"),
        ] {
            let (line, result) = told(&who);
            let failure = result.unwrap_err();
            assert!(failure.code() == 1 && failure.message().contains(want), "{}", failure.message());
            assert_eq!((&line["works"], line["reason"].as_str()), (&json!(false), Some(failure.message())));
        }
    }

    #[test]
    fn what_cannot_be_asked_says_what_can_be_done_instead() {
        let name = ConnectionName::parse("tickets").unwrap();
        for (provider, want) in [(None, "without a provider"), (Some("gone"), "gone has no call")] {
            let failure = question(&name, provider).unwrap_err();
            assert!(failure.message().contains(want) && failure.message().contains("curl"), "{}", failure.message());
        }
    }
}
