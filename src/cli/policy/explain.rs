use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::identity::Agent;
use crate::model::Code;
use crate::policy::{self, Explanation, NOBODY, Outcome, Policy, Tried, TriedVerdict, UrlError};

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar policy explain GET https://api.github.com/user
  nexus-sidecar policy explain POST https://dynamodb.eu-west-1.amazonaws.com/ \\
      --agent triage-bot --header 'X-Amz-Target: DynamoDB_20120810.GetItem' --policy policy.yaml";

/// Say which rule decides on a request, why the others do not, and what is sent
///
/// Exits with 0 if the request is allowed, with 3 if it is denied.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// The method; methods are case-sensitive
    method: String,
    /// The whole URL
    url: String,
    /// The agent that asks; without it, one that no rule names
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// A header of the request; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A policy file instead of the user's own; may be given several times, tried in this order
    #[arg(long = "policy", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Explain {
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(super) fn run(&self, policy: &Policy, json: bool) -> Result<ExitCode, Failure> {
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| Failure::usage(format!("{:?} is no method", self.method)))?;
        let target = match policy::request(&method, &self.url) {
            Ok(target) => target,
            Err(error @ (UrlError::Path(_) | UrlError::Query)) => return never_asked(&error, json),
            Err(error) => return Err(Failure::usage(format!("{:?}: {error}", self.url))),
        };
        let headers = self.headers.iter().map(|line| header(line)).collect::<Result<HeaderMap, Failure>>()?;
        let agent = Agent::hypothetical(self.agent.as_deref().unwrap_or(NOBODY));
        let explanation = policy.explain(&agent, &target, &headers);
        let asked = format!("{method} {}{}", target.destination, target.path);
        if json {
            print_json(&as_json(&explanation, policy, &asked, &agent))?;
        } else {
            print(&as_text(&explanation, policy, &asked, &agent))?;
        }
        let denied = matches!(explanation.outcome, Outcome::Deny(_));
        Ok(ExitCode::from(if denied { exit::DENIED } else { exit::OK }))
    }
}

/// A request that is answered with 400 before any policy is asked.
fn never_asked(error: &UrlError, json: bool) -> Result<ExitCode, Failure> {
    let code = Code::InvalidRequest;
    let message =
        format!("{error}: such a request is answered with {} before the policy is asked", code.status().as_u16());
    if json {
        print_json(&json!({ "decision": { "action": "deny", "code": code.as_str(), "message": message } }))?;
    } else {
        print(&format!("deny: {message}\n"))?;
    }
    Ok(ExitCode::from(exit::DENIED))
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = || Failure::usage(format!("{line:?} is no header in the form 'Name: value'"));
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    Ok((name.trim().parse().map_err(|_| wrong())?, value.trim().parse().map_err(|_| wrong())?))
}

fn as_text(explanation: &Explanation, policy: &Policy, asked: &str, agent: &Agent) -> String {
    let mut text = format!("{asked}\nagent {}, policy version {}\n\n", agent.name(), policy.version());
    let longest = explanation.rules.iter().map(|tried| tried.name.chars().count()).max().unwrap_or_default();
    for tried in &explanation.rules {
        let _ = writeln!(text, "  {:longest$}  {}", tried.name, said(tried));
    }
    if explanation.rules.is_empty() {
        text.push_str("  the policy has no rules\n");
    }
    text.push('\n');
    let _ = match &explanation.outcome {
        Outcome::Inject(connection, destination) => {
            writeln!(text, "inject {connection}: sent to {destination} with the credential of connection {connection}")
        }
        Outcome::Forward(destination) => writeln!(text, "forward: sent to {destination}, nothing is added"),
        Outcome::Tunnel(destination) => {
            writeln!(text, "tunnel: bytes pass to {}, and nothing inside is read", destination.authority())
        }
        Outcome::Stub(stub) => writeln!(text, "stub: the sidecar answers as {stub}, and nothing leaves"),
        Outcome::Deny(refusal) => writeln!(text, "deny: {}", refusal.message()),
    };
    if explanation.mints.is_some() {
        text.push_str(
            "  a rule of its own for this call may say `mints: true`; `provider show NAME` lists such calls\n",
        );
    }
    let list = |items: Vec<String>| items.join(", ");
    if !explanation.networks.is_empty() {
        let networks = explanation.networks.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "  may also be dialled: {}", list(networks));
    }
    if !explanation.pass_headers.is_empty() {
        let headers = explanation.pass_headers.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "  headers of the agent that pass: {}", list(headers));
    }
    text
}

fn said(tried: &Tried) -> &str {
    match &tried.verdict {
        TriedVerdict::Missed(reason) => reason,
        TriedVerdict::Decides => "decides",
        TriedVerdict::NotReached => "not reached",
    }
}

fn as_json(explanation: &Explanation, policy: &Policy, asked: &str, agent: &Agent) -> Value {
    let rules = explanation.rules.iter().map(|tried| {
        json!({
            "rule": &*tried.name,
            "file": tried.at.file.display().to_string(),
            "line": tried.at.line,
            "column": tried.at.column,
            "result": match &tried.verdict {
                TriedVerdict::Missed(_) => "missed",
                TriedVerdict::Decides => "decides",
                TriedVerdict::NotReached => "not_reached",
            },
            "reason": match &tried.verdict {
                TriedVerdict::Missed(reason) => Some(reason),
                _ => None,
            },
        })
    });
    let (action, connection, destination, refusal) = match &explanation.outcome {
        Outcome::Inject(connection, destination) => ("inject", Some(connection.as_str()), Some(destination), None),
        Outcome::Forward(destination) => ("forward", None, Some(destination), None),
        Outcome::Tunnel(destination) => ("tunnel", None, Some(destination), None),
        Outcome::Stub(_) => ("stub", None, None, None),
        Outcome::Deny(refusal) => ("deny", None, None, Some(refusal)),
    };
    json!({
        "request": asked,
        "agent": &**agent.name(),
        "policy": &**policy.version(),
        "rules": rules.collect::<Vec<Value>>(),
        "decision": {
            "action": action,
            "rule": explanation.decided_by.as_deref(),
            "mints": explanation.mints.as_deref(),
            "connection": connection,
            "destination": destination.map(ToString::to_string),
            "networks": explanation.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "pass_headers": explanation.pass_headers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "code": refusal.map(|refusal| refusal.code().as_str()),
            "message": refusal.map(|refusal| refusal.message()),
        },
    })
}
