use std::fmt;

use http::uri::PathAndQuery;

use super::{Destination, DestinationError, HostPort, Path, PathError, Scheme};

/// An address of something that we call ourselves, such as a token endpoint: a destination, a
/// path and perhaps a query, each checked, the path's and the query's bytes as they were written.
///
/// It prints as its destination alone: paths and queries of such addresses can hold secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    destination: Destination,
    target: PathAndQuery,
}

/// What makes a text no address that we call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `http://…` or `https://…`.
    #[error("it does not start with https:// or http://")]
    Scheme,
    /// What stands between the slashes.
    #[error(transparent)]
    Authority(#[from] DestinationError),
    /// What follows the host.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A blank, a control byte, or one that is not ASCII, behind the `?`.
    #[error("the query holds a byte that must be percent-encoded")]
    Query,
    /// `#…` is never sent, and an endpoint has none (RFC 6749, section 3.2).
    #[error("it has a fragment")]
    Fragment,
}

impl Url {
    /// Reads `https://host[:port][/path][?query]`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = Scheme::parse(scheme).ok_or(UrlError::Scheme)?;
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let destination = HostPort::parse(authority)?.with_scheme(scheme);
        Ok(Self { destination, target: read_target(target)? })
    }

    /// Another path and query, such as `/v1/token?x=1`, at the same destination.
    pub fn at(&self, target: &str) -> Result<Self, UrlError> {
        Ok(Self { destination: self.destination.clone(), target: read_target(target)? })
    }

    /// Where it is.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What to ask for there.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

fn read_target(text: &str) -> Result<PathAndQuery, UrlError> {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    Path::parse(path)?;
    let whole = match query {
        Some(query) if !query.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte)) => {
            return Err(UrlError::Query);
        }
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(whole).map_err(|_| UrlError::Query)
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.destination, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_bytes_behind_the_host() {
        for (text, destination, target) in [
            ("https://A.Example", "https://a.example", "/"),
            ("HTTPS://a.example:443/t%2fx/~y", "https://a.example", "/t%2fx/~y"),
            ("http://a.example:8080?x=1&y=%20", "http://a.example:8080", "/?x=1&y=%20"),
            ("https://[::1]:8443/t?u=https://b/@", "https://[::1]:8443", "/t?u=https://b/@"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.destination().to_string().as_str(), url.target().as_str()),
                (destination, target),
                "{text}"
            );
        }
        let url = Url::parse("https://a.example/old?x").unwrap().at("/new").unwrap();
        assert_eq!((url.destination().to_string().as_str(), url.target().as_str()), ("https://a.example", "/new"));
    }

    #[test]
    fn what_could_be_read_twice_is_refused() {
        for text in [
            "",
            "a.example/t",
            "//a.example/t",
            "ftp://a.example/",
            "https:/a.example",
            "https://",
            "https:///t",
            "https://user:pass@a.example/t",
            "https://a.example\\@b.example/t",
            "https://a.example/t#f",
            "https://a.example#f",
            "https://a.example:0/",
            "https://a.example/a/../t",
            "https://a.example/a b",
            "https://a.example/\r\nx: y",
            "https://a.example/t?a b",
            "https://a.example/t?a\r\nx: y",
            "https://a.example/t?é",
            " https://a.example/t",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
        assert!(Url::parse("https://a.example").unwrap().at("b.example/t").is_err());
    }

    #[test]
    fn it_prints_its_destination_alone() {
        let url = Url::parse("https://hooks.example/services/sekret?key=sekret").unwrap();
        assert_eq!(format!("{url:?}"), "https://hooks.example");
    }
}
