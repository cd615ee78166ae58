//! Documents -> a policy: what rules mean together, every problem at once.

use std::collections::HashMap;
use std::sync::Arc;

use super::glob::Glob;
use super::hypothetical::UrlError;
use super::index::Rules;
use super::item::{Item, Place};
use super::rule::{Effect, Rule};
use super::{Policy, conflicts, hypothetical, provider};
use crate::config::{Action, At, Catalogue, Document, Located, Problem, Problems, Protocol, RuleDefault, RuleDoc};
use crate::model::HostPattern;

/// The name in an audit entry of what `default: tunnel` allowed.
const DEFAULT_RULE: &str = "default";

impl Policy {
    /// Checks documents together, in order.
    ///
    /// # Errors
    /// All problems at once, each with its place and its rule.
    pub fn compile(documents: Vec<Document>) -> Result<Self, Problems> {
        let version: Arc<str> = version(&documents).into();
        let mut problems: Vec<Problem> = documents.iter().flat_map(|document| document.problems.clone()).collect();
        let default = default(&documents, &mut problems);
        let mut rules = Vec::new();
        let mut tests = Vec::new();
        let mut names: HashMap<String, At> = HashMap::new();
        for document in documents {
            for written in document.rules {
                if let Some(first) = names.get(&written.name) {
                    problems.push(problem(&written, &written.at, format!("this name is taken: {first} has it too")));
                }
                names.entry(written.name.clone()).or_insert_with(|| written.at.clone());
                rules.extend(rule(&written, &mut problems));
            }
            for test in &document.tests {
                // A path that is never forwarded is a refusal, which a test may expect.
                if let Err(error @ (UrlError::Scheme | UrlError::Authority(_) | UrlError::Fragment)) =
                    hypothetical::request(&test.method, &test.url)
                {
                    let message = format!("the test of {:?}: {error}", test.url);
                    problems.push(Problem { at: Some(test.at.clone()), rule: None, message });
                }
            }
            tests.extend(document.tests);
        }
        problems.extend(conflicts::find(&rules, default));
        if !problems.is_empty() {
            return Err(Problems::in_order(problems));
        }
        let default_tunnel = (default == RuleDefault::Tunnel).then(default_tunnel);
        let minting = Rules::new(provider::minting(Catalogue::built_in()));
        Ok(Self { rules: Rules::new(rules), version, minting, default_tunnel, tests })
    }
}

/// The first 16 hex digits of a SHA-256 over the texts, each behind its length; behind the number
/// that the Authority knows it by.
fn version(documents: &[Document]) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for document in documents {
        context.update(&(document.text.len() as u64).to_be_bytes());
        context.update(document.text.as_bytes());
    }
    let mut version = hex::encode(context.finish());
    version.truncate(16);
    match documents.iter().find_map(|document| document.number) {
        Some(number) => format!("{number}:{version}"),
        None => version,
    }
}

fn default(documents: &[Document], problems: &mut Vec<Problem>) -> RuleDefault {
    let mut said: Option<&Located<RuleDefault>> = None;
    for default in documents.iter().filter_map(|document| document.default.as_ref()) {
        match said {
            Some(first) if first.value != default.value => {
                let message = format!("`default` says otherwise at {}: say it once", first.at);
                problems.push(Problem { at: Some(default.at.clone()), rule: None, message });
            }
            _ => said = said.or(Some(default)),
        }
    }
    said.map_or(RuleDefault::Deny, |default| default.value)
}

fn default_tunnel() -> Rule {
    Rule {
        name: DEFAULT_RULE.into(),
        at: At { file: Arc::default(), line: 0, column: 0 },
        agents: Box::default(),
        hosts: Box::default(),
        ports: Box::default(),
        methods: Box::default(),
        paths: Box::default(),
        lenient_paths: Box::default(),
        not_paths: Box::default(),
        items: Box::default(),
        strict_path: false,
        effect: Effect::Tunnel(Protocol::Tls),
        networks: Arc::default(),
        pass_headers: Arc::default(),
        key_headers: Arc::default(),
        mints: false,
        uses: None,
    }
}

fn problem(written: &RuleDoc, at: &At, message: impl Into<String>) -> Problem {
    Problem { at: Some(at.clone()), rule: Some(written.name.clone()), message: message.into() }
}

pub(super) fn rule(written: &RuleDoc, problems: &mut Vec<Problem>) -> Option<Rule> {
    if written.name == DEFAULT_RULE {
        problems.push(problem(
            written,
            &written.at,
            "a rule cannot be called default: audit entries of `default: tunnel` are",
        ));
    }
    let effect = effect(written, problems);
    let mut globs = |paths: &[Located<String>]| {
        let mut globs = Vec::with_capacity(paths.len());
        for path in paths {
            match Glob::path(&path.value) {
                Ok(glob) => globs.push(glob),
                Err(error) => {
                    let text = &path.value;
                    let advice = if text.starts_with('/') { String::new() } else { format!(": write /{text}") };
                    problems.push(problem(written, &path.at, format!("the path {text:?}: {error}{advice}")));
                }
            }
        }
        globs
    };
    let (paths, not_paths) = (globs(&written.paths), globs(&written.not_paths));
    let effect = effect?;
    check_keys(written, &effect, problems);
    if !written.complete {
        return None;
    }
    let hosts: Box<[HostPattern]> = written.hosts.iter().map(|host| host.value.clone()).collect();
    let key_headers = match effect {
        Effect::Inject { .. } => provider::key_headers(Catalogue::built_in(), &hosts),
        _ => Arc::default(),
    };
    let query = written.query.iter().map(|matcher| Item::new(Place::Query, &matcher.value));
    let headers = written.headers.iter().filter_map(|matcher| {
        let name = matcher.value.name.parse().ok()?;
        Some(Item::new(Place::Header(name), &matcher.value))
    });
    let values = |hosts: &[Located<_>]| hosts.iter().map(|host| host.value).collect();
    Some(Rule {
        name: written.name.as_str().into(),
        at: written.at.clone(),
        agents: written.agents.iter().map(|agent| agent.value.clone()).collect(),
        hosts,
        ports: values(&written.ports),
        methods: written.methods.iter().map(|method| method.value.clone()).collect(),
        lenient_paths: paths.iter().flat_map(Glob::for_denial).collect(),
        paths: paths.into(),
        not_paths: not_paths.iter().flat_map(Glob::for_denial).collect(),
        items: query.chain(headers).collect(),
        strict_path: written.strict_path,
        effect,
        networks: written.networks.iter().map(|network| network.value).collect(),
        pass_headers: written.pass_headers.iter().map(|header| header.value.clone()).collect(),
        key_headers,
        mints: written.mints,
        uses: written.uses.clone(),
    })
}

