//! The smallest rule that would have allowed what was refused, as YAML, and where it belongs.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path as FilePath;
use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::Policy;
use super::hypothetical::request;
use super::item::{Item, Place as ItemPlace, override_items};
use super::review::{Asking, Finding, Past, Recalled, but_for_items, connected, tunnels};
use super::rule::{Asked, Effect, Met, Rule};
use crate::config::{At, Catalogue, Document};
use crate::model::{Destination, Host, HostPort, Query, Scheme, Target};

mod yaml;

/// Stands where the audit kept no value: as a pattern it matches no value but itself.
pub const BLANK: &str = "WRITE THE VALUE HERE";

/// A rule to paste under `rules:`.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// An item of `rules:`, indented by two blanks, with its newlines.
    pub rule: String,
    /// Where it belongs.
    pub place: Place,
    /// The query items and headers whose values were not kept: each stands as [`BLANK`].
    pub blanks: Vec<String>,
}

/// A place in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the rule of this name, which is written here.
    Before(Arc<str>, At),
    /// Behind every rule.
    End,
}

/// Puts a suggested rule into documents, where it belongs.
#[must_use]
pub fn with_rule(mut documents: Vec<Document>, suggestion: &Suggestion) -> Vec<Document> {
    let text = format!("version: 1\nrules:\n{}", suggestion.rule);
    let suggested = Document::parse(FilePath::new("suggestion"), &text);
    if let Place::Before(_, at) = &suggestion.place {
        for document in &mut documents {
            if let Some(index) = document.rules.iter().position(|rule| rule.at == *at) {
                document.rules.splice(index..index, suggested.rules);
                return documents;
            }
        }
    }
    documents.push(suggested);
    documents
}

/// A rule in the making.
struct Draft {
    name: String,
    agent: Option<String>,
    host: Host,
    port: Option<u16>,
    inside: Option<Inside>,
    effect: Effect,
    networks: Vec<IpNet>,
    pass_headers: Vec<HeaderName>,
    mints: bool,
}

/// What a rule says of what a CONNECT does not show.
struct Inside {
    method: String,
    path: String,
    query: Vec<(String, Value)>,
    headers: Vec<(String, Value)>,
}

enum Value {
    Pattern(String),
    Absent,
    Blank,
}

impl Policy {
    /// The smallest rule that allows a request of the past, of which this was found.
    pub(super) fn suggestion(&self, past: &Past, finding: &Finding, rule: Option<&Rule>) -> Result<Suggestion, String> {
        let place = match rule {
            Some(rule) if rule.at.line > 0 => self.before(rule),
            _ => Place::End,
        };
        let draft = match (finding, rule) {
            (Finding::Echo, _) => {
                return Err("no rule can allow it: the answer to this method repeats the request".to_owned());
            }
            (Finding::OnlyTunnel, _) => {
                return Err("no rule is needed: clients that are told of the proxy for https send CONNECT".to_owned());
            }
            (Finding::Allowed, _) if past.address.is_none() => return Err("the policy allows it".to_owned()),
            (Finding::Denied | Finding::NoHost | Finding::NoRule | Finding::Unknown, _) | (_, None) => {
                self.anew(past)?
            }
            (_, Some(rule)) => {
                let mut draft = self.like(past, rule)?;
                draft.mints |= matches!(finding, Finding::Mints(_));
                draft
            }
        };
        let blanks = draft.inside.iter().flat_map(Inside::blanks).collect();
        Ok(Suggestion { rule: draft.to_string(), place, blanks })
    }

    /// Rules of one permission set stand at one place.
    fn before(&self, rule: &Rule) -> Place {
        let first = self.rules.all().iter().find(|other| other.at == rule.at).unwrap_or(rule);
        Place::Before(first.name.clone(), first.at.clone())
    }

