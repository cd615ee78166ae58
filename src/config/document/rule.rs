use http::{HeaderName, Method, header};
use ipnet::IpNet;

use super::{Action, Matcher, Protocol, RuleDoc, scope, uses};
use crate::config::yaml::{Content, Fields, Findings, Node, did_you_mean};
use crate::config::{Catalogue, Located};
use crate::model::{ConnectionName, HostPattern, Stub, is_hop_by_hop, is_key_header};

/// What the design has and this version does not enforce.
pub(super) const NOT_YET: [&str; 3] = ["limit", "approval", "websocket"];

/// Reads an item of `rules:`: a rule, or the rules of the permission set that it uses. `number`
/// names it where nothing else does.
pub(super) fn read(node: &Node, number: usize, catalogue: &Catalogue, findings: &mut Findings) -> Vec<RuleDoc> {
    findings.in_rule(None);
    let Some(mut fields) = Fields::open(node, findings) else { return Vec::new() };
    let rules = match fields.get("use") {
        Some(set) => uses::read(node, set, fields, catalogue, findings),
        None => vec![written(node, fields, number, findings)],
    };
    findings.in_rule(None);
    rules
}

fn written(node: &Node, mut fields: Fields<'_>, number: usize, findings: &mut Findings) -> RuleDoc {
    let before = findings.len();
    let name = fields.get("name").and_then(|node| name(node, "rule", findings));
    findings.in_rule(name.as_ref().map(|name| name.value.clone()));
    let mut rule = RuleDoc {
        at: node.at.clone(),
        name: name.map_or_else(|| format!("rule-{number}"), |name| name.value),
        agents: many(fields.get("agent"), findings, name_of_agent),
        hosts: many(fields.get("host"), findings, host),
        ports: many(fields.get("port"), findings, port),
        methods: many(fields.get("method"), findings, method),
        paths: many(fields.get("path"), findings, path),
        not_paths: Vec::new(),
        query: matchers(fields.get("query"), findings, |_| true),
        headers: matchers(fields.get("headers"), findings, |name| HeaderName::from_bytes(name.as_bytes()).is_ok()),
        connection: fields.get("connection").and_then(|node| connection(node, findings)),
        scope: fields.get("scope").and_then(|node| scope::read(node, findings)),
        action: fields.get("action").and_then(|node| action(node, findings)),
        stub: fields.get("stub").and_then(|node| stub(node, findings)),
        networks: many(fields.get("networks"), findings, network),
        protocol: fields.get("protocol").and_then(|node| protocol(node, findings)),
        plaintext: fields.get("plaintext").and_then(|node| node.flag(findings)).unwrap_or(false),
        strict_path: fields.get("strict_path").and_then(|node| node.flag(findings)).unwrap_or(false),
        mints: fields.get("mints").and_then(|node| node.flag(findings)).unwrap_or(false),
        pass_headers: many(fields.get("pass_headers"), findings, passed_header),
        uses: None,
        complete: true,
    };
    fields.refuse(&NOT_YET, findings);
    fields.finish(&NOT_YET, findings);
    rule.complete = findings.len() == before;
    rule
}

/// Reads a rule of a provider's document: what it matches, under a name, and nothing else.
pub(super) fn matching(node: &Node, of: &str, findings: &mut Findings) -> Option<RuleDoc> {
    let mut fields = Fields::open(node, findings)?;
    let Some(name) = fields.get("name").and_then(|node| name(node, of, findings)) else {
        findings.with(node, format!("the {of} needs a `name`"));
        return None;
    };
    let rule = RuleDoc {
        hosts: many(fields.get("host"), findings, host),
        methods: many(fields.get("method"), findings, method),
        paths: many(fields.get("path"), findings, path),
        not_paths: many(fields.get("not_path"), findings, path),
        query: matchers(fields.get("query"), findings, |_| true),
        headers: matchers(fields.get("headers"), findings, |name| HeaderName::from_bytes(name.as_bytes()).is_ok()),
        ..RuleDoc::nothing(node.at.clone(), name.value)
    };
    fields.finish(&[], findings);
    if rule.hosts.is_empty() {
        findings.with(node, format!("the {of} needs a `host`"));
    }
    Some(rule)
}

pub(in crate::config) fn many<T>(
    node: Option<&Node>,
    findings: &mut Findings,
    mut read: impl FnMut(&Node, &mut Findings) -> Option<Located<T>>,
) -> Vec<Located<T>> {
    let Some(node) = node else { return Vec::new() };
    node.one_or_list(findings).iter().filter_map(|node| read(node, findings)).collect()
}

/// A name that fits on a line, into a header and into a log.
pub(super) fn name(node: &Node, of: &str, findings: &mut Findings) -> Option<Located<String>> {
    let text = node.text(findings)?;
    let fits = text.len() <= 100 && text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
    if !fits {
        findings.with(node, format!("the {of}'s name must be 1 to 100 printable ASCII characters"));
        return None;
    }
    Some(node.located(text.to_owned()))
}

pub(in crate::config) fn name_of_agent(node: &Node, findings: &mut Findings) -> Option<Located<String>> {
    let name = name(node, "agent", findings)?;
    if name.value.contains(':') || name.value.contains('*') {
        findings.with(node, "an agent's name has no colon (it is the user of a proxy URL) and no wildcard");
        return None;
    }
    Some(name)
}

fn path(node: &Node, findings: &mut Findings) -> Option<Located<String>> {
    node.text(findings).map(|text| node.located(text.to_owned()))
}