fn effect(written: &RuleDoc, problems: &mut Vec<Problem>) -> Option<Effect> {
    let action = written.action.as_ref();
    let connection = written.connection.as_ref();
    let complaint = match (action.map(|action| action.value), connection) {
        (None | Some(Action::Inject), Some(connection)) => {
            let scope = written.scope.as_ref().map(|scope| scope.value.clone());
            let connection = connection.value.clone();
            return Some(Effect::Inject { connection, plaintext: written.plaintext, scope });
        }
        (Some(Action::Forward), None) => return Some(Effect::Forward),
        (Some(Action::Deny), None) => return Some(Effect::Deny),
        (Some(Action::Stub), None) => match &written.stub {
            Some(stub) => return Some(Effect::Stub(stub.value)),
            None if !written.complete => return None,
            None => problem(written, &written.at, "`action: stub` needs `stub`, which says what is answered"),
        },
        (Some(Action::Tunnel), None) => {
            return Some(Effect::Tunnel(written.protocol.as_ref().map_or(Protocol::Tls, |protocol| protocol.value)));
        }
        (None, None) if !written.complete => return None,
        (None, None) => problem(
            written,
            &written.at,
            "say what happens: `connection: NAME`, or `action: forward`, `tunnel`, `deny` or `stub`",
        ),
        (Some(Action::Inject), None) => {
            let at = action.map_or(&written.at, |action| &action.at);
            problem(written, at, "`action: inject` needs `connection: NAME`")
        }
        (Some(_), Some(connection)) => {
            problem(written, &connection.at, "a connection is only injected: leave out `action`, or the connection")
        }
    };
    problems.push(complaint);
    None
}

/// Keys that mean nothing beside this effect: what is accepted is enforced.
fn check_keys(written: &RuleDoc, effect: &Effect, problems: &mut Vec<Problem>) {
    let mut complain = |at: Option<&At>, message: &str| {
        if let Some(at) = at {
            problems.push(problem(written, at, message));
        }
    };
    let injects = matches!(effect, Effect::Inject { .. });
    let tunnels = matches!(effect, Effect::Tunnel(_));
    if !tunnels {
        let at = written.protocol.as_ref().map(|protocol| &protocol.at);
        complain(at, "`protocol` stands in tunnel rules alone");
    }
    if !injects {
        complain(written.mints.then_some(&written.at), "`mints` stands beside `connection` alone");
        complain(written.plaintext.then_some(&written.at), "`plaintext` stands beside `connection` alone");
        let at = written.scope.as_ref().map(|scope| &scope.at);
        complain(at, "`scope` narrows what is lent, and stands beside `connection` alone");
        let at = written.pass_headers.first().map(|header| &header.at);
        complain(at, "`pass_headers` stands beside `connection` alone: without one they pass");
    }
    let stubs = matches!(effect, Effect::Stub(_));
    if stubs || *effect == Effect::Deny {
        let at = written.networks.first().map(|network| &network.at);
        let kind = if stubs { "stub" } else { "deny" };
        complain(at, &format!("`networks` says where bytes may go, and a {kind} rule sends none"));
    }
    if !stubs {
        complain(written.stub.as_ref().map(|stub| &stub.at), "`stub` stands beside `action: stub` alone");
    }
    if tunnels {
        const INSIDE: &str = "a tunnel rule sees agent, host and port alone: nothing inside the tunnel is read";
        complain(written.methods.first().map(|method| &method.at), INSIDE);
        complain(written.paths.first().map(|path| &path.at), INSIDE);
        complain(written.query.first().map(|matcher| &matcher.at), INSIDE);
        complain(written.headers.first().map(|matcher| &matcher.at), INSIDE);
        complain(written.strict_path.then_some(&written.at), INSIDE);
    }
    let looks = !written.agents.is_empty() || !written.ports.is_empty() || !written.methods.is_empty();
    let looks = looks || !written.paths.is_empty() || !written.query.is_empty() || !written.headers.is_empty();
    if written.hosts.is_empty() && written.complete {
        if injects || tunnels || stubs {
            complain(Some(&written.at), "a rule that injects, tunnels or stubs names its hosts: `host` is missing");
        } else if !looks {
            complain(Some(&written.at), "this rule has nothing to match on: name a host, an agent, a method or a path");
        }
    }
}
