mod revocation;

use std::error::Error;
use std::fmt::Write as _;

use super::*;
use crate::authority::issuer::{Issuer, Rules, Turn};
use crate::dial::for_tests::{Does, LONG, Peer, plain_dialer};
use crate::dial::{CallError, DialError};
use crate::telemetry::TestClock;

const REFRESH: &str = "rt-canary-8d1f";
const ACCESS: &str = "at-canary-77aa";
const SECRET: &str = "cs-canary-42 %:+é";

/// 2026-05-05 10:13:20 UTC.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_777_976_000)
}

fn client(networks: &[&str]) -> TokenClient {
    let networks: Vec<_> = networks.iter().map(|net| net.parse().unwrap()).collect();
    let caller = Caller::for_data(plain_dialer(), networks.into()).in_cleartext_too().within(LONG);
    TokenClient::new(caller, Arc::new(TestClock::at(now())))
}

fn local() -> TokenClient {
    client(&["127.0.0.0/8"])
}

fn endpoint(url: Url, auth: ClientAuth) -> TokenEndpoint {
    TokenEndpoint {
        revocation_url: Some(url.at("/revoke").unwrap()),
        url,
        client_id: "id:1 é".to_owned(),
        client_secret: Some(Secret::new(SECRET)),
        auth,
        scopes: Vec::new(),
    }
}

async fn refreshed(does: Does) -> Result<Tokens, RefreshError> {
    let peer = Peer::start(vec![vec![does]]).await;
    local().refresh(&endpoint(peer.url("/token"), ClientAuth::Post), &Secret::new(REFRESH)).await
}

async fn revoked(does: Does) -> Result<(), RevokeError> {
    let peer = Peer::start(vec![vec![does]]).await;
    local().revoke(&endpoint(peer.url("/token"), ClientAuth::Post), &Secret::new(REFRESH), TokenHint::Refresh).await
}

fn good() -> Does {
    Does::answer(200, "", r#"{"access_token":"at","token_type":"Bearer"}"#)
}

/// The error and all that it comes from, as a log and as a debugger show them.
fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error:?}");
    let mut next = Some(error);
    while let Some(error) = next {
        write!(text, " / {error}").unwrap();
        next = error.source();
    }
    text
}

fn lines(request: &str) -> (Vec<String>, String) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().map(ToOwned::to_owned).collect();
    lines[1..].sort_unstable();
    (lines, body.to_owned())
}

#[tokio::test]
async fn a_client_proves_itself_as_it_is_told() {
    let basic = "authorization: Basic aWQlM0ExKyVDMyVBOTpjcy1jYW5hcnktNDIrJTI1JTNBJTJCJUMzJUE5";
    for (auth, authorization, body) in [
        (ClientAuth::Basic, Some(basic), "grant_type=refresh_token&refresh_token=rt-canary-8d1f&scope=read+a%3Ab"),
        (
            ClientAuth::Post,
            None,
            "grant_type=refresh_token&refresh_token=rt-canary-8d1f&scope=read+a%3Ab&client_id=id%3A1+%C3%A9\
             &client_secret=cs-canary-42+%25%3A%2B%C3%A9",
        ),
        (
            ClientAuth::Public,
            None,
            "grant_type=refresh_token&refresh_token=rt-canary-8d1f&scope=read+a%3Ab&client_id=id%3A1+%C3%A9",
        ),
    ] {
        let mut peer = Peer::start(vec![vec![good()]]).await;
        let mut endpoint = endpoint(peer.url("/token?tenant=1"), auth);
        endpoint.scopes = vec!["read".to_owned(), "a:b".to_owned()];
        local().refresh(&endpoint, &Secret::new(REFRESH)).await.unwrap();
        let (head, sent) = lines(&peer.hears().await);
        let mut want = vec![
            "accept: application/json".to_owned(),
            format!("content-length: {}", body.len()),
            "content-type: application/x-www-form-urlencoded".to_owned(),
            format!("host: {}", peer.authority()),
            concat!("user-agent: nexus-sidecar/", env!("CARGO_PKG_VERSION")).to_owned(),
        ];
        want.extend(authorization.map(ToOwned::to_owned));
        want.sort_unstable();
        want.insert(0, "POST /token?tenant=1 HTTP/1.1".to_owned());
        assert_eq!((head, sent.as_str()), (want, body), "{auth:?}");
    }
}

