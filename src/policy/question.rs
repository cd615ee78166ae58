use aws_lc_rs::hmac;
use http::{HeaderMap, Method};
use ipnet::IpNet;

use super::Policy;
use super::decide::Ruling;
use super::item::{Evidence, Item, Known, Live, Occurrences, Place, override_items};
use super::rule::{Asked, Effect, Rule};
use super::verdict::{AtConnect, Terms};
use crate::config::Protocol;
use crate::identity::Agent;
use crate::model::{ConnectionName, Destination, HostPort, Path, Target};

/// What a live request asked, kept so that a new policy can be asked again: values of query
/// items and headers only as keyed hashes beside the results of the patterns they met.
#[derive(Debug)]
pub struct Question {
    agent: Agent,
    about: About,
}

#[derive(Debug)]
enum About {
    Request(Box<Kept>),
    Tunnel { target: HostPort, protocol: Option<Protocol> },
}

/// A request without its values.
struct Kept {
    destination: Destination,
    method: Method,
    path: Path,
    /// Only where there is an item to keep.
    key: Option<hmac::Key>,
    items: Vec<KeptItem>,
    override_items: Vec<String>,
}

/// One item that a rule of the deciding policy names.
struct KeptItem {
    place: Place,
    name: String,
    /// Lenient occurrences.
    count: usize,
    is_list: bool,
    exact: Vec<hmac::Tag>,
    readings: Vec<hmac::Tag>,
    /// Pattern -> whether it was met strictly, and leniently.
    results: Vec<(Option<String>, bool, bool)>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("destination", &self.destination)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// Keeps what is needed to ask again. `key` is random and lives as long as the process.
    pub fn question(&self, agent: &Agent, target: &Target, headers: &HeaderMap, key: &[u8; 32]) -> Question {
        let live = Live { query: target.query.as_ref(), headers };
        let mut tag_key = None;
        let mut items: Vec<KeptItem> = Vec::new();
        let host = target.destination.host();
        let looking = self.rules.candidates(host).chain(self.minting.candidates(host));
        for item in looking.flat_map(|rule| &rule.items) {
            let key = tag_key.get_or_insert_with(|| hmac::Key::new(hmac::HMAC_SHA256, key));
            let found = live.find(&item.place, &item.name);
            let at = items.iter().position(|kept| kept.is(item)).unwrap_or_else(|| {
                items.push(KeptItem::new(item, &found, key));
                items.len() - 1
            });
            items[at].results.push((item.pattern.clone(), item.strictly(&found), item.leniently(&found)));
        }
        let override_items = target.query.iter().flat_map(override_items).map(std::borrow::Cow::into_owned).collect();
        let kept = Kept {
            destination: target.destination.clone(),
            method: target.method.clone(),
            path: target.path.clone(),
            key: tag_key,
            items,
            override_items,
        };
        Question { agent: agent.clone(), about: About::Request(Box::new(kept)) }
    }

    /// Keeps a tunnel's question.
    pub fn tunnel_question(&self, agent: &Agent, target: &HostPort) -> Question {
        let protocol = match self.at_connect(agent, target) {
            AtConnect::Tunnel(_, protocol) => Some(protocol),
            AtConnect::Intercept | AtConnect::Deny(_) => None,
        };
        Question { agent: agent.clone(), about: About::Tunnel { target: target.clone(), protocol } }
    }

    /// Tells whether this policy still allows what was asked, with the same connection and
    /// destination as before, every network that it was allowed, and a lease that is narrowed no
    /// otherwise. What it cannot know is a no.
    pub fn still_allows(&self, question: &Question, terms: &Terms, connection: Option<&ConnectionName>) -> bool {
        match &question.about {
            About::Tunnel { target, protocol } => match self.at_connect(&question.agent, target) {
                AtConnect::Tunnel(permit, now) => {
                    let narrowed = now == Protocol::Tls && *protocol != Some(Protocol::Tls);
                    let same = permit.terms().destination() == terms.destination() && connection.is_none();
                    same && !narrowed && covers(permit.terms().networks(), terms)
                }
                AtConnect::Intercept | AtConnect::Deny(_) => false,
            },
            About::Request(kept) => {
                let memory = Memory { kept };
                let asked = Asked::new(question.agent.name(), &kept.destination, &kept.method, &kept.path, memory);
                match self.walk(&asked, &mut |_, _| {}) {
                    Ruling::Allow(rule, destination) => {
                        // What left would not leave any more.
                        let leaves = !matches!(rule.effect, Effect::Stub(_));
                        leaves
                            && destination == *terms.destination()
                            && connection == connection_of(rule)
                            && covers(&rule.networks, terms)
                            && (rule.scope().is_none() || rule.scope() == terms.scope.as_ref())
                    }
                    Ruling::Refuse(_) | Ruling::Unknown => false,
                }
            }
        }
    }
}

