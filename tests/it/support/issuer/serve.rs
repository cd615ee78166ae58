//! What an issuer answers.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{Rules, Seen, Shared, Stale, Turn};

pub(super) async fn accept(
    listener: tokio::net::TcpListener,
    config: Option<Arc<rustls::ServerConfig>>,
    shared: Arc<Shared>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    let acceptor = config.map(TlsAcceptor::from);
    while let Ok((stream, _)) = listener.accept().await {
        while tasks.try_join_next().is_some() {}
        let _ = stream.set_nodelay(true);
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        tasks.spawn(async move {
            match acceptor {
                None => serve(stream, shared).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("lost")]
struct Lost;

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Lost> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
    let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let form = form_of(&body);
    let seen = Seen { at: Instant::now(), method: parts.method.clone(), target, headers: parts.headers, form, body };
    shared.lock().seen.push(seen.clone());
    shared.announce();
    let response = match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/token") => token(&seen, &shared).await?,
        (&Method::POST, "/revoke") => revoke(&seen, &shared),
        (&Method::GET, "/resource" | "/userinfo") => resource(&seen, &shared),
        _ => reply(404, "", "{}"),
    };
    shared.announce();
    Ok(response)
}

async fn token(seen: &Seen, shared: &Shared) -> Result<Response<Full<Bytes>>, Lost> {
    let mut released = shared.released.subscribe();
    let asked = seen.field("refresh_token").map(ToOwned::to_owned);
    let family = asked.as_ref().and_then(|token| shared.lock().refresh.get(token).copied());
    let turn = shared.lock().turn(family);
    let _under_way = family.map(|family| UnderWay::start(shared, family));
    match turn {
        Turn::Fail { status, headers, body } => return Ok(reply(status, &headers, &body)),
        Turn::Garbage => return Ok(reply(200, "content-type: application/json\r\n", "{\"access_token\": <html>")),
        Turn::Hang => std::future::pending().await,
        Turn::Delay(time) => tokio::time::sleep(time).await,
        Turn::Hold => released.changed().await.map_err(|_| Lost)?,
        Turn::Plain | Turn::HoldAnswer | Turn::Lose | Turn::NoRefreshToken => {}
    }
    let response = refreshed(seen, asked.as_deref(), matches!(turn, Turn::NoRefreshToken), shared);
    match turn {
        Turn::HoldAnswer => {
            shared.announce();
            released.changed().await.map_err(|_| Lost)?;
        }
        Turn::Lose => {
            shared.announce();
            return Err(Lost);
        }
        _ => {}
    }
    Ok(response)
}

/// Counts a call until it ends, however it ends.
struct UnderWay<'a>(&'a Shared, usize);

impl<'a> UnderWay<'a> {
    fn start(shared: &'a Shared, family: usize) -> Self {
        let mut state = shared.lock();
        let of = &mut state.families[family];
        of.under_way += 1;
        of.most_at_once = of.most_at_once.max(of.under_way);
        drop(state);
        shared.announce();
        Self(shared, family)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().families[self.1].under_way -= 1;
        self.0.announce();
    }
}

fn refreshed(seen: &Seen, asked: Option<&str>, quiet: bool, shared: &Shared) -> Response<Full<Bytes>> {
    let rules = &shared.rules;
    if !is_the_client(seen, rules) {
        return reply(401, "www-authenticate: Basic realm=\"issuer\"\r\n", r#"{"error":"invalid_client"}"#);
    }
    if seen.field("grant_type") != Some("refresh_token") {
        return reply(400, "", r#"{"error":"unsupported_grant_type"}"#);
    }
    let mut state = shared.lock();
    let Some(asked) = asked else { return reply(400, "", r#"{"error":"invalid_request"}"#) };
    let Some(family) = state.refresh.get(asked).copied() else {
        return reply(400, "", r#"{"error":"invalid_grant"}"#);
    };
    if state.families[family].refresh_token != asked {
        state.reuses.push(family);
        state.end(family);
    }
    if state.families[family].ended.is_some() {
        return reply(400, "", r#"{"error":"invalid_grant"}"#);
    }
    state.families[family].refreshes += 1;
    let (access_token, _) = state.access_for(family, rules.lifetime, rules);
    let mut answer = serde_json::json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": rules.lifetime.as_secs(),
        "scope": "read",
    });
    if rules.rotates && !quiet {
        let next = state.make("rt", rules);
        state.refresh.insert(next.clone(), family);
        state.families[family].refresh_token.clone_from(&next);
        answer["refresh_token"] = next.into();
    }
    reply(200, "content-type: application/json\r\ncache-control: no-store\r\n", &answer.to_string())
}

fn revoke(seen: &Seen, shared: &Shared) -> Response<Full<Bytes>> {
    if !is_the_client(seen, &shared.rules) {
        return reply(401, "", r#"{"error":"invalid_client"}"#);
    }
    let mut state = shared.lock();
    let token = seen.field("token").unwrap_or_default();
    if let Some(family) = state.refresh.get(token).copied() {
        state.end(family);
    } else if let Some(access) = state.access.get_mut(token) {
        access.revoked.get_or_insert_with(Instant::now);
    }
    reply(200, "", "")
}

fn resource(seen: &Seen, shared: &Shared) -> Response<Full<Bytes>> {
    let bearer = seen.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let mut state = shared.lock();
    let now = Instant::now();
    let refused = reply(401, "www-authenticate: Bearer error=\"invalid_token\"\r\n", r#"{"error":"invalid_token"}"#);
    let Some(access) = state.access.get(token) else { return refused };
    let family = access.family;
    let stale = match (access.revoked, access.ends) {
        (Some(at), _) => Some(Stale { family, late: now.duration_since(at), revoked: true }),
        (None, ends) if ends <= now => Some(Stale { family, late: now - ends, revoked: false }),
        _ => None,
    };
    match stale {
        Some(stale) => {
            state.stale.push(stale);
            refused
        }
        None => reply(200, "content-type: application/json\r\n", &format!(r#"{{"sub":"user-{family}"}}"#)),
    }
}

/// Basic with both parts form-encoded (RFC 6749, section 2.3.1), or both in the body.
fn is_the_client(seen: &Seen, rules: &Rules) -> bool {
    let basic = seen.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (id, secret) = match basic.and_then(|value| value.strip_prefix("Basic ")) {
        Some(pair) => {
            let pair = base64::engine::general_purpose::STANDARD.decode(pair).unwrap_or_default();
            let pair = String::from_utf8_lossy(&pair).into_owned();
            let (id, secret) = pair.split_once(':').unwrap_or((&pair, ""));
            (decode(id), Some(decode(secret)))
        }
        None => {
            (seen.field("client_id").unwrap_or_default().to_owned(), seen.field("client_secret").map(ToOwned::to_owned))
        }
    };
    id == rules.client_id && secret == rules.client_secret
}

fn form_of(body: &[u8]) -> Vec<(String, String)> {
    let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], escaped) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn reply(status: u16, headers: &str, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
        let (name, value) = (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        response.headers_mut().append(name, value);
    }
    response
}