#[tokio::test]
async fn what_an_endpoint_gives_is_taken_and_the_rest_dropped() {
    let tokens = refreshed(Does::answer(
        200,
        "content-type: text/plain\r\n",
        r#"{"access_token":"at-canary-77aa","refresh_token":"rt-2","token_type":"bearer","scope":"a b",
           "expires_in":"60","expires_at":1777976030,"id_token":"idt","authed_user":{"access_token":"other"}}"#,
    ));
    let tokens = tokens.await.unwrap();
    assert_eq!(tokens.access_token.expose(), ACCESS.as_bytes());
    assert_eq!(tokens.refresh_token.as_ref().unwrap().expose(), b"rt-2");
    assert_eq!((tokens.token_type.as_deref(), tokens.scope.as_deref()), (Some("bearer"), Some("a b")));
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(60)));
    assert_eq!(tokens.expires_at, Some(now() + Duration::from_secs(30)));
    let shown = format!("{tokens:?}");
    assert!(!shown.contains("canary") && !shown.contains("rt-2"), "{shown}");

    // No new refresh token: the old one is the caller's to keep.
    for absent in ["", r#","refresh_token":null"#, r#","refresh_token":"""#, r#","refresh_token":7"#] {
        let tokens = refreshed(Does::answer(201, "", &format!(r#"{{"access_token":"at"{absent}}}"#))).await.unwrap();
        assert!(tokens.refresh_token.is_none() && tokens.expires_at.is_none(), "{absent}");
    }
}

/// What is to be done, in a word.
fn verdict(result: &Result<Tokens, RefreshError>) -> String {
    let name = |code: &Option<ErrorCode>| code.as_ref().map_or("-".to_owned(), ToString::to_string);
    match result {
        Ok(_) => "tokens".to_owned(),
        Err(RefreshError::Refused { code, .. }) => format!("refused {}", name(code)),
        Err(RefreshError::Misconfigured { code, .. }) => format!("misconfigured {}", name(code)),
        Err(RefreshError::Unsendable { what }) => format!("unsendable {what}"),
        Err(RefreshError::Later { why, .. }) => match why {
            Why::NoAnswer(_) => "later no answer".to_owned(),
            Why::Status(_) => "later status".to_owned(),
            Why::Code { code, .. } => format!("later {code}"),
            Why::NotJson(_) => "later no json".to_owned(),
            Why::NoToken(_) => "later no token".to_owned(),
        },
    }
}

#[tokio::test]
async fn a_refused_token_is_told_from_a_misconfiguration_and_from_bad_weather() {
    for (status, body, want) in [
        (400, r#"{"error":"invalid_grant"}"#, "refused invalid_grant"),
        (400, r#"{"error":"invalid_grant","error_description":"rt-canary-8d1f"}"#, "refused invalid_grant"),
        (401, r#"{"error":"invalid_grant"}"#, "refused invalid_grant"),
        (403, r#"{"error":"access_denied"}"#, "refused access_denied"),
        (400, r#"{"error":"consent_required"}"#, "refused consent_required"),
        (400, r#"{"error":"rt-canary-8d1f"}"#, "refused -"),
        (400, r#"{"error":{"code":400}}"#, "refused -"),
        (400, "{}", "refused -"),
        // GitHub and Slack say no with 200.
        (200, r#"{"error":"bad_refresh_token"}"#, "refused bad_refresh_token"),
        (200, r#"{"access_token":"at","error":"bad_refresh_token"}"#, "refused bad_refresh_token"),
        (200, r#"{"access_token":"at","error":{"x":1}}"#, "refused -"),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#, "refused invalid_refresh_token"),
        (200, r#"{"ok":false,"access_token":"at"}"#, "refused -"),
        (200, r#"{"success":false,"access_token":"at"}"#, "refused -"),
        (200, r#"{"ok":true,"access_token":"at","error":""}"#, "tokens"),
        (200, r#"{"access_token":"at","error":null}"#, "tokens"),
        // About us.
        (401, r#"{"error":"invalid_client"}"#, "misconfigured invalid_client"),
        (400, r#"{"error":"unauthorized_client"}"#, "misconfigured unauthorized_client"),
        (400, r#"{"error":"unsupported_grant_type"}"#, "misconfigured unsupported_grant_type"),
        (400, r#"{"error":"invalid_request"}"#, "misconfigured invalid_request"),
        (400, r#"{"error":"invalid_scope"}"#, "misconfigured invalid_scope"),
        (200, r#"{"error":"incorrect_client_credentials"}"#, "misconfigured incorrect_client_credentials"),
        (401, "{}", "misconfigured -"),
        (404, r#"{"message":"Not Found"}"#, "misconfigured -"),
        (405, "{}", "misconfigured -"),
        // Bad weather.
        (408, r#"{"error":"invalid_grant"}"#, "later invalid_grant"),
        (425, "{}", "later status"),
        (429, r#"{"error":"invalid_grant"}"#, "later invalid_grant"),
        (429, "slow", "later status"),
        (500, r#"{"error":"invalid_grant"}"#, "later invalid_grant"),
        (502, "<html>", "later status"),
        (503, "", "later status"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "later temporarily_unavailable"),
        (200, r#"{"ok":false,"error":"ratelimited"}"#, "later ratelimited"),
        (400, "<html>bad</html>", "later status"),
        (401, "", "later status"),
        (403, "blocked by the firewall", "later status"),
        (404, "<html>", "later status"),
        (301, r#"{"access_token":"at"}"#, "later status"),
        (304, "", "later status"),
        // No success.
        (200, "", "later no json"),
        (200, "<html>", "later no json"),
        (200, "null", "later no json"),
        (200, "[]", "later no json"),
        (200, r#""at""#, "later no json"),
        (200, r#"{"access_token":"at"} x"#, "later no json"),
        (200, r#"{"access_token":"at","access_token":"at2"}"#, "later no json"),
        (200, "access_token=at&token_type=bearer", "later no json"),
        (204, "", "later no json"),
        (200, "{}", "later no token"),
        (200, r#"{"access_token":""}"#, "later no token"),
        (200, r#"{"access_token":7}"#, "later no token"),
        (200, r#"{"access_token":null,"refresh_token":"rt"}"#, "later no token"),
        (200, r#"{"access_token":"a\nb"}"#, "later no token"),
        (200, r#"{"access_token":"aé"}"#, "later no token"),
        (200, r#"{"access_token":" at"}"#, "later no token"),
    ] {
        let result = refreshed(Does::answer(status, "", body)).await;
        assert_eq!(verdict(&result), want, "{status} {body}");
        if let Err(error) = result {
            let shown = chain(&error);
            assert!(!shown.contains("canary") && !shown.contains("html") && !shown.contains("firewall"), "{shown}");
        }
    }
    assert_eq!(verdict(&refreshed(Does::HangUp).await), "later no answer");
    assert_eq!(verdict(&refreshed(Does::Say("canary".to_owned())).await), "later no answer");
}

#[tokio::test]
async fn the_patience_that_an_endpoint_asks_for_is_passed_on() {
    for (status, header, want) in [
        (429, "retry-after: 7\r\n", Some(7)),
        (503, "retry-after: Tue, 05 May 2026 10:14:20 GMT\r\n", Some(60)),
        (503, "", None),
        (200, "retry-after: 3\r\n", Some(3)),
    ] {
        match refreshed(Does::answer(status, header, "")).await {
            Err(RefreshError::Later { after, .. }) => assert_eq!(after.map(|after| after.as_secs()), want, "{header}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_redirect_takes_no_secret_along() {
    for status in [301, 302, 303, 307, 308] {
        let mut other = Peer::start(vec![vec![good()]]).await;
        let location = format!("location: http://{}/token\r\n", other.authority());
        let result = refreshed(Does::answer(status, &location, "")).await;
        assert_eq!(verdict(&result), "later status", "{status}");
        assert_eq!(other.connections(), 0);
        // The other one does answer who asks it.
        local().refresh(&endpoint(other.url("/token"), ClientAuth::Post), &Secret::new(REFRESH)).await.unwrap();
        assert!(other.hears().await.contains(REFRESH));
    }
}

#[tokio::test]
async fn an_endpoint_at_a_private_address_is_not_called_unless_it_is_listed() {
    let peer = Peer::start(vec![vec![good()]]).await;
    let endpoint_at = |url: Url| endpoint(url, ClientAuth::Post);
    for networks in [&[][..], &["10.0.0.0/8"]] {
        let result = client(networks).refresh(&endpoint_at(peer.url("/token")), &Secret::new(REFRESH)).await;
        let Err(RefreshError::Later { why: Why::NoAnswer(CallError::Dial(error)), .. }) = result else {
            panic!("{result:?}")
        };
        assert!(matches!(error, DialError::NotListed { .. }), "{error:?}");
    }
    let meta = Url::parse("http://meta.test/token").unwrap();
    let wide = client(&["169.254.0.0/16", "127.0.0.0/8"]);
    assert!(wide.refresh(&endpoint_at(meta), &Secret::new(REFRESH)).await.is_err());
    assert_eq!(peer.connections(), 0);
    wide.refresh(&endpoint_at(peer.url("/token")), &Secret::new(REFRESH)).await.unwrap();
}

fn at(issuer: &Issuer, auth: ClientAuth) -> TokenEndpoint {
    TokenEndpoint {
        url: Url::parse(&issuer.url_as("api.test", "/token")).unwrap(),
        revocation_url: Some(Url::parse(&issuer.url_as("api.test", "/revoke")).unwrap()),
        client_id: "id:1 é".to_owned(),
        client_secret: (auth != ClientAuth::Public).then(|| Secret::new(SECRET)),
        auth,
        scopes: Vec::new(),
    }
}

#[tokio::test]
async fn an_issuer_that_reads_by_the_book_understands_every_authentication() {
    for auth in [ClientAuth::Basic, ClientAuth::Post, ClientAuth::Public] {
        let client_secret = (auth != ClientAuth::Public).then(|| SECRET.to_owned());
        let issuer = Issuer::plain(Rules { client_id: "id:1 é".to_owned(), client_secret, ..Rules::default() });
        let consent = issuer.consent();
        let endpoint = at(&issuer, auth);
        let first = Secret::new(consent.refresh_token);
        let tokens = local().refresh(&endpoint, &first).await.unwrap();
        assert_eq!(tokens.expires_at, Some(now() + Duration::from_secs(3600)));
        let second = tokens.refresh_token.unwrap();
        assert_eq!(issuer.refresh_token(consent.family).as_bytes(), second.expose());

        issuer.next(Turn::NoRefreshToken);
        assert!(local().refresh(&endpoint, &second).await.unwrap().refresh_token.is_none());
        local().refresh(&endpoint, &second).await.unwrap();
        assert_eq!((issuer.refreshes(consent.family), issuer.reuses()), (3, vec![]));

        let reused = local().refresh(&endpoint, &first).await;
        assert_eq!(verdict(&reused), "refused invalid_grant");
        assert_eq!(issuer.reuses(), [consent.family]);

        let other = issuer.consent();
        local().revoke(&endpoint, &Secret::new(other.refresh_token), TokenHint::Refresh).await.unwrap();
        assert!(issuer.is_over(other.family));
        local().revoke(&endpoint, &Secret::new("never seen"), TokenHint::Access).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_or_late_is_no_refusal() {
    let issuer = Issuer::plain(Rules {
        client_id: "id:1 é".to_owned(),
        client_secret: Some(SECRET.to_owned()),
        ..Rules::default()
    });
    let (consent, endpoint) = (issuer.consent(), at(&issuer, ClientAuth::Basic));
    let token = Secret::new(consent.refresh_token);
    issuer.next(Turn::Lose);
    assert_eq!(verdict(&local().refresh(&endpoint, &token).await), "later no answer");
    issuer.next(Turn::Hang);
    let networks: Arc<[_]> = ["127.0.0.0/8".parse().unwrap()].into();
    let hasty = Caller::for_data(plain_dialer(), networks).in_cleartext_too().within(Duration::from_millis(200));
    let hasty = TokenClient::new(hasty, Arc::new(TestClock::at(now())));
    assert_eq!(verdict(&hasty.refresh(&endpoint, &token).await), "later no answer");
    issuer.until("that the one who left is noticed", |issuer| issuer.under_way(consent.family) == 0).await;
}

/// Bodies that an endpoint could send to have its own words, or ours, told on.
fn body() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::{Just, Strategy as _, any, prop_oneof};
    let value = prop_oneof![
        Just(r#""canary""#.to_owned()),
        Just(r#"{"error":"canary"}"#.to_owned()),
        Just(r#"["canary"]"#.to_owned()),
        Just("null".to_owned()),
        Just("false".to_owned()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        any::<i64>().prop_map(|number| number.to_string()),
        "canary[A-Z0-9-]{1,12}".prop_map(|text| format!("{text:?}")),
        "\\PC{0,12}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    let names = ["access_token", "refresh_token", "expires_in", "expires_at", "expiry", "error", "ok", "canary"];
    let field = (proptest::sample::select(names.to_vec()), value);
    let object = proptest::collection::vec(field, 0..6).prop_map(|fields| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", fields.join(","))
    });
    prop_oneof![4 => object, 1 => any::<String>().prop_map(|text| text + "canary")]
}

proptest::proptest! {
    #[test]
    fn no_answer_makes_it_stumble_or_tell(status in 200_u16..600, body in body(), after in "\\PC{0,40}") {
        let sent = [Secret::new("the-canary-that-was-sent")];
        let mut headers = http::HeaderMap::new();
        if let Ok(value) = after.parse() {
            headers.insert(http::header::RETRY_AFTER, value);
        }
        let answer =
            crate::dial::Answer { status: status.try_into().unwrap(), headers, body: Secret::new(body.as_str()) };
        let heard = || judge::Heard::of(&answer, &sent, now());
        let revoked = judge::revoke(heard());
        match judge::refresh(heard(), now()) {
            Ok(tokens) => {
                assert!((200..300).contains(&status) && !tokens.access_token.is_empty(), "{status} {body}");
                assert!(!body.contains(r#""error":{"#) && !body.contains(r#""ok":false"#), "{body}");
            }
            Err(error) => assert!(!chain(&error).contains("canary"), "{}", chain(&error)),
        }
        if let Err(error) = revoked {
            assert!(!chain(&error).contains("canary"), "{}", chain(&error));
        }
    }
}
