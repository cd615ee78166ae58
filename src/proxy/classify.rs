//! What a request asks for: CONNECT target, URI and Host must name one authority.

use http::header::HOST;
use http::request::Parts;

use super::arrival::Arrival;
use crate::model::{Code, Destination, HostPort, Path, Query, Refusal, Scheme, Target};

/// Reads the target of a request, or refuses: 400 where it is malformed, 421 where its parts
/// disagree.
pub(super) fn classify(arrival: &Arrival, parts: &Parts) -> Result<Target, Refusal> {
    // Policy decides on requests here; a tunnel within a tunnel would be neither read nor decided.
    if parts.method.as_str().eq_ignore_ascii_case("CONNECT") {
        return Err(invalid("a CONNECT inside a CONNECT is never passed on"));
    }
    let destination = match &arrival.tunnel {
        None => absolute(parts)?,
        Some(around) => inside(around, parts)?,
    };
    agree_with_host(&destination, parts)?;
    let path = match parts.uri.path() {
        "" => "/",
        path => path,
    };
    let path = Path::parse(path).map_err(|error| invalid(error.to_string()))?;
    Ok(Target { destination, method: parts.method.clone(), path, query: query(parts)? })
}

/// Reads the target of a CONNECT.
pub(super) fn classify_connect(parts: &Parts) -> Result<HostPort, Refusal> {
    let authority = parts.uri.authority().ok_or_else(|| invalid("CONNECT needs host:port"))?;
    let target = HostPort::parse(authority.as_str()).map_err(|error| invalid(error.to_string()))?;
    if target.port.is_none() {
        return Err(invalid("CONNECT needs a port"));
    }
    if let Some(host) = host_header(parts)?
        && (host.host != target.host || host.port.is_some_and(|port| Some(port) != target.port))
    {
        return Err(misdirected("the Host header names another authority than the CONNECT"));
    }
    Ok(target)
}

/// Outside a tunnel only absolute-form targets exist.
fn absolute(parts: &Parts) -> Result<Destination, Refusal> {
    let Some(scheme) = parts.uri.scheme_str() else {
        return Err(invalid("this is a proxy: the request needs an absolute http:// or https:// target"));
    };
    let scheme = Scheme::parse(scheme).ok_or_else(|| invalid("only http and https targets exist here"))?;
    Ok(authority(parts)?.ok_or_else(|| invalid("the target names no host"))?.with_scheme(scheme))
}

/// Inside one, whatever the request names must be what the CONNECT named.
fn inside(around: &Destination, parts: &Parts) -> Result<Destination, Refusal> {
    if let Some(scheme) = parts.uri.scheme_str()
        && Scheme::parse(scheme) != Some(around.scheme())
    {
        return Err(invalid("the target's scheme is not the one of the connection around it"));
    }
    if let Some(named) = authority(parts)?
        && !named.names(around)
    {
        return Err(misdirected("the target names another authority than the CONNECT around it"));
    }
    Ok(around.clone())
}

fn authority(parts: &Parts) -> Result<Option<HostPort>, Refusal> {
    let authority = parts.uri.authority().map(|authority| HostPort::parse(authority.as_str()));
    authority.transpose().map_err(|error| invalid(error.to_string()))
}

fn agree_with_host(destination: &Destination, parts: &Parts) -> Result<(), Refusal> {
    match host_header(parts)? {
        Some(host) if !host.names(destination) => {
            Err(misdirected("the Host header names another authority than the target"))
        }
        _ => Ok(()),
    }
}

fn host_header(parts: &Parts) -> Result<Option<HostPort>, Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(invalid("the request has more than one Host"));
    }
    let Some(first) = first else { return Ok(None) };
    let text = first.to_str().map_err(|_| invalid("the Host header is not a host"))?;
    HostPort::parse(text).map(Some).map_err(|error| invalid(format!("the Host header: {error}")))
}

fn query(parts: &Parts) -> Result<Option<Query>, Refusal> {
    match parts.uri.query() {
        None => Ok(None),
        // h2's parser lets more through than the head reader does.
        Some(query) if query.bytes().all(|b| (0x21..=0x7e).contains(&b)) => Ok(Some(Query::new(query))),
        Some(_) => Err(invalid("the query holds a byte that must be percent-encoded")),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidRequest, message)
}

fn misdirected(message: &str) -> Refusal {
    Refusal::new(Code::MisdirectedRequest, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::Agent;

    fn ask(tunnel: Option<&str>, method: &str, uri: &str, host: Option<&str>) -> Result<String, Code> {
        let tunnel = tunnel.map(|text| Arc::new(HostPort::parse(text).unwrap().with_scheme(Scheme::Https)));
        let arrival =
            Arrival { agent: Ok(Agent::hypothetical("a")), peer: None, tunnel, via: "test", line: Arc::default() };
        let mut request = http::Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        classify(&arrival, &parts).map(|target| format!("{}{}", target.destination, target.path)).map_err(|r| r.code())
    }

    #[test]
    fn one_authority() {
        let invalid = Err(Code::InvalidRequest);
        let misdirected = Err(Code::MisdirectedRequest);
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(ask(None, "GET", "http://A.example/x", Some("a.example")), ok("http://a.example/x"));
        assert_eq!(ask(None, "GET", "http://a.example:80", Some("a.example:80")), ok("http://a.example/"));
        assert_eq!(ask(None, "GET", "https://a.example/", Some("a.example")), ok("https://a.example/"));
        assert_eq!(ask(None, "GET", "http://a.example/", None), ok("http://a.example/"));
        assert_eq!(ask(None, "GET", "http://a.example/", Some("b.example")), misdirected);
        assert_eq!(ask(None, "GET", "http://a.example/", Some("a.example:8080")), misdirected);
        assert_eq!(ask(None, "GET", "http://u:p@a.example/", Some("a.example")), invalid);
        assert_eq!(ask(None, "GET", "ftp://a.example/", Some("a.example")), invalid);
        assert_eq!(ask(None, "GET", "/x", Some("a.example")), invalid);
        assert_eq!(ask(None, "GET", "http://127.1/", Some("127.1")), invalid);
        let tunnel = Some("a.example:443");
        assert_eq!(ask(tunnel, "GET", "/x", Some("a.example")), ok("https://a.example/x"));
        assert_eq!(ask(tunnel, "GET", "/x", Some("a.example:443")), ok("https://a.example/x"));
        assert_eq!(ask(tunnel, "GET", "/x", Some("b.example")), misdirected);
        assert_eq!(ask(tunnel, "GET", "https://b.example/x", Some("a.example")), misdirected);
        assert_eq!(ask(tunnel, "GET", "https://a.example/x", Some("b.example")), misdirected);
        assert_eq!(ask(tunnel, "GET", "http://a.example/x", Some("a.example")), invalid);
        assert_eq!(ask(tunnel, "GET", "/a/../b", Some("a.example")), invalid);
        assert_eq!(ask(tunnel, "OPTIONS", "*", Some("a.example")), invalid);
        assert_eq!(ask(tunnel, "CONNECT", "a.example:443", Some("a.example")), invalid);
        assert_eq!(ask(tunnel, "connect", "/x", Some("a.example")), invalid);
    }
}
