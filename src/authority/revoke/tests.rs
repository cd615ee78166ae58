use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::upstream::{Answer, Hint, Telling};
use super::*;
use crate::authority::connections::NewConnection;
use crate::authority::event::Event;
use crate::authority::lend::Rule;
use crate::authority::lend::Wanted;
use crate::authority::record::Actor;
use crate::authority::rows::{ConnectionRow, State};
use crate::authority::store::Value;
use crate::authority::tests::{bearer, fields, lend, name, open, open_with};
use crate::authority::{ConnectionError, NewKey, Scope, StoreError};
use crate::lease::{Ask, LendError};
use crate::model::{Fields, Host, Secret, Workspace};
use crate::telemetry::TestClock;

/// A provider that answers as it is told to, and keeps what it was told.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    heard: Mutex<Vec<(String, String)>>,
}

impl Scripted {
    fn saying(answers: &[Answer]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.iter().cloned().collect()), heard: Mutex::default() })
    }

    fn heard(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl Upstream for Scripted {
    fn revoke<'a>(&'a self, row: &'a ConnectionRow, token: &'a Secret, hint: Hint) -> Telling<'a> {
        self.heard.lock().unwrap().push((format!("{hint:?} {}", row.name), token.expose_str().unwrap().to_owned()));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Revoked);
        Box::pin(async { answer })
    }
}

fn cannot() -> Answer {
    Answer::Cannot("unsupported_token_type".into())
}

fn later(after: Option<u64>) -> Answer {
    Answer::Later { after: after.map(Duration::from_secs), why: "status 503".into() }
}

/// Makes a connection whose provider declares how tokens are taken back.
fn declared(authority: &Authority, new: NewConnection) -> String {
    let id = authority.add(new).unwrap().id;
    let (vault, asked) = (Arc::clone(&authority.desk.vault), id.clone());
    let pinned = move |work: &mut crate::authority::recorder::Work<'_>| {
        let mut row = work.lock(&asked)?.unwrap();
        let fields = vault.open(&row).unwrap();
        row.endpoints = Some(r#"{"revocation":"https://idp.example/revoke"}"#.into());
        vault.seal(&mut row, &fields).unwrap();
        row.put(work.tx())
    };
    authority.write(pinned).unwrap();
    id
}

fn row(authority: &Authority, id: &str) -> ConnectionRow {
    authority.read(|tx| ConnectionRow::by_id(tx, "local", id)).unwrap().unwrap()
}

fn revocation(authority: &Authority, id: &str) -> Revocation {
    let ended = Ended { id: id.to_owned(), name: String::new(), revocation: Revocation::Pending };
    authority.revocations(&[ended]).unwrap().remove(0).revocation
}

fn events(authority: &Authority) -> Vec<String> {
    let events = authority.read(|tx| Event::after(tx, "local", 0, 100_000)).unwrap();
    events.into_iter().map(|event| event.news.kind).collect()
}

