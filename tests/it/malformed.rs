//! What is malformed or ambiguous gets a 400 with a reason, a record, and no further.

use crate::support::{Agent, Sidecar};

async fn sidecar() -> Sidecar {
    Sidecar::builder().policy("rules:\n  - { host: api.test, action: forward }\n").start().await
}

#[tokio::test]
async fn malformed_heads_are_answered_in_json_and_recorded() {
    let sidecar = sidecar().await;
    let cases: [&[u8]; 9] = [
        b"GET http://api.test/ HTTP/1.1\r\n\r\n",
        b"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\n\r\n",
        b"GET http://api.test/ HTTP/1.1\nHost: api.test\n\n",
        b"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n folded\r\n\r\n",
        b"POST http://api.test/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST http://api.test/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"GET http://api.test/\xc3\xa9 HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"GET http://api.test/a b HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for (index, case) in cases.iter().enumerate() {
        let answer = sidecar.agent.raw(case).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (400, "INVALID_REQUEST"),
            "{:?}",
            String::from_utf8_lossy(case)
        );
        let outcome = sidecar.outcomes(index + 1).await[index].clone();
        assert_eq!((&outcome["end"], &outcome["code"]), (&"denied".into(), &"INVALID_REQUEST".into()), "{outcome}");
    }
}

#[tokio::test]
async fn a_second_request_behind_a_good_one_is_judged_by_itself() {
    let sidecar = sidecar().await;
    let mut stream = sidecar.agent.dial().await;
    let two = b"GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\nGET http://other.test/ HTTP/1.1\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, two).await.unwrap();
    assert_eq!(crate::support::client::read_answer(&mut stream).await.code(), "POLICY_DENIED");
    assert_eq!(crate::support::client::read_answer(&mut stream).await.code(), "INVALID_REQUEST");
}

#[tokio::test]
async fn names_that_disagree_are_misdirected() {
    let sidecar = sidecar().await;
    let answer = sidecar.agent.raw(b"GET http://api.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (421, "MISDIRECTED_REQUEST"));
}

#[tokio::test]
async fn paths_with_two_readings_in_every_server_are_refused() {
    let sidecar = sidecar().await;
    for path in ["/a/../b", "/a/%2e%2e/b", "/a/..;/b", "/%00", "/a%5cb", "/%c0%ae"] {
        let head = format!("GET http://api.test{path} HTTP/1.1\r\nHost: api.test\r\n\r\n");
        assert_eq!(sidecar.agent.raw(head.as_bytes()).await.code(), "INVALID_REQUEST", "{path}");
    }
}

#[tokio::test]
async fn a_caller_without_a_password_is_challenged_and_recorded() {
    let sidecar = Sidecar::builder()
        .policy("rules:\n  - { host: api.test, action: forward }\n")
        .agent("bot", "s3cret-of-the-bot")
        .start()
        .await;
    let stranger = Agent { credentials: None, ..sidecar.agent.clone() };
    let liar = Agent { credentials: Some(("bot".into(), "wrong".into())), ..sidecar.agent.clone() };
    for (caller, index) in [(stranger, 0), (liar, 1)] {
        let answer = caller.connect("api.test:443").await.unwrap_err();
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (407, "PROXY_AUTHENTICATION_REQUIRED"));
        assert!(answer.headers["proxy-authenticate"].to_str().unwrap().starts_with("Basic "));
        assert_eq!(sidecar.outcomes(index + 1).await[index]["code"], "PROXY_AUTHENTICATION_REQUIRED");
    }
    assert!(sidecar.agent.connect("api.test:443").await.is_ok());
}
