use std::fmt;
use std::sync::Arc;

/// The name of a permission set: `github/read@1`. What a version means never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetName {
    /// The provider.
    pub provider: Arc<str>,
    /// The set.
    pub set: Arc<str>,
    /// Its version: 1, 2, …
    pub version: u32,
}

/// What keeps a text from naming a permission set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetNameError {
    /// It has another form.
    #[error("{0:?} names no permission set: write PROVIDER/SET@VERSION, such as github/read@1")]
    Form(String),
    /// Without a version its meaning could change.
    #[error("{0:?} names no version: write {0}@1, since what a version allows never changes")]
    NoVersion(String),
    /// Nobody here knows the provider.
    #[error("no provider is called {name:?}: {advice}")]
    Provider {
        /// What was written.
        name: String,
        /// The nearest, or all of them.
        advice: String,
    },
    /// The provider has no such set.
    #[error("{provider} has no permission set {set}: it has {known}")]
    Set {
        /// The provider.
        provider: String,
        /// The set and the version.
        set: String,
        /// All of them.
        known: String,
    },
}

impl SetName {
    /// Reads a name, whether or not there is such a set.
    pub fn parse(text: &str) -> Result<Self, SetNameError> {
        let form = || SetNameError::Form(text.to_owned());
        let (provider, rest) = text.split_once('/').ok_or_else(form)?;
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let (set, version) = match rest.split_once('@') {
            Some((set, version)) => (set, version),
            None if word(provider) && word(rest) => return Err(SetNameError::NoVersion(text.to_owned())),
            None => return Err(form()),
        };
        let version = version.parse::<u32>().ok().filter(|number| *number > 0 && number.to_string() == version);
        match version {
            Some(version) if word(provider) && word(set) => {
                Ok(Self { provider: provider.into(), set: set.into(), version })
            }
            _ => Err(form()),
        }
    }

    /// The set and its version, without the provider.
    pub fn versioned(&self) -> String {
        format!("{}@{}", self.set, self.version)
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.provider, self.set, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_three_parts() {
        assert_eq!(SetName::parse("github/read@1").unwrap().to_string(), "github/read@1");
        for text in [
            "github",
            "github/",
            "/read@1",
            "github/read@",
            "github/read@0",
            "github/read@01",
            "GitHub/read@1",
            "github/read@1@2",
            "github/a/b@1",
            "github/read@x",
            "",
            "github/re ad@1",
        ] {
            assert!(matches!(SetName::parse(text), Err(SetNameError::Form(_))), "{text}");
        }
        let advice = SetName::parse("github/read").unwrap_err().to_string();
        assert!(advice.contains("write github/read@1"), "{advice}");
    }
}