    /// A rule where none is like it: what other rules of the agent do at this host is done.
    fn anew(&self, past: &Past) -> Result<Draft, String> {
        let came = past.destination();
        let own = || self.rules.candidates(came.host()).filter(|rule| rule.is_for(past.agent.name()));
        let named = || own().filter(|rule| rule.names(came.host()));
        let injects = |rule: &&Rule| matches!(rule.effect, Effect::Inject { .. });
        let model = named().find(injects).or_else(|| named().find(|rule| rule.effect == Effect::Forward));
        let effect = match (model.map(|rule| &rule.effect), Catalogue::built_in().at_host(came.host())) {
            (Some(Effect::Inject { connection, plaintext, scope }), _) => {
                let plaintext = *plaintext && came.scheme() == Scheme::Http;
                Effect::Inject { connection: connection.clone(), plaintext, scope: scope.clone() }
            }
            (None, Some(provider)) => {
                Effect::Inject { connection: provider.connection.clone(), plaintext: false, scope: None }
            }
            _ => Effect::Forward,
        };
        let mut networks = model.map(|rule| rule.networks.to_vec()).unwrap_or_default();
        networks.extend(past.address.map(single));
        let tunnel = named().find(|rule| tunnels(rule)).filter(|_| model.is_none());
        if let (Asking::Connect(_), Some(Effect::Tunnel(protocol))) = (&past.what, tunnel.map(|rule| &rule.effect)) {
            let networks = tunnel.map(|rule| rule.networks.to_vec()).unwrap_or_default();
            return Ok(self.draft(past, Effect::Tunnel(*protocol), None, networks));
        }
        let mut inside = Inside::of(past)?;
        if let Asking::Request(target) = &past.what {
            // What rules of this method and path look at is not left open by this one.
            for rule in
                own().filter(|rule| !rule.items.is_empty() && !matches!(but_for_items(rule, past, target), Met::No(_)))
            {
                rule.items.iter().try_for_each(|item| inside.demand(item, target.query.as_ref()))?;
            }
        }
        let injects = matches!(effect, Effect::Inject { .. });
        if injects {
            self.tell_apart(past, &mut inside)?;
        }
        let mut draft = self.draft(past, effect, Some(inside), networks);
        if let (Asking::Request(target), true) = (&past.what, injects) {
            draft.inject(target)?;
            draft.mints = self.is_minting(past, target);
        }
        Ok(draft)
    }

    /// Demands what tells a provider's calls apart where all of them have one path: the items that
    /// its minting calls are known by. Without them a rule for one call would allow every other.
    fn tell_apart(&self, past: &Past, inside: &mut Inside) -> Result<(), String> {
        let (target, connects) = match &past.what {
            Asking::Request(target) => (target.clone(), false),
            Asking::Connect(_) => match request(&Method::GET, &format!("{}/", past.destination())) {
                Ok(target) => (target, true),
                Err(_) => return Ok(()),
            },
        };
        let calls = self.minting.candidates(target.destination.host());
        let calls = calls.filter(|call| !matches!(but_for_items(call, past, &target), Met::No(_)));
        // A header names a call where the path does not; behind a CONNECT there is no call yet.
        let by_header = target.path.as_str() == "/" && !connects;
        let mut items = calls.flat_map(|call| &call.items).filter(|item| item.place == ItemPlace::Query || by_header);
        items.try_for_each(|item| inside.demand(item, target.query.as_ref()))
    }

    /// Tells whether a provider hands out or registers credentials by this call. What is not known
    /// is none: a rule that may mint is not suggested on a suspicion.
    fn is_minting(&self, past: &Past, target: &Target) -> bool {
        let kept = Recalled { query: target.query.as_ref() };
        let asked = Asked::new(past.agent.name(), &target.destination, &target.method, &target.path, kept);
        let mut calls = self.minting.candidates(target.destination.host());
        calls.any(|call| matches!(call.tries(&asked, target.destination.port()), Met::Yes | Met::StrictPath))
    }

    /// A rule like one that matched, for this request alone.
    fn like(&self, past: &Past, rule: &Rule) -> Result<Draft, String> {
        let mut networks = rule.networks.to_vec();
        if let Some(address) = past.address {
            networks = vec![single(address)];
        }
        if tunnels(rule) {
            return Ok(self.draft(past, rule.effect.clone(), None, networks));
        }
        let mut inside = Inside::of(past)?;
        rule.items.iter().for_each(|item| inside.copy(item));
        if let Effect::Inject { .. } = &rule.effect {
            self.tell_apart(past, &mut inside)?;
        }
        let mut draft = self.draft(past, rule.effect.clone(), Some(inside), networks);
        draft.pass_headers = rule.pass_headers.to_vec();
        if let (Asking::Request(target), Effect::Inject { .. }) = (&past.what, &rule.effect) {
            draft.inject(target)?;
            draft.mints |= self.is_minting(past, target);
        }
        Ok(draft)
    }

    fn draft(&self, past: &Past, effect: Effect, inside: Option<Inside>, networks: Vec<IpNet>) -> Draft {
        let came = past.destination();
        let (sent, meant) = match &effect {
            Effect::Inject { plaintext: false, .. } => (came.upgraded().port(), 443),
            Effect::Tunnel(_) => (came.port(), 443),
            _ => (came.port(), came.scheme().default_port()),
        };
        let several = past.several_agents || self.rules.all().iter().any(|rule| !rule.agents.is_empty());
        Draft {
            name: self.free_name(past),
            agent: several.then(|| past.agent.name().to_string()),
            host: came.host().clone(),
            port: (sent != meant).then_some(sent),
            inside,
            effect,
            networks,
            pass_headers: Vec::new(),
            mints: false,
        }
    }