pub(in crate::config) fn host(node: &Node, findings: &mut Findings) -> Option<Located<HostPattern>> {
    let text = node.text(findings)?;
    match HostPattern::parse(text) {
        Ok(pattern) => Some(node.located(pattern)),
        Err(error) => {
            let advice = if text.contains("://") || text.contains('/') {
                ": write the name alone, without scheme and path"
            } else if text.contains(':') {
                ": write the port under `port`, and an IPv6 address in brackets"
            } else if text.contains('*') {
                ": `*.zone` stands for one or more labels, a `*` further right for one whole label, never the last"
            } else {
                ""
            };
            findings.with(node, format!("the host {text:?} cannot be used: {error}{advice}"));
            None
        }
    }
}

pub(super) fn port(node: &Node, findings: &mut Findings) -> Option<Located<u16>> {
    let number = node.number(1, u64::from(u16::MAX), findings)?;
    u16::try_from(number).ok().map(|port| node.located(port))
}

fn method(node: &Node, findings: &mut Findings) -> Option<Located<Method>> {
    let text = node.text(findings)?;
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        let upper = text.to_ascii_uppercase();
        findings.with(node, format!("methods are case-sensitive (RFC 9110, section 9.1): write {upper}"));
        return None;
    }
    let Ok(method) = Method::from_bytes(text.as_bytes()) else {
        findings.with(node, format!("{text:?} is no method (RFC 9110, section 5.6.2)"));
        return None;
    };
    if matches!(method.as_str(), "TRACE" | "TRACK" | "CONNECT") {
        findings.with(node, format!("{method} is never allowed by a method: TRACE and TRACK are always refused, CONNECT is decided by `host` and `port`"));
        return None;
    }
    Some(node.located(method))
}

pub(super) fn matchers(
    node: Option<&Node>,
    findings: &mut Findings,
    good_name: impl Fn(&str) -> bool,
) -> Vec<Located<Matcher>> {
    let Some(node) = node else { return Vec::new() };
    let mut matchers = Vec::new();
    for entry in node.entries(findings) {
        if entry.key.is_empty() || !good_name(&entry.key) {
            entry.problem(format!("{:?} cannot be a name here", entry.key), findings);
            continue;
        }
        let pattern = match &entry.node.content {
            Content::Null => None,
            _ => match entry.node.text(findings) {
                Some(text) => Some(text.to_owned()),
                None => continue,
            },
        };
        matchers.push(entry.node.located(Matcher { name: entry.key.clone(), pattern }));
    }
    matchers
}

pub(in crate::config) fn connection(node: &Node, findings: &mut Findings) -> Option<Located<ConnectionName>> {
    match ConnectionName::parse(node.text(findings)?) {
        Ok(name) => Some(node.located(name)),
        Err(error) => {
            findings.with(node, error.to_string());
            None
        }
    }
}

fn action(node: &Node, findings: &mut Findings) -> Option<Located<Action>> {
    let action = match node.text(findings)? {
        "inject" => Action::Inject,
        "forward" => Action::Forward,
        "tunnel" => Action::Tunnel,
        "deny" => Action::Deny,
        "stub" => Action::Stub,
        other => {
            let advice = did_you_mean(other, ["inject", "forward", "tunnel", "deny", "stub"]);
            let advice = advice.map(|word| format!(": did you mean {word}?")).unwrap_or_default();
            findings.with(node, format!("`action` is inject, forward, tunnel, deny or stub, not {other:?}{advice}"));
            return None;
        }
    };
    Some(node.located(action))
}

fn stub(node: &Node, findings: &mut Findings) -> Option<Located<Stub>> {
    let text = node.text(findings)?;
    let stub = Stub::parse(text);
    if stub.is_none() {
        let words = Stub::ALL.map(Stub::word);
        let advice = did_you_mean(text, words).map(|word| format!(": did you mean {word}?")).unwrap_or_default();
        findings.with(node, format!("`stub` is one of {}, not {text:?}{advice}", words.join(", ")));
    }
    stub.map(|stub| node.located(stub))
}

fn protocol(node: &Node, findings: &mut Findings) -> Option<Located<Protocol>> {
    match node.text(findings)? {
        "tls" => Some(node.located(Protocol::Tls)),
        "any" => Some(node.located(Protocol::Any)),
        other => {
            findings.with(node, format!("`protocol` is tls or any, not {other:?}"));
            None
        }
    }
}

/// A network. A wide one may contain a metadata address (169.254.169.254 and its kin); `dial`
/// admits such an address only through an exact /32 or /128.
pub(in crate::config) fn network(node: &Node, findings: &mut Findings) -> Option<Located<IpNet>> {
    let text = node.text(findings)?;
    let Ok(network) = text.parse::<IpNet>() else {
        let advice = match text.parse::<std::net::IpAddr>() {
            Ok(ip) => format!(": write {ip}/{}", if ip.is_ipv4() { 32 } else { 128 }),
            Err(_) => String::new(),
        };
        findings.with(node, format!("{text:?} is no network in CIDR form, such as 10.0.0.0/8{advice}"));
        return None;
    };
    if network.prefix_len() == 0 {
        findings.with(node, format!("{text} is every address: name the networks that are needed"));
        return None;
    }
    if network.trunc() != network {
        findings.with(node, format!("{text} has bits behind its prefix: write {}", network.trunc()));
        return None;
    }
    Some(node.located(network))
}

fn passed_header(node: &Node, findings: &mut Findings) -> Option<Located<HeaderName>> {
    let text = node.text(findings)?;
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        findings.with(node, format!("{text:?} is no header name (RFC 9110, section 5.1)"));
        return None;
    };
    let frames = [header::CONTENT_LENGTH, header::EXPECT, header::HOST].contains(&name);
    if frames || is_hop_by_hop(&name) || is_key_header(&name) {
        findings.with(node, format!("{name} never passes: it frames the message, belongs to one hop or authenticates"));
        return None;
    }
    Some(node.located(name))
}
