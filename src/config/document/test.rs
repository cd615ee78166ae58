use http::{HeaderName, HeaderValue, Method};

use super::{ExpectedOutcome, PolicyTest, Subject, rule, uses};
use crate::config::yaml::{Fields, Findings, Node};
use crate::model::ConnectionName;

/// Reads one of `tests:`.
pub(super) fn read(node: &Node, findings: &mut Findings) -> Option<PolicyTest> {
    let mut fields = Fields::open(node, findings)?;
    let request = match fields.get("request") {
        Some(node) => request(node, findings),
        None => missing(node, "request: GET https://…", findings),
    };
    let agent = fields.get("agent").and_then(|node| rule::name_of_agent(node, findings));
    let headers = fields.get("headers").map(|node| headers(node, findings)).unwrap_or_default();
    let expect = match fields.get("expect") {
        Some(node) => expect(node, findings),
        None => missing(node, "expect: deny", findings),
    };
    fields.finish(&[], findings);
    let (method, url) = request?;
    let agent = agent.map(|agent| agent.value);
    Some(PolicyTest { at: node.at.clone(), method, url, agent, subject: None, headers, expect: expect? })
}

/// Reads one of a provider's `tests:`: it is about a permission set or about a call that mints, and
/// each of its requests is a test. A call that mints is refused; what is near one is injected.
pub(super) fn of_provider(node: &Node, provider: &ConnectionName, findings: &mut Findings) -> Vec<PolicyTest> {
    let Some(mut fields) = Fields::open(node, findings) else { return Vec::new() };
    let set = fields.get("use").and_then(|node| uses::set_name(node, findings)).map(Subject::Set);
    let mut call = |key| fields.get(key).and_then(|node| node.text(findings)).map(str::to_owned);
    let (mints, near) = (call("mints").map(Subject::Mints), call("near").map(Subject::Near));
    let requests = fields.get("request").map(|node| node.one_or_list(findings)).unwrap_or_default();
    let headers = fields.get("headers").map(|node| headers(node, findings)).unwrap_or_default();
    let expect = fields.get("expect").and_then(|node| expect(node, findings));
    fields.finish(&[], findings);
    let (subject, expect) = match (set, mints, near, expect) {
        (Some(set), None, None, Some(expect)) => (set, expect),
        (None, Some(call), None, None) => (call, ExpectedOutcome::Deny),
        (None, None, Some(call), None) => (call, ExpectedOutcome::Inject(provider.clone())),
        _ => {
            findings.with(node, "a provider's test says `use` and `expect`, or `mints`, or `near`");
            return Vec::new();
        }
    };
    if requests.is_empty() {
        findings.with(node, "a test needs `request: GET https://…`");
    }
    let requests = requests.iter().filter_map(|node| Some((node.at.clone(), request(node, findings)?)));
    let test = |(at, (method, url))| PolicyTest {
        at,
        method,
        url,
        agent: None,
        subject: Some(subject.clone()),
        headers: headers.clone(),
        expect: expect.clone(),
    };
    requests.map(test).collect()
}

fn missing<T>(node: &Node, example: &str, findings: &mut Findings) -> Option<T> {
    findings.with(node, format!("a test needs `{example}`"));
    None
}

fn request(node: &Node, findings: &mut Findings) -> Option<(Method, String)> {
    let text = node.text(findings)?;
    let parts = text.split_once(' ').map(|(method, url)| (Method::from_bytes(method.as_bytes()), url.trim()));
    match parts {
        Some((Ok(method), url)) if !url.is_empty() => Some((method, url.to_owned())),
        _ => {
            findings
                .with(node, format!("`request` is a method and a URL, such as GET https://example.com/, not {text:?}"));
            None
        }
    }
}

fn headers(node: &Node, findings: &mut Findings) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for entry in node.entries(findings) {
        if HeaderName::from_bytes(entry.key.as_bytes()).is_err() {
            entry.problem(format!("{:?} is no header name (RFC 9110, section 5.1)", entry.key), findings);
            continue;
        }
        for node in entry.node.one_or_list(findings) {
            let Some(value) = node.text(findings) else { continue };
            if HeaderValue::from_str(value).is_err() {
                findings.with(node, "this is no header value (RFC 9110, section 5.5)");
                continue;
            }
            headers.push((entry.key.clone(), value.to_owned()));
        }
    }
    headers
}

fn expect(node: &Node, findings: &mut Findings) -> Option<ExpectedOutcome> {
    let text = node.text(findings)?;
    let outcome = match text {
        "deny" => Some(ExpectedOutcome::Deny),
        "forward" => Some(ExpectedOutcome::Forward),
        "tunnel" => Some(ExpectedOutcome::Tunnel),
        "stub" => Some(ExpectedOutcome::Stub),
        _ => match text.strip_prefix("inject ").map(|name| ConnectionName::parse(name.trim())) {
            Some(Ok(name)) => Some(ExpectedOutcome::Inject(name)),
            _ => None,
        },
    };
    if outcome.is_none() {
        findings.with(node, format!("`expect` is deny, forward, tunnel, stub or inject NAME, not {text:?}"));
    }
    outcome
}
