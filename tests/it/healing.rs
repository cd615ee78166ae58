//! A destination refuses what was put on: others are made, and the request is sent once more where
//! that does no harm; else its answer passes, marked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use nexus_sidecar::lease::{Ask, Asked, Borrowed, LeaseSource, Loan};
use nexus_sidecar::model::{Binding, Bindings, ConnectionName, Fields, HostPattern, Secret, Strategy};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::origin::{Received, Speaks};
use crate::support::{Answer, Origin, Sidecar};

/// Mints a token of the next version for whoever was refused.
struct Mint {
    strategy: Strategy,
    version: AtomicU64,
    refused: Mutex<Vec<u64>>,
    moved: watch::Sender<u64>,
}

impl LeaseSource for Mint {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        Box::pin(async move {
            let current = self.version.load(Ordering::SeqCst);
            if let Some(held) = ask.held.as_ref().filter(|held| held.refused && held.version == current) {
                self.refused.lock().unwrap().push(held.version);
                self.version.fetch_add(1, Ordering::SeqCst);
            }
            let version = self.version.load(Ordering::SeqCst);
            let mut credentials = Fields::new();
            for field in ["access_token", "access_key", "secret_key"] {
                credentials.insert(field, Secret::new(format!("canary{version}")));
            }
            let hosts = vec![HostPattern::parse("127.0.0.1").unwrap()];
            let bindings = Bindings::new(vec![Binding { hosts, strategy: self.strategy.clone() }], false).unwrap();
            Ok(Loan { id: "c".into(), version, bindings, credentials, expires_at: None, refreshable: true }.into())
        })
    }

    fn still_there<'a>(&'a self, _: &'a ConnectionName, _: &'a str) -> Asked<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }
}

struct Scene {
    sidecar: Sidecar,
    origin: Origin,
    mint: Arc<Mint>,
}

/// An origin that takes what `takes` says, and answers 401 else.
async fn scene(takes: impl Fn(&Received) -> bool + Send + Sync + 'static) -> Scene {
    scene_of(json!({ "type": "oauth2" }), move |received| match takes(received) {
        true => Response::new(Full::from(received.body.clone())),
        false => refusal(401, "who are you?"),
    })
    .await
}

async fn scene_of(
    strategy: Value,
    respond: impl Fn(&Received) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> Scene {
    let origin = Origin::start(Speaks::Plain, respond).await;
    let mint = Arc::new(Mint {
        strategy: Strategy::from_json(&strategy).unwrap(),
        version: AtomicU64::new(1),
        refused: Mutex::default(),
        moved: watch::Sender::new(0),
    });
    let rule = "connection: mint, plaintext: true, networks: [127.0.0.0/8]";
    let sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {}, {rule} }}\n", origin.address.port()))
        .lends_by(Arc::<Mint>::clone(&mint))
        .at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
        .start()
        .await;
    Scene { sidecar, origin, mint }
}

fn refusal(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("x-nexus-credential", "forged".parse().unwrap());
    response
}

fn bears(received: &Received, version: u64) -> bool {
    received.header("authorization") == format!("Bearer canary{version}")
}

impl Scene {
    async fn ask(&self, method: Method, body: &[u8]) -> Answer {
        let url = format!("http://127.0.0.1:{}/x", self.origin.address.port());
        self.sidecar.agent.plain(method.as_str(), &url, &[], body).await
    }

    /// What is lent is old enough to have gone bad.
    async fn ages(&self) {
        assert_eq!(self.ask(Method::OPTIONS, b"").await.status, 200);
        self.sidecar.advance(Duration::from_secs(31));
    }

    fn sent(&self) -> Vec<Received> {
        self.origin.received().into_iter().filter(|one| one.method != Method::OPTIONS).collect()
    }

    fn refused(&self) -> Vec<u64> {
        self.mint.refused.lock().unwrap().clone()
    }

    /// The intents and the outcome of the last request.
    async fn recorded(mut self) -> (usize, Value) {
        self.sidecar.drain().await;
        let lines = self.sidecar.audit();
        assert!(!format!("{lines:?}{}", self.sidecar.metrics.encode()).contains("canary"), "a token is on record");
        let outcome = lines.iter().rev().find(|line| line["kind"] == "outcome").unwrap().clone();
        let of_it = |line: &&Value| line["kind"] == "intent" && line["trace"] == outcome["trace"];
        (lines.iter().filter(of_it).count(), outcome)
    }
}

