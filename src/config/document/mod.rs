//! A policy file: as written -> each value checked by itself, with its place.
//!
//! What rules mean together is the business of `policy`; here a key that this version does not
//! enforce is refused, so that nobody believes in it.

mod applied;
mod interaction;
mod open;
mod provider;
mod rule;
mod scope;
mod test;
mod uses;

use http::{HeaderName, Method};
use ipnet::IpNet;

pub use applied::load_providers;
pub use open::load_documents;
pub(in crate::config) use open::version;
pub(in crate::config) use provider::{json, read as read_provider, read_own as read_own_provider};
pub(in crate::config) use rule::{connection as connection_name, host as host_pattern, many, name_of_agent, network};
pub(in crate::config) use scope::value as scope_value;

use super::{At, Located, Problem, SetName};
use crate::model::{ConnectionName, HostPattern, Scope, Stub};

/// A policy file as written: each value checked by itself, with its place.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where the file starts.
    pub at: At,
    /// The text's bytes, hashed into the policy's version.
    pub text: String,
    /// The Authority's number of it, where it is the Authority's and no file.
    pub number: Option<u64>,
    /// `default:`, if the file says one.
    pub default: Option<Located<RuleDefault>>,
    /// `rules:`
    pub rules: Vec<RuleDoc>,
    /// `tests:`
    pub tests: Vec<PolicyTest>,
    /// What is wrong with it by itself. `Policy::compile` refuses a document that has any, and
    /// reports them together with what is wrong with the set.
    pub problems: Vec<Problem>,
}

/// What holds where no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleDefault {
    /// Refuse.
    Deny,
    /// Tunnel hosts that no rule names.
    Tunnel,
}

/// One rule as written.
#[derive(Clone, Debug)]
pub struct RuleDoc {
    /// Where it starts.
    pub at: At,
    /// `name:`, unique; `rule-N` where none is written.
    pub name: String,
    /// `agent:` one or a list.
    pub agents: Vec<Located<String>>,
    /// `host:` one or a list.
    pub hosts: Vec<Located<HostPattern>>,
    /// `port:` one or a list.
    pub ports: Vec<Located<u16>>,
    /// `method:` one or a list.
    pub methods: Vec<Located<Method>>,
    /// `path:` one or a list of globs.
    pub paths: Vec<Located<String>>,
    /// `not_path:` one or a list of globs that the rule leaves out, in every common reading of a
    /// path. A permission set's alone.
    pub not_paths: Vec<Located<String>>,
    /// `query: {name: pattern | null}`
    pub query: Vec<Located<Matcher>>,
    /// `headers: {name: pattern | null}`
    pub headers: Vec<Located<Matcher>>,
    /// `connection:`
    pub connection: Option<Located<ConnectionName>>,
    /// `scope:` what the lease is narrowed to.
    pub scope: Option<Located<Scope>>,
    /// `action:`
    pub action: Option<Located<Action>>,
    /// `stub:`
    pub stub: Option<Located<Stub>>,
    /// `networks:`
    pub networks: Vec<Located<IpNet>>,
    /// `protocol:`
    pub protocol: Option<Located<Protocol>>,
    /// `plaintext:`
    pub plaintext: bool,
    /// `strict_path:`
    pub strict_path: bool,
    /// `pass_headers:`
    pub pass_headers: Vec<Located<HeaderName>>,
    /// `mints:`: calls that hand out or register credentials are allowed too.
    pub mints: bool,
    /// The permission set that it comes from.
    pub uses: Option<SetName>,
    /// Whether all that is written could be read; what is missing else is no second problem.
    pub complete: bool,
}

impl RuleDoc {
    /// A rule that says nothing yet.
    fn nothing(at: At, name: String) -> Self {
        Self {
            at,
            name,
            agents: Vec::new(),
            hosts: Vec::new(),
            ports: Vec::new(),
            methods: Vec::new(),
            paths: Vec::new(),
            not_paths: Vec::new(),
            query: Vec::new(),
            headers: Vec::new(),
            connection: None,
            scope: None,
            action: None,
            stub: None,
            networks: Vec::new(),
            protocol: None,
            plaintext: false,
            strict_path: false,
            pass_headers: Vec::new(),
            mints: false,
            uses: None,
            complete: true,
        }
    }
}

/// An item that must occur exactly once and match, or (`None`) must be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The item's name.
    pub name: String,
    /// A glob; `None` was written `null`.
    pub pattern: Option<String>,
}

/// `action:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Intercept and add credentials.
    Inject,
    /// Intercept and add nothing.
    Forward,
    /// Pass bytes untouched.
    Tunnel,
    /// Refuse.
    Deny,
    /// Intercept and answer here.
    Stub,
}

/// `protocol:` of a tunnel rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A ClientHello with the host as its SNI comes first (the default).
    Tls,
    /// Anything.
    Any,
}

/// One of `tests:`
#[derive(Clone, Debug)]
pub struct PolicyTest {
    /// Where it starts.
    pub at: At,
    /// `request: METHOD URL`
    pub method: Method,
    /// The URL as written.
    pub url: String,
    /// `agent:`
    pub agent: Option<String>,
    /// What it is asked of, in a provider's document alone.
    pub subject: Option<Subject>,
    /// `headers:` that the request carries.
    pub headers: Vec<(String, String)>,
    /// `expect:`
    pub expect: ExpectedOutcome,
}

/// What a provider's test is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `use:` this permission set is asked.
    Set(SetName),
    /// `mints:` the request is this call, which hands out or registers credentials.
    Mints(String),
    /// `near:` the request differs a little from this call, and is none that does.
    Near(String),
}

/// `expect:` of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedOutcome {
    /// `deny`
    Deny,
    /// `forward`
    Forward,
    /// `tunnel`
    Tunnel,
    /// `inject NAME`
    Inject(ConnectionName),
    /// `stub`
    Stub,
}