fn audit(authority: &Authority) -> Vec<String> {
    let rows = authority.read(|tx| tx.query("SELECT body FROM audit ORDER BY instance, sequence", &[])).unwrap();
    rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

fn run(authority: &Authority, sql: &'static str, values: Vec<Value>) {
    authority.write(move |work| work.execute(sql, &values).map(drop)).unwrap();
}

fn connection(id: &str) -> Target {
    Target::Connection(id.to_owned())
}

fn two(folder: &Path) -> (Authority, Authority, Arc<TestClock>) {
    let (one, clock) = open_with(folder, 7).unwrap();
    (one, open(folder), clock)
}

#[tokio::test]
async fn a_revoked_connection_is_lent_no_more_and_comes_back_only_as_another() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, _) = two(folder.path());
    let id = one.add(bearer("github", "canary")).unwrap().id;
    assert!(lend(&*two.source(), "github").await.is_ok());
    let revoked = one.revoke(&connection("github")).unwrap();
    let until = Revocation::Local { until: None };
    assert_eq!((revoked.connections[0].id.as_str(), revoked.connections[0].revocation), (id.as_str(), until));
    assert_eq!(lend(&*two.source(), "github").await.unwrap_err(), LendError::Revoked(name("github")));
    let again = two.revoke(&connection(&id)).unwrap();
    assert_eq!((again.connections.len(), again.before), (0, revoked.connections));
    let set = one.set(&name("github"), fields(&[("access_token", "t")]), None);
    assert!(matches!(set, Err(ConnectionError::Revoked(_))));
    let shown = one.show(&name("github")).unwrap();
    assert_eq!((shown.state, shown.revocation, shown.field_names.len()), (State::Revoked, Some(until), 0));
    assert_eq!(events(&one), ["connection.changed", "connection.revoked"]);
    let lines = audit(&one);
    let line = lines.iter().find(|line| line.contains("connection.revoked")).unwrap();
    assert!(line.contains("\"from\":\"active\"") && line.contains("\"why\":\"connection\""), "{line}");
    assert!(lines.iter().any(|line| line.contains("connection.revocation") && line.contains("local")));
    one.delete(&name("github")).unwrap();
    assert_ne!(one.add(bearer("github", "t")).unwrap().id, id);
    assert!(lend(&*two.source(), "github").await.is_ok());
    assert!(matches!(one.revoke(&connection("gone")), Err(RevokeError::NoConnection(_))));
}

#[test]
fn a_refresh_under_way_loses_its_claim() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let id = declared(&authority, bearer("a", "t"));
    let sql = "UPDATE connections SET claimed_by = 'refresher', claimed_until = $1, refresh_at = $1, refresh_tries = 3
        WHERE id = $2";
    run(&authority, sql, vec![2_000_000_000.into(), id.as_str().into()]);
    authority.revoke(&connection("a")).unwrap();
    let row = row(&authority, &id);
    assert_eq!((row.claimed_by, row.claimed_until, row.refresh_at, row.refresh_tries), (None, None, None, 0));
    assert_eq!(row.revocation.as_deref(), Some("pending"));
}

#[test]
fn all_of_a_provider_or_of_a_workspace_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let of = |provider: &str, named: &str| NewConnection { provider: Some(name(provider)), ..bearer(named, "t") };
    for new in [of("github", "a"), of("github", "b"), of("slack", "c"), bearer("d", "t")] {
        authority.add(new).unwrap();
    }
    authority.revoke(&connection("a")).unwrap();
    let before = events(&authority).len();
    let revoked = authority.revoke(&Target::Provider("github".into())).unwrap();
    let names = |ended: &[Ended]| ended.iter().map(|ended| ended.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&revoked.connections), names(&revoked.before)), (vec!["b".into()], vec!["a".to_owned()]));
    assert_eq!(events(&authority)[before..], ["provider.revoked", "connection.revoked"]);
    assert!(matches!(authority.revoke(&Target::Provider("x".into())), Err(RevokeError::NoneOfProvider(_))));
    assert_eq!(events(&authority).len(), before + 2, "what failed is told to nobody");
    let revoked = authority.revoke(&Target::All).unwrap();
    assert_eq!((revoked.connections.len(), revoked.before.len()), (2, 2));
    assert_eq!(events(&authority)[before + 2..], ["all.revoked", "connection.revoked", "connection.revoked"]);
    let elsewhere = authority.within(Workspace::local());
    assert!(elsewhere.list().unwrap().iter().all(|connection| connection.state == State::Revoked));
    assert!(authority.revoke(&Target::All).unwrap().connections.is_empty());
}

