//! The issuer that the tests of refreshing stand on does what it says.

use std::sync::Arc;
use std::time::Duration;

use crate::support::issuer::{Issuer, Rules, Turn};
use crate::support::{Pki, pki};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;

const CLIENT: &str = "client_id=client&client_secret=client-secret";

async fn send(issuer: &Issuer, request: Request<Full<Bytes>>) -> Result<(StatusCode, serde_json::Value), hyper::Error> {
    let stream = TcpStream::connect(issuer.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

fn post(path: &str, form: String) -> Request<Full<Bytes>> {
    Request::post(path).header("host", "issuer").body(Full::new(form.into())).unwrap()
}

async fn refresh(issuer: &Issuer, token: &str) -> Result<(StatusCode, serde_json::Value), hyper::Error> {
    send(issuer, post("/token", format!("grant_type=refresh_token&refresh_token={token}&{CLIENT}"))).await
}

async fn resource(issuer: &Issuer, token: &str) -> u16 {
    let request = Request::get("/resource").header("host", "issuer").header("authorization", format!("Bearer {token}"));
    send(issuer, request.body(Full::default()).unwrap()).await.unwrap().0.as_u16()
}

#[tokio::test]
async fn refresh_tokens_follow_one_another_and_a_reuse_ends_the_family() {
    let issuer = Issuer::plain(Rules::default());
    let (first, other) = (issuer.consent(), issuer.consent());
    assert_eq!(resource(&issuer, &first.access_token).await, 200);
    let (status, answer) = refresh(&issuer, &first.refresh_token).await.unwrap();
    let second = answer["refresh_token"].as_str().unwrap();
    assert_eq!((status.as_u16(), answer["expires_in"].as_u64()), (200, Some(3600)));
    assert_ne!(second, first.refresh_token);
    assert_eq!((issuer.refreshes(first.family), issuer.refreshes(other.family)), (1, 0));
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!((resource(&issuer, access).await, issuer.family_of(access)), (200, Some(first.family)));

    let (status, answer) = refresh(&issuer, &first.refresh_token).await.unwrap();
    assert_eq!((status.as_u16(), answer["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!((issuer.reuses(), issuer.is_over(first.family)), (vec![first.family], true));
    assert_eq!(refresh(&issuer, second).await.unwrap().0, 400);
    assert_eq!(resource(&issuer, access).await, 401);
    assert!(issuer.stale_uses()[0].revoked);
    assert_eq!(resource(&issuer, &other.access_token).await, 200);
    assert_eq!(issuer.requests_at("/token")[0].field("refresh_token"), Some(first.refresh_token.as_str()));
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let issuer = Issuer::plain(Rules::default());
    let consent = issuer.consent();
    issuer.next(Turn::error(400, "invalid_grant"));
    issuer.next_of(consent.family, Turn::fail(503, "retry-after: 7\r\n", ""));
    issuer.next(Turn::Garbage);
    for want in [(503, false), (400, true), (200, false)] {
        let (status, answer) = refresh(&issuer, &consent.refresh_token).await.unwrap();
        assert_eq!((status.as_u16(), answer["error"].is_string()), want);
    }
    assert_eq!(issuer.refreshes(consent.family), 0);
    issuer.next(Turn::NoRefreshToken);
    let (_, answer) = refresh(&issuer, &consent.refresh_token).await.unwrap();
    assert!(answer["access_token"].is_string() && answer.get("refresh_token").is_none());
    issuer.next(Turn::Lose);
    assert!(refresh(&issuer, &consent.refresh_token).await.is_err());
    assert_eq!(issuer.refreshes(consent.family), 2);
    assert_ne!(issuer.refresh_token(consent.family), consent.refresh_token);
}

#[tokio::test]
async fn what_is_held_waits_and_is_counted() {
    let issuer = Arc::new(Issuer::plain(Rules::default()));
    let consent = issuer.consent();
    for turn in [Turn::Hold, Turn::HoldAnswer] {
        let before = issuer.refreshes(consent.family);
        let changes = matches!(turn, Turn::HoldAnswer);
        issuer.next(turn);
        let token = issuer.refresh_token(consent.family);
        let asking = tokio::spawn({
            let issuer = Arc::clone(&issuer);
            async move { refresh(&issuer, &token).await.unwrap().0 }
        });
        issuer
            .until("a call under way", |issuer| {
                issuer.under_way(consent.family) == 1
                    && issuer.refreshes(consent.family) == before + usize::from(changes)
            })
            .await;
        issuer.release();
        assert_eq!(asking.await.unwrap(), 200);
        assert_eq!(issuer.refreshes(consent.family), before + 1);
    }
    assert_eq!(issuer.most_at_once(consent.family), 1);
}

#[tokio::test]
async fn an_access_token_that_has_expired_or_is_revoked_is_refused_and_counted() {
    let issuer = Issuer::plain(Rules::default());
    let over = issuer.consent_for(Duration::ZERO);
    assert_eq!(resource(&issuer, &over.access_token).await, 401);
    let (alone, whole) = (issuer.consent(), issuer.consent());
    for token in [&alone.access_token, &whole.refresh_token] {
        assert_eq!(send(&issuer, post("/revoke", format!("token={token}&{CLIENT}"))).await.unwrap().0, 200);
    }
    assert_eq!(send(&issuer, post("/revoke", format!("token={}", over.refresh_token))).await.unwrap().0, 401);
    assert_eq!(resource(&issuer, &alone.access_token).await, 401);
    assert_eq!(resource(&issuer, &whole.access_token).await, 401);
    assert_eq!(resource(&issuer, "nobody's").await, 401);
    let stale: Vec<_> = issuer.stale_uses().iter().map(|use_| (use_.family, use_.revoked)).collect();
    assert_eq!(stale, [(over.family, false), (alone.family, true), (whole.family, true)]);
    assert!(!issuer.is_over(alone.family) && issuer.is_over(whole.family) && !issuer.is_over(over.family));
}

#[test]
fn it_needs_no_runtime_of_the_tests() {
    let pki = Pki::new();
    let issuer = Issuer::tls(Rules::default(), pki.server(&["issuer.test"], &[b"http/1.1"]));
    assert!(issuer.url_as("issuer.test", "/token").starts_with("https://issuer.test:"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(pki.pem.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(pki::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "issuer.test".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = std::net::TcpStream::connect(issuer.address()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    std::io::Write::write_all(&mut stream, b"GET /userinfo HTTP/1.1\r\nhost: issuer.test\r\n\r\n").unwrap();
    let mut head = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 401");
    issuer.wait_until("the request", |issuer| issuer.requests_at("/userinfo").len() == 1);
}
