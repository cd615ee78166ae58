//! Who calls, as far as the frame must know it.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::model::Secret;

/// What a caller may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::authority) enum Role {
    Admin,
    Sidecar,
    Lease,
    App,
    Agent,
}

impl Role {
    pub(in crate::authority) const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Sidecar => "sidecar",
            Self::Lease => "lease",
            Self::App => "app",
            Self::Agent => "agent",
        }
    }
}

/// A caller that proved who it is. Only a [`Gate`] makes one.
#[derive(Clone, Debug)]
pub(in crate::authority) struct Principal {
    id: Arc<str>,
    role: Role,
}

impl Principal {
    pub(in crate::authority) fn new(id: &str, role: Role) -> Self {
        Self { id: id.into(), role }
    }

    /// Its name in limits and records.
    pub(in crate::authority) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(in crate::authority) fn role(&self) -> Role {
        self.role
    }
}

/// What a caller shows to prove who it is.
pub(in crate::authority) struct Presented {
    /// `Authorization: Bearer …` or `X-API-Key: …`.
    pub(in crate::authority) key: Option<Secret>,
    /// The certificate of its TLS connection, verified, as DER.
    pub(in crate::authority) certificate: Option<Arc<[u8]>>,
}

impl Presented {
    /// Collects it. Two different keys are as good as none: nobody could say which one counts.
    pub(super) fn of(headers: &HeaderMap, certificate: Option<&Arc<[u8]>>) -> Result<Self, NotAdmitted> {
        let mut keys = headers.get_all("x-api-key").iter().map(|value| value.as_bytes().trim_ascii());
        let mut bearers = headers.get_all(AUTHORIZATION).iter().map(|value| bearer(value.as_bytes()));
        let (key, bearer) = (keys.next(), bearers.next());
        if keys.next().is_some() || bearers.next().is_some() {
            return Err(NotAdmitted::Invalid);
        }
        let key = match (key, bearer) {
            (_, Some(None)) => return Err(NotAdmitted::Invalid),
            (Some(key), Some(Some(bearer))) if key != bearer => return Err(NotAdmitted::Invalid),
            (key, bearer) => bearer.flatten().or(key),
        };
        let certificate = certificate.cloned();
        if key.is_none() && certificate.is_none() {
            return Err(NotAdmitted::Missing);
        }
        Ok(Self { key: key.map(Secret::new), certificate })
    }
}

/// The token of `Bearer TOKEN`, the scheme in any case (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii()).filter(|token| !token.is_empty())
}

/// Why a caller is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::authority) enum NotAdmitted {
    /// It showed nothing.
    Missing,
    /// What it showed is no proof.
    Invalid,
    /// It could not be looked up; why is for the log.
    Unknown(String),
}

/// Settles who calls. It may block.
pub(in crate::authority) trait Gate: Send + Sync {
    fn admit(&self, presented: &Presented) -> Result<Principal, NotAdmitted>;
}

/// Lets nobody in.
pub(super) struct Closed;

impl Gate for Closed {
    fn admit(&self, _: &Presented) -> Result<Principal, NotAdmitted> {
        Err(NotAdmitted::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(given: &[(&'static str, &'static str)]) -> Result<String, NotAdmitted> {
        let headers = given.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let shown = Presented::of(&headers, None)?;
        Ok(shown.key.map(|key| key.expose_str().unwrap().to_owned()).unwrap_or_default())
    }

    #[test]
    fn a_key_comes_in_either_header() {
        for given in [
            &[("authorization", "Bearer k")][..],
            &[("authorization", "bEARER   k ")],
            &[("x-api-key", " k ")],
            &[("x-api-key", "k"), ("authorization", "Bearer k")],
        ] {
            assert_eq!(presented(given).as_deref(), Ok("k"), "{given:?}");
        }
        assert_eq!(presented(&[]), Err(NotAdmitted::Missing));
    }

    #[test]
    fn what_is_ambiguous_or_of_another_scheme_is_no_proof() {
        for given in [
            &[("x-api-key", "k"), ("authorization", "Bearer j")][..],
            &[("x-api-key", "k"), ("x-api-key", "k")],
            &[("authorization", "Bearer k"), ("authorization", "Bearer k")],
            &[("authorization", "Basic aTpr")],
            &[("authorization", "Bearer ")],
            &[("authorization", "k")],
        ] {
            assert_eq!(presented(given), Err(NotAdmitted::Invalid), "{given:?}");
        }
    }

    #[test]
    fn a_certificate_is_enough() {
        let certificate: Arc<[u8]> = Arc::from(&b"der"[..]);
        assert!(Presented::of(&HeaderMap::new(), Some(&certificate)).is_ok_and(|shown| shown.key.is_none()));
    }
}