fn mark(answer: &Answer) -> Option<&str> {
    answer.headers.get("x-nexus-credential").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_token_that_went_bad_is_replaced_and_the_agent_never_knows() {
    let scene = scene(|received| received.method == Method::OPTIONS || bears(received, 2)).await;
    scene.ages().await;
    let answer = scene.ask(Method::GET, b"").await;
    assert_eq!((answer.status.as_u16(), mark(&answer)), (200, None));
    assert_eq!((scene.sent().len(), scene.refused()), (2, vec![1]));
    let metrics = scene.sidecar.metrics.encode();
    assert!(metrics.contains("credentials_refused_total{outcome=\"renewed\"} 1"), "{metrics}");
    let (intents, outcome) = scene.recorded().await;
    assert_eq!((intents, &outcome["credential"], &outcome["attempts"]), (2, &json!("renewed"), &json!(2)));
}

#[tokio::test]
async fn a_body_that_was_kept_is_sent_again_as_it_was() {
    let scene = scene(|received| received.method == Method::OPTIONS || bears(received, 2)).await;
    scene.ages().await;
    let body: Vec<u8> = (0..65_536_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let answer = scene.ask(Method::PUT, &body).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, body.as_slice()));
    assert!(scene.sent().iter().all(|one| *one.body == *body) && scene.sent().len() == 2);
}

#[tokio::test]
async fn what_cannot_be_sent_again_passes_marked_and_the_next_goes_with_others() {
    for (method, length) in [(Method::POST, 10), (Method::PUT, 65_537)] {
        let scene = scene(|received| received.method == Method::OPTIONS || bears(received, 2)).await;
        scene.ages().await;
        let answer = scene.ask(method.clone(), &vec![7; length]).await;
        assert_eq!((answer.status.as_u16(), mark(&answer)), (401, Some("refused")), "{method}");
        assert_eq!(answer.body.as_ref(), b"who are you?");
        assert_eq!((scene.sent().len(), scene.refused()), (1, vec![1]));
        assert_eq!(scene.ask(method, &vec![7; length]).await.status, 200, "others were made meanwhile");
    }
}

#[tokio::test]
async fn there_is_no_third_time_and_a_loop_burns_one() {
    let scene = scene(|received| received.method == Method::OPTIONS).await;
    scene.ages().await;
    for turn in 0..20 {
        let answer = scene.ask(Method::GET, b"").await;
        assert_eq!((answer.status.as_u16(), mark(&answer)), (401, Some("request-refused")), "{turn}");
        scene.sidecar.advance(Duration::from_secs(2));
    }
    assert_eq!((scene.sent().len(), scene.refused()), (21, vec![1]));
    let (intents, outcome) = scene.recorded().await;
    assert_eq!((intents, &outcome["credential"], &outcome["status"]), (1, &json!("request-refused"), &json!(401)));
}

#[tokio::test]
async fn young_credentials_are_not_replaced() {
    let scene = scene(|received| received.method == Method::OPTIONS).await;
    assert_eq!(scene.ask(Method::OPTIONS, b"").await.status, 200);
    let answer = scene.ask(Method::GET, b"").await;
    assert_eq!((answer.status.as_u16(), mark(&answer), scene.refused().len()), (401, Some("request-refused"), 0));
}

#[tokio::test]
async fn a_hundred_at_once_are_healed_by_one() {
    let scene = Arc::new(scene(|received| received.method == Method::OPTIONS || bears(received, 2)).await);
    scene.ages().await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let scene = Arc::clone(&scene);
        all.spawn(async move { scene.ask(Method::GET, b"").await.status });
    }
    while let Some(status) = all.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(scene.refused(), [1]);
}

/// AWS says in a 400 or a 403 that a session is over, and much else.
#[tokio::test]
async fn a_session_of_aws_that_is_over_is_told_by_its_word() {
    let strategy = json!({ "type": "aws_sigv4", "config": { "service": "sqs", "region": "eu-west-1" } });
    for (status, body, healed) in [
        (403, "<Error><Code>ExpiredToken</Code></Error>".to_owned(), true),
        (400, "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\"}".to_owned(), true),
        (403, format!("<Code>AccessDenied</Code>{}", "x".repeat(200_000)), false),
        (404, "ExpiredToken".to_owned(), false),
    ] {
        let (answers, text) = (body.clone(), body);
        let scene = scene_of(strategy.clone(), move |received| {
            let old = received.header("authorization").contains("Credential=canary1/");
            match received.method == Method::OPTIONS || !old {
                true => Response::new(Full::from("fine")),
                false => refusal(status, answers.clone()),
            }
        })
        .await;
        scene.ages().await;
        let answer = scene.ask(Method::POST, b"Action=SendMessage").await;
        match healed {
            true => assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, b"fine".as_slice()), "{text}"),
            false => {
                assert_eq!((answer.status.as_u16(), mark(&answer)), (status, None));
                assert!(answer.body.as_ref() == text.as_bytes(), "the body that was looked at is not whole");
            }
        }
        assert_eq!(scene.refused().len(), usize::from(healed));
    }
}