fn connection_of(rule: &Rule) -> Option<&ConnectionName> {
    match &rule.effect {
        Effect::Inject { connection, .. } => Some(connection),
        _ => None,
    }
}

/// A single address must be listed as one again: it may be that of a metadata service, which no
/// wider network admits.
fn covers(now: &[IpNet], before: &Terms) -> bool {
    let still = |one: &IpNet| {
        if one.prefix_len() == one.max_prefix_len() {
            now.contains(one)
        } else {
            now.iter().any(|wider| wider.contains(one))
        }
    };
    before.networks().iter().all(still)
}

impl KeptItem {
    fn new(item: &Item, found: &Occurrences<'_>, key: &hmac::Key) -> Self {
        Self {
            place: item.place.clone(),
            name: item.name.clone(),
            count: found.count,
            is_list: found.is_list,
            exact: found.exact.iter().map(|value| hmac::sign(key, value.as_bytes())).collect(),
            readings: found.readings.iter().map(|value| hmac::sign(key, value.as_bytes())).collect(),
            results: Vec::new(),
        }
    }

    fn is(&self, item: &Item) -> bool {
        self.place == item.place && self.name == item.name
    }

    fn result(&self, item: &Item) -> Option<(bool, bool)> {
        let met = self.results.iter().find(|(pattern, ..)| *pattern == item.pattern);
        met.map(|(_, strictly, leniently)| (*strictly, *leniently))
    }
}

/// What is left of a request.
struct Memory<'a> {
    kept: &'a Kept,
}

impl Memory<'_> {
    fn find(&self, item: &Item) -> Option<&KeptItem> {
        self.kept.items.iter().find(|kept| kept.is(item))
    }

    fn has(&self, tags: &[hmac::Tag], text: &str) -> bool {
        let Some(key) = &self.kept.key else { return false };
        tags.iter().any(|tag| hmac::verify(key, text.as_bytes(), tag.as_ref()).is_ok())
    }
}

impl Evidence for Memory<'_> {
    fn strictly(&self, item: &Item) -> Known {
        let Some(kept) = self.find(item) else { return Known::Unknown };
        match (kept.result(item), &item.pattern, item.literal()) {
            (Some((strictly, _)), ..) => strictly.into(),
            (None, None, _) => (kept.count == 0).into(),
            // More or fewer than one match no pattern.
            (None, Some(_), _) if kept.count != 1 || kept.exact.len() != 1 => Known::No,
            (None, Some(_), Some(literal)) => {
                (self.has(&kept.exact, literal) && (!kept.is_list || literal.contains(','))).into()
            }
            (None, Some(_), None) => Known::Unknown,
        }
    }

    fn leniently(&self, item: &Item) -> Known {
        let Some(kept) = self.find(item) else { return Known::Unknown };
        match (kept.result(item), &item.pattern, item.literal()) {
            (Some((_, leniently)), ..) => leniently.into(),
            (None, None, _) => kept.exact.is_empty().into(),
            (None, Some(_), _) if kept.count == 0 => Known::No,
            (None, Some(_), Some(literal)) => self.has(&kept.readings, &literal.to_lowercase()).into(),
            (None, Some(_), None) => Known::Unknown,
        }
    }

    fn override_item(&self, named: &dyn Fn(&str) -> bool) -> Option<String> {
        self.kept.override_items.iter().find(|name| !named(name)).cloned()
    }
}
