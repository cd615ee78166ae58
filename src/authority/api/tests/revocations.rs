//! Revoking, freezing, and the stream that tells of it, over real sockets.

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::tcp::OwnedReadHalf;

use super::*;
use crate::authority::tests::bearer;

/// An open stream of events.
struct Stream {
    lines: Lines<BufReader<OwnedReadHalf>>,
    _writer: tokio::net::tcp::OwnedWriteHalf,
}

/// One message: its name, its id, its data.
type Message = (String, Option<i64>, Value);

impl Stream {
    async fn open(served: &Served, path: &str, headers: &[(&str, &str)]) -> Self {
        let (reader, mut writer) = TcpStream::connect(served.address).await.unwrap().into_split();
        writer.write_all(&request("GET", path, headers, "")).await.unwrap();
        let mut stream = Self { lines: BufReader::new(reader).lines(), _writer: writer };
        assert_eq!(stream.line().await.unwrap(), "HTTP/1.1 200 OK");
        while stream.line().await.unwrap() != "" {}
        stream
    }

    /// A line of the answer; those that only frame its chunks are left out by who reads.
    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("nothing came");
        line.unwrap()
    }

    /// The next message that is no beat.
    async fn next(&mut self) -> Message {
        let (mut name, mut id) = (String::new(), None);
        loop {
            let line = self.line().await.expect("the stream ended");
            match line.split_once(": ") {
                Some(("id", number)) => id = Some(number.parse().unwrap()),
                Some(("event", event)) => name = event.to_owned(),
                Some(("data", _)) if name == "beat" => name.clear(),
                Some(("data", data)) => return (name, id, serde_json::from_str(data).unwrap()),
                _ => {}
            }
        }
    }

    /// The kinds of the next changes.
    async fn kinds(&mut self, count: usize) -> Vec<String> {
        let mut kinds = Vec::new();
        for _ in 0..count {
            let (name, id, data) = self.next().await;
            assert_eq!((name.as_str(), id), ("change", data["number"].as_i64()), "{data}");
            kinds.push(data["kind"].as_str().unwrap().to_owned());
        }
        kinds
    }
}

impl Served {
    async fn post(&self, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send("POST", path, &[("x-api-key", &key(ADMIN)), ("content-type", "application/json")], &body).await
    }
}

#[tokio::test]
async fn a_revocation_reaches_the_sidecars_that_it_concerns() {
    let served = serve().await;
    let authority = served.authority.clone();
    for named in ["mine", "other"] {
        authority.add(bearer(named, "canary")).unwrap();
    }
    for (agent, connection) in [("bot", "mine"), ("stranger", "other")] {
        authority.add_agent(agent).unwrap();
        authority.allow(agent, connection).unwrap();
    }
    let mut sidecar = Stream::open(&served, "/api/v2/events", &[("x-api-key", &key(SIDECAR))]).await;
    let (name, id, hello) = sidecar.next().await;
    assert_eq!((name.as_str(), id, &hello["number"]), ("hello", None, &json!(4)));
    let mut admin = Stream::open(&served, "/api/v2/events?after=0", &[("x-api-key", &key(ADMIN))]).await;
    assert_eq!(admin.next().await.2, hello);
    let revoked = served.post("/api/v2/connections/mine/revoke", Value::Null).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let view = revoked.json();
    assert_eq!(
        (&view["name"], &view["state"], &view["revocation"], &view["before"]),
        (&json!("mine"), &json!("revoked"), &json!("local"), &json!(false))
    );
    assert_eq!(served.post("/api/v2/revocations", json!({ "connection": "mine" })).await.json()["before"], 1);
    served.post("/api/v2/connections/other/revoke", Value::Null).await;
    assert_eq!(served.post("/api/v2/freeze", Value::Null).await.json()["frozen"], true);
    assert_eq!(served.post("/api/v2/unfreeze", Value::Null).await.json(), json!({ "frozen": false, "changed": true }));
    let agent = served.post("/api/v2/revocations", json!({ "agent": "bot" })).await.json();
    assert_eq!((&agent["revoked"], &agent["agent"]["grants"]), (&json!(0), &json!(1)));
    let all = served.post("/api/v2/revocations", json!({ "all": true })).await.json();
    assert_eq!(all, json!({ "revoked": 0, "before": 2 }));
    let want = ["connection.revoked", "frozen", "unfrozen", "agent.revoked", "all.revoked"];
    assert_eq!(sidecar.kinds(5).await, want);
    let seen = admin.kinds(10).await;
    assert_eq!(seen[..4], ["connection.changed", "connection.changed", "grant.changed", "grant.changed"]);
    assert_eq!(seen[4..6], ["connection.revoked", "connection.revoked"]);
    assert_eq!(seen[6..], want[1..]);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_or_says_that_it_cannot() {
    let served = serve().await;
    for _ in 0..2 {
        served.post("/api/v2/freeze", Value::Null).await;
        served.post("/api/v2/unfreeze", Value::Null).await;
    }
    let admin = key(ADMIN);
    let with = |last: &'static str| vec![("x-api-key", admin.clone()), ("last-event-id", last.to_owned())];
    for (path, last, want) in [
        ("/api/v2/events", "2", ("change", 3)),
        ("/api/v2/events?after=1", "3", ("change", 4)),
        ("/api/v2/events?after=1", "", ("change", 2)),
        ("/api/v2/events?after=99", "", ("resync", 4)),
        ("/api/v2/events?after=1&store=another", "", ("resync", 4)),
    ] {
        let headers = with(last);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let headers = if last.is_empty() { &headers[..1] } else { &headers };
        let mut stream = Stream::open(&served, path, headers).await;
        assert_eq!(stream.next().await.0, "hello");
        let (name, _, data) = stream.next().await;
        assert_eq!((name.as_str(), data["number"].as_i64().unwrap()), want, "{path} {last}");
    }
    for bad in ["/api/v2/events?after=x", "/api/v2/events?after=-1", "/api/v2/events?since=1"] {
        assert_eq!(served.get(bad, ADMIN).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_stream_beats_and_ends_when_the_authority_stops() {
    let served = serve().await;
    let mut stream = Stream::open(&served, "/api/v2/events", &[("x-api-key", &key(SIDECAR))]).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let line = stream.line().await.unwrap();
        seen.extend(line.strip_prefix("event: ").map(str::to_owned));
    }
    assert_eq!(seen, ["hello", "beat", "beat"]);
    served.stop().await;
    while stream.line().await.is_some() {}
}

#[tokio::test]
async fn what_is_no_revocation_revokes_nothing() {
    let served = serve().await;
    served.authority.add(bearer("a", "t")).unwrap();
    for (body, status) in [
        (json!({}), 400),
        (json!({ "all": false }), 400),
        (json!({ "all": true, "agent": "bot" }), 400),
        (json!({ "agent": "bot", "provider": "x" }), 400),
        (json!({ "agent": "a:b" }), 400),
        (json!({ "connection": "A/b" }), 400),
        (json!({ "all": true, "x": 1 }), 400),
        (json!({ "connection": "none" }), 404),
        (json!({ "provider": "none" }), 404),
    ] {
        let reply = served.post("/api/v2/revocations", body.clone()).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
    }
    let none = served.post("/api/v2/connections/none/revoke", Value::Null).await;
    assert_eq!((none.status, none.code().as_str()), (404, "CONNECTION_NOT_FOUND"));
    assert_eq!(served.authority.list().unwrap()[0].revocation, None);
}
