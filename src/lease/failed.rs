use super::LendError;
use crate::model::ConnectionName;

/// Why nothing came of a call to where credentials are, before it is known for which connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nothing is there.
    Missing,
    /// Worth another try.
    Unavailable(String),
    /// Somebody has to do something.
    Unusable(String),
}

impl Failed {
    /// The same of a connection.
    pub(super) fn of(self, name: &ConnectionName) -> LendError {
        let name = name.clone();
        match self {
            Self::Missing => LendError::NotFound(name),
            Self::Unavailable(why) => LendError::Unavailable { name, why },
            Self::Unusable(why) => LendError::Unusable { name, why },
        }
    }
}