#[test]
fn thousands_are_revoked_in_one_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let id = authority.add(bearer("c-0", "t")).unwrap().id;
    let of = row(&authority, &id);
    let vault = Arc::clone(&authority.desk.vault);
    let many = move |work: &mut crate::authority::recorder::Work<'_>| {
        let more = (1..2000).map(|number| {
            let mut row = ConnectionRow { id: format!("id-{number}"), name: format!("c-{number}"), ..of.clone() };
            vault.seal(&mut row, &Fields::new()).unwrap();
            row
        });
        ConnectionRow::put_all(work.tx(), &more.collect::<Vec<_>>())
    };
    authority.write(many).unwrap();
    let started = std::time::Instant::now();
    assert_eq!(authority.revoke(&Target::All).unwrap().connections.len(), 2000);
    println!("2,000 connections were revoked in {:?}", started.elapsed());
    let events = authority.read(|tx| Event::after(tx, "local", 0, 100_000)).unwrap();
    assert!(events.iter().zip(1..).all(|(event, number)| event.number == number), "numbers have no gap");
    assert_eq!((events.len(), events[1].news.kind.as_str()), (2002, "all.revoked"));
}

#[tokio::test]
async fn a_revoked_agent_borrows_nothing_and_others_do() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    authority.add(bearer("a", "t")).unwrap();
    for agent in ["bot", "other"] {
        authority.add_agent(agent).unwrap();
        authority.allow(agent, "a").unwrap();
    }
    let key = |agents: &[&str]| {
        let agents = agents.iter().map(|&agent| agent.to_owned()).collect();
        let new = NewKey { name: String::new(), scope: Scope::Sidecar { agents }, expires_at: None };
        authority.add_key(new).unwrap().1.id
    };
    let (alone, _together) = (key(&["bot"]), key(&["bot", "other"]));
    let borrow = async |agent: &str, rule| {
        let host = Host::parse("api.example.com").unwrap();
        let ask = Ask {
            workspace: Workspace::local(),
            agent: agent.into(),
            connection: name("a"),
            host,
            scope: None,
            held: None,
        };
        authority.desk.lend(Actor::Embedded, wanted(ask), rule).await.map(|lending| lending.name)
    };
    assert!(borrow("bot", Rule::Granted).await.is_ok());
    let ended = authority.revoke(&Target::Agent("bot".into())).unwrap().agent.unwrap();
    assert_eq!((ended.grants, ended.keys, ended.before, ended.unknown), (1, 1, false, false));
    assert_eq!(borrow("bot", Rule::Granted).await, Err(LendError::NotFound(name("a"))));
    assert_eq!(borrow("bot", Rule::Any).await, Err(LendError::Revoked(name("a"))));
    assert!(borrow("other", Rule::Granted).await.is_ok());
    let gone: Vec<_> = authority.keys().unwrap().into_iter().filter(|key| key.revoked_at.is_some()).collect();
    assert_eq!((gone.len(), &gone[0].id), (1, &alone));
    let again = authority.revoke(&Target::Agent("bot".into())).unwrap().agent.unwrap();
    assert_eq!((again.grants, again.keys, again.before), (0, 0, true));
    // An agent that is known by its name alone, as those of a sidecar on this machine.
    assert!(borrow("claude", Rule::Any).await.is_ok());
    assert!(authority.revoke(&Target::Agent("claude".into())).unwrap().agent.unwrap().unknown);
    assert_eq!(borrow("claude", Rule::Any).await, Err(LendError::Revoked(name("a"))));
    let told = events(&authority);
    assert_eq!(told[told.len() - 2..], ["agent.revoked", "agent.revoked"]);
    // Who is added again begins without grants.
    authority.add_agent("bot").unwrap();
    assert_eq!(borrow("bot", Rule::Granted).await, Err(LendError::NotFound(name("a"))));
}

