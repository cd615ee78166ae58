//! The providers that are compiled in: where each one's credentials go, how, and what one may
//! allow there by name.
//!
//! Their documents lie in `policies/providers`, one a provider, and are read once, when first
//! asked for. A provider is data: what a set allows is a rule like any other, and what mints
//! credentials is a rule that denies. Nothing here is a secret.

mod interaction;
mod set_name;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;
use std::sync::OnceLock;

use http::{HeaderName, HeaderValue, Method};

pub use self::interaction::{OAuthDoc, ProviderFile, RevocationDoc, SecretSource};
pub use self::set_name::{SetName, SetNameError};
pub use self::words::Said;
use super::Problems;
use super::document::{PolicyTest, RuleDoc, read_own_provider, read_provider};
use super::yaml::did_you_mean;
use crate::model::{Binding, Bindings, ConnectionName, Host, RefusedAs};

/// A document, with the name that problems in it have.
macro_rules! document {
    ($name:literal) => {
        (concat!("policies/providers/", $name), include_str!(concat!("../../../policies/providers/", $name)))
    };
}

/// The documents, in the order of listings.
const DOCUMENTS: [(&str, &str); 5] = [
    document!("anthropic.yaml"),
    document!("aws.yaml"),
    document!("github.yaml"),
    document!("openai.yaml"),
    document!("slack.yaml"),
];

/// What every placeholder holds, in some letter case: by it they are recognised quickly.
pub const PLACEHOLDER_MARKER: &str = "NexusPlaceholder";

/// Providers by name.
#[derive(Debug)]
pub struct Catalogue {
    providers: Vec<Provider>,
}

/// A service's definition.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What connections and sets call it; a connection of this name is its own by default.
    pub connection: ConnectionName,
    /// Its own name, for people.
    pub title: String,
    /// Where to read on: the service's own documentation.
    pub about: String,
    /// The execution contract: where its credentials may go, and how.
    pub bindings: Bindings,
    /// Whether the zones of its wildcards are the provider's alone.
    pub owned: bool,
    /// What a person gives.
    pub fields: Vec<FieldDoc>,
    /// Headers that carry its keys, beside those of [`is_key_header`](crate::model::is_key_header).
    pub key_headers: Vec<HeaderName>,
    /// Environment variables that clients read its credentials from.
    pub variables: Vec<String>,
    /// What a client finds in such a variable instead.
    pub placeholders: Vec<Placeholder>,
    /// The call that tells whose credentials they are.
    pub user: Option<UserCall>,
    /// What it answers when it refuses credentials.
    pub refused: RefusedAs,
    /// Calls by which it hands out or registers credentials; each matches as a deny rule does.
    pub mints: Vec<RuleDoc>,
    /// What rules may `use`, by name and version.
    pub sets: Vec<PermissionSet>,
    /// The document's own tests; none in the catalogue that is [built in](Catalogue::built_in).
    pub tests: Vec<PolicyTest>,
}

/// A field of a provider's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDoc {
    /// Its name.
    pub name: String,
    /// Whether a connection can do without it.
    pub optional: bool,
    /// What it is and where it comes from, for people.
    pub about: String,
}

/// A value of the right shape that is no credential, the same in every process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// The variable.
    pub variable: String,
    /// Its value.
    pub value: String,
}

/// A call that tells whose credentials they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCall {
    /// The method.
    pub method: Method,
    /// The URL, with its query.
    pub url: String,
    /// Headers that the service asks for.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A JSON pointer (RFC 6901) to what must be `true`, where the service answers 200 either way.
    pub ok: Option<String>,
    /// Where the answer names its user: JSON pointers, or names of headers; every one that is there.
    pub name: Vec<String>,
}

/// Rules under a name and a version. What they mean never changes.
#[derive(Clone, Debug)]
pub struct PermissionSet {
    /// The name.
    pub name: SetName,
    /// What it allows, for people.
    pub about: String,
    /// Its rules: what each one matches, no more.
    pub rules: Vec<RuleDoc>,
}

