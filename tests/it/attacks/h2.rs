//! What h2 lets an agent say that HTTP/1.1 does not.

use std::time::{Duration, Instant};

use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, block};
use super::{SECRET, bearer};
use crate::support::{Origin, Pki, Sidecar};

async fn start() -> (Sidecar, Origin, String) {
    let pki = Pki::new();
    let origin = Origin::tls(&pki, "api.test").await;
    let sidecar = bearer(&pki, &origin, "").start().await;
    let authority = format!("api.test:{}", origin.port());
    (sidecar, origin, authority)
}

type Field<'a> = (&'a str, &'a [u8]);

#[tokio::test]
async fn names_framing_and_targets_are_held_to_the_same_rules() {
    let (sidecar, origin, authority) = start().await;
    let own = authority.as_bytes();
    let get: [Field<'_>; 4] = [(":method", b"GET"), (":scheme", b"https"), (":authority", own), (":path", b"/")];
    let but = |at: usize, value: &'static [u8]| {
        let mut fields = get.to_vec();
        fields[at].1 = value;
        fields
    };
    let with = |name: &'static str, value: &'static [u8]| {
        let mut fields = get.to_vec();
        fields.push((name, value));
        fields
    };
    let cases: Vec<(&str, Vec<Field<'_>>, &[&str])> = vec![
        ("another authority", but(2, b"evil.test"), &["MISDIRECTED_REQUEST"]),
        ("another port", but(2, b"api.test:1"), &["MISDIRECTED_REQUEST"]),
        ("user information", but(2, b"u:p@api.test"), &["INVALID_REQUEST", "reset"]),
        ("another host", with("host", b"evil.test"), &["MISDIRECTED_REQUEST"]),
        (
            "no authority and another host",
            vec![get[0], get[1], get[3], ("host", b"evil.test")],
            &["MISDIRECTED_REQUEST"],
        ),
        ("two hosts", [&get[..], &[("host", own), ("host", own)]].concat(), &["INVALID_REQUEST"]),
        ("two authorities", [&get[..], &[(":authority", b"evil.test")]].concat(), &["reset", "away"]),
        ("another scheme", but(1, b"http"), &["INVALID_REQUEST"]),
        ("a scheme of its own", but(1, b"ftp"), &["INVALID_REQUEST", "reset"]),
        ("CONNECT", vec![(":method", b"CONNECT"), (":authority", own)], &["INVALID_REQUEST"]),
        (
            "extended CONNECT",
            vec![(":method", b"CONNECT"), (":protocol", b"websocket"), get[1], get[2], get[3]],
            &["INVALID_REQUEST", "reset", "away"],
        ),
        ("lower-case connect", but(0, b"connect"), &["INVALID_REQUEST"]),
        ("TRACE", but(0, b"TRACE"), &["POLICY_DENIED"]),
        ("an asterisk", but(3, b"*"), &["INVALID_REQUEST", "reset"]),
        ("no path", but(3, b""), &["reset"]),
        ("a blank in the path", but(3, b"/a b"), &["INVALID_REQUEST", "reset"]),
        ("a line end in the path", but(3, b"/a\r\nx: y"), &["reset"]),
        ("a raw byte in the path", but(3, b"/\xc3\xa9"), &["INVALID_REQUEST", "reset"]),
        ("a raw byte in the query", but(3, b"/?\xc3\xa9"), &["INVALID_REQUEST", "reset"]),
        ("a path of another host", but(3, b"http://evil.test/"), &["INVALID_REQUEST", "MISDIRECTED_REQUEST", "reset"]),
        ("connection", with("connection", b"close"), &["reset"]),
        ("transfer-encoding", with("transfer-encoding", b"chunked"), &["reset"]),
        ("upgrade", with("upgrade", b"websocket"), &["reset"]),
        ("te", with("te", b"gzip"), &["reset"]),
        ("a line end in a value", with("x", b"a\r\nhost: evil.test"), &["reset", "away"]),
        ("a NUL in a value", with("x", b"a\0b"), &["reset", "away"]),
        ("an upper-case name", with("X-Upper", b"a"), &["reset", "away"]),
        ("a pseudo-header behind", [&get[..], &[("x", b"y"), (":path", b"/z")]].concat(), &["reset"]),
        ("a length without a body", with("content-length", b"5"), &["reset"]),
        ("two lengths", [&get[..], &[("content-length", b"0"), ("content-length", b"5")]].concat(), &["reset"]),
    ];
    for (what, fields, wanted) in cases {
        let mut frames = Frames::open(&sidecar.agent, &authority).await;
        frames.headers(1, &fields, END_STREAM).await.unwrap();
        let end = frames.end(1).await;
        assert!(wanted.contains(&end.word().as_str()), "{what}: {end:?}");
    }
    assert!(origin.received().is_empty(), "{:?}", origin.received());
    let mut frames = Frames::open(&sidecar.agent, &authority).await;
    frames.headers(1, &get, END_STREAM).await.unwrap();
    assert_eq!(frames.end(1).await.word(), "ok");
    assert_eq!(origin.only().header("authorization"), format!("Bearer {SECRET}"));
    // A fragment is cut before anybody looks: what policy saw is what leaves.
    frames.headers(3, &but(3, b"/a#/../b"), END_STREAM).await.unwrap();
    assert_eq!(frames.end(3).await.word(), "ok");
    assert_eq!(origin.received()[1].target, "/a");
}