#[tokio::test]
async fn a_provider_is_told_of_the_refresh_token_first_and_then_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let id = declared(&authority, bearer("a", "canary"));
    let provider = Scripted::saying(&[]);
    let upstream: Arc<dyn Upstream> = provider.clone();
    assert_eq!(authority.tell_due(&upstream).await.unwrap(), 0, "what lives is not told");
    let revoked = authority.revoke(&connection("a")).unwrap();
    assert_eq!(revoked.connections[0].revocation, Revocation::Pending);
    let kept = row(&authority, &id);
    assert_eq!(authority.desk.vault.open(&kept).unwrap().names().count(), 2, "the call needs them");
    assert_eq!(authority.tell_due(&upstream).await.unwrap(), 1);
    let pairs = [("Refresh a", "r"), ("Access a", "canary")].map(|(what, token)| (what.into(), token.into()));
    assert_eq!(provider.heard(), pairs);
    let wiped = row(&authority, &id);
    assert_eq!((revocation(&authority, &id), wiped.field_names.as_str()), (Revocation::Upstream, "[]"));
    assert!(authority.desk.vault.open(&wiped).unwrap().is_empty() && wiped.sealed != kept.sealed);
    assert_eq!(authority.tell_due(&upstream).await.unwrap(), 0);
    let lines = audit(&authority);
    assert!(lines.iter().any(|line| line.contains("\"connection.revocation\"") && line.contains("upstream")));
    assert!(!lines.iter().any(|line| line.contains("canary")));
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_told_again_ever_later_for_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clock) = open_with(folder.path(), 7).unwrap();
    let id = declared(&authority, bearer("a", "t"));
    authority.revoke(&connection("a")).unwrap();
    let start = authority.now();
    let provider = Scripted::saying(&[later(None), later(Some(7))]);
    let upstream: Arc<dyn Upstream> = provider.clone();
    for wait in [1, 7] {
        assert_eq!(authority.tell_due(&upstream).await.unwrap(), 1);
        assert_eq!(revocation(&authority, &id), Revocation::Pending);
        clock.advance(Duration::from_secs(wait - 1));
        assert_eq!(authority.tell_due(&upstream).await.unwrap(), 0, "it waits {wait} s");
        clock.advance(Duration::from_secs(1));
    }
    let mut tries = 2;
    while revocation(&authority, &id) == Revocation::Pending {
        provider.answers.lock().unwrap().push_back(later(None));
        tries += authority.tell_due(&upstream).await.unwrap();
        let next = row(&authority, &id).revocation_at.unwrap();
        assert!(next - authority.now() <= 15 * 60);
        clock.advance(Duration::from_secs(u64::try_from(next - authority.now()).unwrap()));
    }
    let took = authority.now() - start;
    assert!((23 * 3600..=24 * 3600).contains(&took) && (90..120).contains(&tries), "{took} s, {tries} tries");
    assert_eq!(revocation(&authority, &id), Revocation::Local { until: None });
    assert_eq!(row(&authority, &id).field_names, "[]");
}

#[tokio::test]
async fn what_cannot_be_revoked_upstream_is_said_with_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clock) = open_with(folder.path(), 7).unwrap();
    let end = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_600));
    let access_alone =
        |named: &str| NewConnection { fields: fields(&[("access_token", "t")]), expires_at: end, ..bearer(named, "t") };
    let both = |named: &str| NewConnection { expires_at: end, ..bearer(named, "t") };
    for (index, (new, answers, want)) in [
        (access_alone("a"), vec![cannot()], Revocation::Local { until: end }),
        // Who holds the refresh token makes more of them.
        (both("b"), vec![cannot(), Answer::Revoked], Revocation::Local { until: None }),
        (both("c"), vec![Answer::Revoked, cannot()], Revocation::Local { until: end }),
        (both("d"), vec![Answer::Revoked, Answer::Revoked], Revocation::Upstream),
    ]
    .into_iter()
    .enumerate()
    {
        let id = declared(&authority, new);
        authority.revoke(&connection(&id)).unwrap();
        let provider: Arc<dyn Upstream> = Scripted::saying(&answers);
        authority.tell_due(&provider).await.unwrap();
        assert_eq!(revocation(&authority, &id), want, "{index}");
    }
    // Nothing is left to be revoked once the credentials have ended by themselves.
    let id = declared(&authority, access_alone("e"));
    authority.revoke(&connection(&id)).unwrap();
    let provider: Arc<dyn Upstream> = Scripted::saying(&[later(None), later(None)]);
    authority.tell_due(&provider).await.unwrap();
    clock.advance(Duration::from_secs(600));
    authority.tell_due(&provider).await.unwrap();
    assert_eq!(revocation(&authority, &id), Revocation::Local { until: end });
}

