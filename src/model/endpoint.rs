use std::fmt;
use std::net::IpAddr;

use super::{Host, Scheme, Url, UrlError};

/// A URL that a provider names for calls of our own: its token endpoint, its user-info call, the
/// base of its API. What is in it is no secret.
///
/// It is kept as it was written. `https`, or `http` to this machine's own loopback, where a
/// provider is tried out.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndpointUrl {
    text: String,
    url: Url,
}

/// What makes a text no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// `http` to another machine.
    #[error("it must be https: only an address of this machine's loopback may be http")]
    Cleartext,
    /// More than anybody needs.
    #[error("it is longer than 2048 bytes")]
    TooLong,
    /// No URL.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl EndpointUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        if text.len() > 2048 {
            return Err(EndpointError::TooLong);
        }
        let url = Url::parse(text)?;
        if url.destination().scheme() == Scheme::Http && !is_this_machine(url.destination().host()) {
            return Err(EndpointError::Cleartext);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// The URL, as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address to call.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where it leads.
    pub fn host(&self) -> &Host {
        self.url.destination().host()
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Ip(IpAddr::V4(ip)) => ip.is_loopback(),
        Host::Ip(IpAddr::V6(ip)) => ip.is_loopback(),
        Host::Name(name) => &**name == "localhost",
    }
}

/// How a client says to a token endpoint who it is (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientAuth {
    /// `client_secret_basic`: in the `Authorization` header.
    Basic,
    /// `client_secret_post`: in the form.
    Post,
    /// A public client: its id alone.
    None,
}

impl ClientAuth {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Post => "post",
            Self::None => "none",
        }
    }

    /// Reads its word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Basic, Self::Post, Self::None].into_iter().find(|auth| auth.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_but_on_this_machine() {
        for good in [
            "https://idp.example/token",
            "https://idp.example:8443/token?tenant=a",
            "https://idp.example",
            "HTTPS://Idp.Example/T",
            "http://127.0.0.1:9000/token",
            "http://localhost/x",
            "http://[::1]:1/x",
        ] {
            let read = EndpointUrl::parse(good).unwrap();
            assert_eq!(read.as_str(), good);
        }
        assert_eq!(EndpointUrl::parse("https://Idp.Example:8443/t").unwrap().host().to_string(), "idp.example");
        for bad in [
            "",
            "idp.example/token",
            "/token",
            "ftp://idp.example/",
            "javascript:alert(1)",
            "http://idp.example/token",
            "http://127.0.0.1.example/",
            "https://user:pass@idp.example/",
            "https://idp.example/#x",
            "https:///token",
            "https://idp.example:0/",
            "https://idp.example/a b",
            "https://idp.example\\@evil.example/",
            "https://idp.example/\r\nx: y",
            &format!("https://idp.example/{}", "a".repeat(2048)),
        ] {
            assert!(EndpointUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_come_back() {
        for auth in [ClientAuth::Basic, ClientAuth::Post, ClientAuth::None] {
            assert_eq!(ClientAuth::parse(auth.as_str()), Some(auth));
        }
        assert_eq!(ClientAuth::parse("Basic"), None);
    }
}