#[tokio::test]
async fn a_body_of_another_length_reaches_nobody_whole() {
    let (sidecar, origin, authority) = start().await;
    let own = authority.as_bytes();
    for (length, data) in [(&b"5"[..], &b"123456789"[..]), (b"50", b"12345")] {
        let mut frames = Frames::open(&sidecar.agent, &authority).await;
        let post: [Field<'_>; 5] = [
            (":method", b"POST"),
            (":scheme", b"https"),
            (":authority", own),
            (":path", b"/"),
            ("content-length", length),
        ];
        frames.headers(1, &post, 0).await.unwrap();
        frames.send(DATA, END_STREAM, 1, data).await.unwrap();
        assert_eq!(frames.end(1).await.word(), "reset");
    }
    assert!(origin.received().is_empty());
}

#[tokio::test]
async fn trailers_carry_no_credential_and_no_route() {
    let (sidecar, origin, authority) = start().await;
    let mut frames = Frames::open(&sidecar.agent, &authority).await;
    let post: [Field<'_>; 4] =
        [(":method", b"POST"), (":scheme", b"https"), (":authority", authority.as_bytes()), (":path", b"/")];
    frames.headers(1, &post, 0).await.unwrap();
    frames.send(DATA, 0, 1, b"hi").await.unwrap();
    let trailers: [Field<'_>; 7] = [
        ("authorization", b"Bearer mine"),
        ("x-api-key", b"mine"),
        ("x-http-method-override", b"DELETE"),
        ("x-forwarded-host", b"evil.test"),
        ("host", b"evil.test"),
        ("x-note", b"ghp_NexusPlaceholder00000000000000000000"),
        ("x-sum", b"1"),
    ];
    frames.headers(1, &trailers, END_STREAM).await.unwrap();
    assert_eq!(frames.end(1).await.word(), "ok");
    let trailers = origin.only().trailers.unwrap();
    assert_eq!(trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
}

#[tokio::test]
async fn a_header_list_without_end_ends_cut() {
    let (sidecar, origin, authority) = start().await;
    let mut frames = Frames::open(&sidecar.agent, &authority).await;
    let get: [Field<'_>; 4] =
        [(":method", b"GET"), (":scheme", b"https"), (":authority", authority.as_bytes()), (":path", b"/")];
    frames.send(HEADERS, END_STREAM, 1, &block(&get)).await.unwrap();
    let padding = block(&[("x-padding", &[b'a'; 8000][..])]);
    for _ in 0..1000 {
        if frames.send(CONTINUATION, 0, 1, &padding).await.is_err() {
            break;
        }
    }
    let _ = frames.send(CONTINUATION, END_HEADERS, 1, &padding).await;
    assert_ne!(frames.end(1).await.word(), "ok");
    assert!(origin.received().is_empty());
    assert_eq!(sidecar.agent.get(&format!("https://{authority}/")).await.status, 200);
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_slow_nobody_down() {
    let (sidecar, _origin, authority) = start().await;
    let url = format!("https://{authority}/");
    assert_eq!(sidecar.agent.get(&url).await.status, 200);
    let before = resident();
    let flood = {
        let (agent, authority) = (sidecar.agent.clone(), authority.clone());
        tokio::spawn(async move {
            for _ in 0..5 {
                let get: [Field<'_>; 4] =
                    [(":method", b"GET"), (":scheme", b"https"), (":authority", authority.as_bytes()), (":path", b"/")];
                let mut frames = Frames::open(&agent, &authority).await;
                for stream in (1..4001).step_by(2) {
                    let opened = frames.headers(stream, &get, END_STREAM).await;
                    if opened.is_err() || frames.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await.is_err() {
                        break;
                    }
                }
            }
        })
    };
    let mut slowest = Duration::ZERO;
    while !flood.is_finished() {
        let started = Instant::now();
        assert_eq!(sidecar.agent.get(&url).await.status, 200);
        slowest = slowest.max(started.elapsed());
    }
    flood.await.unwrap();
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
}

/// What this process holds in memory, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn a_stream_without_a_window_is_let_go() {
    let pki = Pki::new();
    let long =
        |_: &crate::support::Received| http::Response::new(http_body_util::Full::new(vec![b'x'; 100_000].into()));
    let origin = Origin::tls_h1(&pki, "api.test", long).await;
    let sidecar =
        bearer(&pki, &origin, "").configure(|config| config.timeouts.body = Duration::from_millis(200)).start().await;
    let authority = format!("api.test:{}", origin.port());
    let mut frames = Frames::open(&sidecar.agent, &authority).await;
    // SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113, section 6.5.2).
    frames.send(4, 0, 0, &[0, 4, 0, 0, 0, 0]).await.unwrap();
    let get: [Field<'_>; 4] =
        [(":method", b"GET"), (":scheme", b"https"), (":authority", authority.as_bytes()), (":path", b"/")];
    frames.headers(1, &get, END_STREAM).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(8), frames.end(1)).await;
    assert_eq!(end.expect("the stream is kept for ever"), super::frames::End::Away);
    assert_eq!(sidecar.outcomes(1).await[0]["end"], "aborted");
}