#[tokio::test]
async fn one_of_several_processes_tells_a_provider() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, clock) = two(folder.path());
    let ids: Vec<String> = (0..20).map(|n| declared(&one, bearer(&format!("c-{n}"), "t"))).collect();
    one.revoke(&Target::All).unwrap();
    let provider = Scripted::saying(&[]);
    let upstream: Arc<dyn Upstream> = provider.clone();
    let all = async |authority: &Authority| while authority.tell_due(&upstream).await.unwrap() > 0 {};
    tokio::join!(all(&one), all(&two));
    assert_eq!(provider.heard().len(), 40, "each token once");
    assert!(ids.iter().all(|id| revocation(&two, id) == Revocation::Upstream));
    // Who died while telling is followed by another.
    let id = declared(&one, bearer("late", "t"));
    one.revoke(&connection("late")).unwrap();
    let sql = "UPDATE connections SET claimed_by = 'dead', claimed_until = $1 WHERE id = $2";
    run(&one, sql, vec![(one.now() + 60).into(), id.as_str().into()]);
    assert_eq!(one.tell_due(&upstream).await.unwrap(), 0);
    clock.advance(Duration::from_secs(60));
    assert_eq!(one.tell_due(&upstream).await.unwrap(), 1);
    assert_eq!(revocation(&two, &id), Revocation::Upstream);
}

#[tokio::test]
async fn what_another_took_over_or_deleted_is_not_settled() {
    struct Meddling(Authority);
    impl Upstream for Meddling {
        fn revoke<'a>(&'a self, row: &'a ConnectionRow, _: &'a Secret, _: Hint) -> Telling<'a> {
            let authority = self.0.clone();
            let sql = match row.name.as_str() {
                "taken" => "UPDATE connections SET claimed_by = 'another' WHERE id = $1",
                _ => "DELETE FROM connections WHERE id = $1",
            };
            let id = row.id.clone();
            Box::pin(async move {
                let meddle = authority.write_async(move |work| work.execute(sql, &[id.into()]));
                let done: Result<u64, StoreError> = meddle.await;
                done.unwrap();
                Answer::Revoked
            })
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let taken = declared(&authority, bearer("taken", "t"));
    declared(&authority, bearer("deleted", "t"));
    authority.revoke(&Target::All).unwrap();
    let upstream: Arc<dyn Upstream> = Arc::new(Meddling(authority.clone()));
    assert_eq!(authority.tell_due(&upstream).await.unwrap(), 2);
    assert_eq!(revocation(&authority, &taken), Revocation::Pending);
    assert!(authority.show(&name("deleted")).is_err());
}

#[tokio::test]
async fn a_worker_hears_of_a_revocation_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, _) = two(folder.path());
    let id = declared(&one, bearer("a", "t"));
    let provider = Scripted::saying(&[]);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let worker = tokio::spawn(two.clone().tell_providers(provider.clone(), stopped));
    one.source();
    let mut moves = one.desk.feed.moves();
    one.revoke(&connection("a")).unwrap();
    let settled = async {
        while revocation(&one, &id) != Revocation::Upstream {
            // It records what came of it, which is no event: look again soon.
            let _ = tokio::time::timeout(Duration::from_millis(50), moves.changed()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("the provider was not told");
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(30), worker).await.expect("it goes on").unwrap();
}

fn wanted(ask: Ask) -> Wanted {
    let Ask { workspace, agent, connection, host, .. } = ask;
    Wanted { workspace, agent: Some(agent), connection, host: Some(host), held: None }
}