    /// A name that no rule has, which says what it is for.
    fn free_name(&self, past: &Past) -> String {
        let words = match &past.what {
            Asking::Request(target) => format!("{} {} {}", target.method, target.destination.host(), target.path),
            Asking::Connect(target) => format!("reach {}", target.host),
        };
        let mut name = String::from("allow");
        for word in words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
            if name.len() + word.len() > 60 {
                break;
            }
            let _ = write!(name, "-{}", word.to_ascii_lowercase());
        }
        let taken = |name: &str| self.rules.all().iter().any(|rule| &*rule.name == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
    }
}

fn single(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

impl Past {
    /// Where it was to go.
    pub fn destination(&self) -> Destination {
        match &self.what {
            Asking::Request(target) => target.destination.clone(),
            Asking::Connect(target) => connected(target),
        }
    }
}

impl Draft {
    /// Names what may make the origin see another method: an injecting rule has to.
    fn inject(&mut self, target: &Target) -> Result<(), String> {
        let (Some(inside), Some(query)) = (&mut self.inside, &target.query) else { return Ok(()) };
        for name in override_items(query) {
            if matches!(named_in(query, &name), Named::Empty) {
                return Err(no_empty(&name));
            }
            if !inside.query.iter().any(|(other, _)| *other == name) {
                inside.query.push((name.into_owned(), Value::Blank));
            }
        }
        Ok(())
    }
}

impl Inside {
    fn of(past: &Past) -> Result<Self, String> {
        let target = match &past.what {
            Asking::Request(target) => target,
            // The least that lets a CONNECT pass: what is asked for inside is refused where it
            // can be read, and recorded.
            Asking::Connect(HostPort { .. }) => {
                return Ok(Self {
                    method: "GET".to_owned(),
                    path: "/".to_owned(),
                    query: Vec::new(),
                    headers: Vec::new(),
                });
            }
        };
        let method = target.method.to_string();
        if method.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(format!("no rule can name the method {method}: methods are case-sensitive, and in capitals"));
        }
        let path = target.path.as_str();
        // A request shapes what a person is about to paste: nothing wider than the request itself.
        if past.is_cut {
            return Err("the path was too long to be kept whole, and a rule that is open at its end would allow others too: write one by hand, for what is behind that path".to_owned());
        }
        if path.contains('*') {
            return Err("the path holds a star, which a rule cannot name alone: there it stands for anything, so that the rule would allow other paths too. Write one by hand if that is meant".to_owned());
        }
        Ok(Self { method, path: path.to_owned(), query: Vec::new(), headers: Vec::new() })
    }

    /// Takes an item over from a rule that matched.
    fn copy(&mut self, item: &Item) {
        let value = item.pattern.as_ref().map_or(Value::Absent, |pattern| Value::Pattern(pattern.clone()));
        self.items(item).push((item.name.clone(), value));
    }

    /// Demands what a rule looks at, under the name that the request has it by, as far as that is
    /// known.
    fn demand(&mut self, item: &Item, query: Option<&Query>) -> Result<(), String> {
        let (name, value) = match (&item.place, query.map_or(Named::Absent, |query| named_in(query, &item.name))) {
            (ItemPlace::Header(_), _) => (item.name.clone(), Value::Blank),
            (ItemPlace::Query, Named::Absent) => (item.name.clone(), Value::Absent),
            (ItemPlace::Query, Named::Empty) => return Err(no_empty(&item.name)),
            (ItemPlace::Query, Named::As(name)) => (name, Value::Blank),
        };
        let items = self.items(item);
        if !items.iter().any(|(other, _)| *other == name) {
            items.push((name, value));
        }
        Ok(())
    }

    fn items(&mut self, item: &Item) -> &mut Vec<(String, Value)> {
        if item.place == ItemPlace::Query { &mut self.query } else { &mut self.headers }
    }

    fn blanks(&self) -> Vec<String> {
        let of = |items: &[(String, Value)], place: &str| {
            let blank = items.iter().filter(|(_, value)| matches!(value, Value::Blank));
            blank.map(|(name, _)| format!("{place} {name:?}")).collect::<Vec<_>>()
        };
        [of(&self.query, "query item"), of(&self.headers, "header")].concat()
    }
}

/// How a query holds a name; of a value it is kept whether it is empty.
enum Named {
    Absent,
    Empty,
    /// With a value, under this spelling.
    As(String),
}

fn named_in(query: &Query, name: &str) -> Named {
    match query.pairs().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
        None => Named::Absent,
        Some((_, value)) if value.is_empty() => Named::Empty,
        Some((spelt, _)) => Named::As(spelt.into_owned()),
    }
}

fn no_empty(name: &str) -> String {
    format!("no rule can name the empty value of the query item {name:?}, which a rule for this path looks at")
}

#[cfg(test)]
mod tests;