impl Catalogue {
    /// The providers that are compiled in.
    #[expect(clippy::expect_used, reason = "the documents are part of this program, and a test reads them")]
    pub fn built_in() -> &'static Self {
        static BUILT_IN: OnceLock<Catalogue> = OnceLock::new();
        let read = |(name, text)| read_own_provider(Path::new(name), without_tests(text));
        let read = || DOCUMENTS.into_iter().map(read).collect::<Result<_, Problems>>();
        BUILT_IN.get_or_init(|| Self { providers: read().expect("the catalogue that was compiled in") })
    }

    /// The same with the documents' tests.
    #[cfg(test)]
    pub(crate) fn with_tests() -> Self {
        Self::read(&DOCUMENTS).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What a service answers when it refuses the credentials of such a line: as the provider of its
    /// hosts declares it, or else of its strategy.
    pub fn refused_as(&self, line: &Binding) -> RefusedAs {
        let kind = line.strategy.kind();
        let same_kind = |one: &&Binding| one.strategy.kind() == kind;
        let lines = |provider: &Provider| provider.bindings.iter().filter(same_kind).cloned().collect::<Vec<_>>();
        let of_host = |provider: &&Provider| {
            lines(provider).iter().any(|one| one.hosts.iter().any(|host| line.hosts.contains(host)))
        };
        // A signature says by itself whose service it is for.
        let of_strategy = |provider: &&Provider| kind == "aws_sigv4" && !lines(provider).is_empty();
        let found = self.providers.iter().find(of_host).or_else(|| self.providers.iter().find(of_strategy));
        found.map(|provider| provider.refused.clone()).unwrap_or_default()
    }

    /// Reads documents, each with the name that problems in it have.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(documents: &[(&str, &str)]) -> Result<Self, Problems> {
        let mut providers = Vec::with_capacity(documents.len());
        for (name, text) in documents {
            providers.push(read_provider(Path::new(name), text)?);
        }
        Ok(Self { providers })
    }

    /// Every provider.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The provider of a name.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.connection.as_str() == name)
    }

    /// The provider whose credentials may go to a host.
    pub fn at_host(&self, host: &Host) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.bindings.strategy_for(host).is_some())
    }

    /// A permission set, with its provider.
    ///
    /// # Errors
    /// No such provider, or set, or version; with those that there are.
    pub fn set(&self, name: &SetName) -> Result<(&Provider, &PermissionSet), SetNameError> {
        let provider = self.provider(&name.provider).ok_or_else(|| self.unknown(&name.provider))?;
        let set = provider.sets.iter().find(|set| set.name == *name).ok_or_else(|| SetNameError::Set {
            provider: provider.connection.to_string(),
            set: name.versioned(),
            known: provider.sets.iter().map(|set| set.name.versioned()).collect::<Vec<_>>().join(", "),
        })?;
        Ok((provider, set))
    }

    /// The newest version of a set that is newer than the one of this name.
    pub fn newer(&self, name: &SetName) -> Option<&PermissionSet> {
        let sets = &self.provider(&name.provider)?.sets;
        let same = sets.iter().filter(|set| set.name.set == name.set && set.name.version > name.version);
        same.max_by_key(|set| set.name.version)
    }

    /// Says that there is no such provider, and which one may be meant.
    pub fn unknown(&self, name: &str) -> SetNameError {
        let known: Vec<&str> = self.providers.iter().map(|provider| provider.connection.as_str()).collect();
        let meant = did_you_mean(name, known.iter().copied()).map(|meant| format!("did you mean {meant}? "));
        let advice = format!("{}there are {}", meant.unwrap_or_default(), known.join(", "));
        SetNameError::Provider { name: name.to_owned(), advice }
    }
}

/// A document without its tests, which stand last: half of what a start would read.
fn without_tests(text: &str) -> &str {
    text.split_once("\ntests:\n").map_or(text, |(provider, _)| provider)
}

impl Provider {
    /// The permission set to begin with: the one that reads, else the first; `None` where there is none.
    pub fn first_set(&self) -> Option<&PermissionSet> {
        self.sets.iter().find(|set| &*set.name.set == "read").or(self.sets.first())
    }
}
