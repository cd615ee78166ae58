use std::time::Duration;

use super::*;
use crate::authority::event::News;
use crate::authority::store::Value as Cell;
use crate::authority::tests::{bearer, name, open, open_with};

const LIMIT: Duration = Duration::from_secs(30);

fn agents(names: &[&str]) -> Whose {
    Whose::Agents(names.iter().map(|&name| name.to_owned()).collect())
}

fn from(number: i64) -> Known {
    Known { number: Some(number), store: None }
}

fn say(authority: &Authority, news: Vec<News>) {
    let told = authority.write(move |work| {
        news.into_iter().for_each(|news| work.announce(news));
        Ok::<_, StoreError>(())
    });
    told.unwrap();
}

fn run(authority: &Authority, sql: &'static str, values: Vec<Cell>) {
    authority.write(move |work| work.execute(sql, &values).map(drop)).unwrap();
}

fn grant(authority: &Authority, agent: &str, connection: &str) {
    let sql = "INSERT INTO grants (workspace, agent, connection, created_at) VALUES ('local', $1, $2, 1)";
    run(authority, sql, vec![agent.into(), connection.into()]);
}

/// The next item in one word and its number.
async fn next(subscription: &mut Subscription) -> (String, i64) {
    let item = tokio::time::timeout(LIMIT, subscription.next()).await.expect("nothing came").unwrap().unwrap();
    match item {
        Item::Hello { number, .. } => ("hello".into(), number),
        Item::Resync { number } => ("resync".into(), number),
        Item::Change(event) => (event.news.kind.clone(), event.number),
    }
}

async fn numbers(subscription: &mut Subscription, count: usize) -> Vec<i64> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(next(subscription).await.1);
    }
    found
}

#[tokio::test]
async fn what_was_missed_comes_before_what_happens_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()), open(folder.path()));
    let many = |count: usize| (0..count).map(|_| News::new("policy.changed")).collect::<Vec<_>>();
    say(&one, many(1200));
    let mut subscription = two.subscribe(Whose::All, from(3)).await.unwrap();
    say(&one, many(2));
    assert_eq!(next(&mut subscription).await, ("hello".into(), 1200));
    assert_eq!(numbers(&mut subscription, 1199).await, (4..=1202).collect::<Vec<_>>());
    say(&two, many(1));
    say(&one, many(1));
    assert_eq!(numbers(&mut subscription, 2).await, [1203, 1204]);
    assert_eq!(subscription.beat(), Some(1204));
}

#[tokio::test]
async fn without_a_number_it_starts_with_what_happens_next() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    say(&authority, vec![News::new("frozen")]);
    let mut subscription = authority.subscribe(Whose::All, Known::default()).await.unwrap();
    assert_eq!(next(&mut subscription).await, ("hello".into(), 1));
    authority.unfreeze().unwrap();
    authority.freeze().unwrap();
    assert_eq!(next(&mut subscription).await, ("frozen".into(), 2));
}

#[tokio::test]
async fn what_was_asked_for_and_is_not_there_is_said_to_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clock) = open_with(folder.path(), 7).unwrap();
    say(&authority, vec![News::new("policy.changed"); 10]);
    let epoch = authority.epoch().unwrap();
    assert_eq!((authority.epoch().unwrap(), epoch.len()), (epoch.clone(), 16));
    let elsewhere = Known { number: Some(3), store: Some("another".into()) };
    let here = Known { number: Some(3), store: Some(epoch) };
    for (known, want) in [
        (from(11), ("resync", 10)),
        (elsewhere, ("resync", 10)),
        (here, ("policy.changed", 4)),
        (from(0), ("policy.changed", 1)),
    ] {
        let mut subscription = authority.subscribe(Whose::All, known.clone()).await.unwrap();
        assert_eq!(next(&mut subscription).await.0, "hello");
        assert_eq!(next(&mut subscription).await, (want.0.into(), want.1), "{known:?}");
    }
    clock.advance(Duration::from_secs(6 * 24 * 3600));
    say(&authority, vec![News::new("policy.changed"); 2]);
    clock.advance(Duration::from_secs(24 * 3600 + 1));
    authority.prune_events().unwrap();
    for (asked, want) in [(0, ("resync", 12)), (9, ("resync", 12)), (10, ("policy.changed", 11))] {
        let mut subscription = authority.subscribe(Whose::All, from(asked)).await.unwrap();
        next(&mut subscription).await;
        assert_eq!(next(&mut subscription).await, (want.0.into(), want.1), "{asked}");
    }
    clock.advance(Duration::from_secs(8 * 24 * 3600));
    authority.prune_events().unwrap();
    let mut all_gone = authority.subscribe(Whose::All, from(11)).await.unwrap();
    assert_eq!((next(&mut all_gone).await.0, next(&mut all_gone).await), ("hello".into(), ("resync".into(), 12)));
    say(&authority, vec![News::new("frozen")]);
    assert_eq!(next(&mut all_gone).await, ("frozen".into(), 13));
    let mut known = authority.subscribe(Whose::All, from(12)).await.unwrap();
    assert_eq!((next(&mut known).await.0, next(&mut known).await), ("hello".into(), ("frozen".into(), 13)));
}

#[tokio::test]
async fn more_than_is_kept_is_forgotten_from_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    say(&authority, vec![News::new("policy.changed"); 100_020]);
    authority.prune_events().unwrap();
    let oldest = authority.read(|tx| oldest_event(tx, "local")).unwrap();
    assert_eq!(oldest, Some(21));
}

#[tokio::test]
async fn a_follower_hears_of_its_agents_and_of_what_concerns_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let ids: Vec<String> = ["mine", "other"].map(|named| authority.add(bearer(named, "t")).unwrap().id).into();
    grant(&authority, "bot", &ids[0]);
    grant(&authority, "stranger", &ids[1]);
    let mut live = authority.subscribe(agents(&["bot"]), Known::default()).await.unwrap();
    let mut admin = authority.subscribe(Whose::All, Known::default()).await.unwrap();
    let changed = |id: &str, name: &str| News::new("connection.changed").connection(id, name);
    say(&authority, vec![changed(&ids[0], "mine"), changed(&ids[1], "other")]);
    let granted = |agent: &str| News::new("grant.changed").connection(&ids[1], "other").agent(agent);
    say(&authority, vec![granted("stranger"), granted("bot")]);
    say(&authority, vec![News::new("agent.revoked").agent("stranger"), News::new("agent.revoked").agent("bot")]);
    say(&authority, vec![News::new("provider.revoked").provider("x"), News::new("all.revoked"), News::new("frozen")]);
    for named in ["mine", "other"] {
        authority.delete(&name(named)).unwrap();
    }
    say(&authority, vec![News::new("unfrozen")]);
    let want = [2, 3, 6, 8, 9, 10, 11, 12, 14];
    assert_eq!(numbers(&mut live, want.len()).await, want);
    assert_eq!(numbers(&mut admin, 13).await, (2..=14).collect::<Vec<_>>());
    // Who comes later hears that what it could borrow was deleted, and of no other's.
    let mut late = authority.subscribe(agents(&["bot"]), from(11)).await.unwrap();
    assert_eq!(numbers(&mut late, 3).await, [14, 12, 14]);
    let mut nobody = authority.subscribe(Whose::of(&Sight::Nothing), from(11)).await.unwrap();
    assert_eq!(numbers(&mut nobody, 2).await, [14, 14]);
}

#[tokio::test]
async fn who_falls_behind_reads_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let mut subscription = authority.subscribe(Whose::All, Known::default()).await.unwrap();
    assert_eq!(next(&mut subscription).await.1, 0);
    say(&authority, vec![News::new("policy.changed"); 9000]);
    assert_eq!(numbers(&mut subscription, 9000).await, (1..=9000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_names_what_it_is_about_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let id = authority.add(bearer("github", "t")).unwrap().id;
    let mut subscription = authority.subscribe(Whose::All, from(0)).await.unwrap();
    let hello = subscription.next().await.unwrap().unwrap();
    assert_eq!((hello.name(), hello.id()), ("hello", None));
    assert_eq!(hello.data(), json!({ "number": 1, "store": authority.epoch().unwrap() }));
    let change = subscription.next().await.unwrap().unwrap();
    assert_eq!((change.name(), change.id()), ("change", Some(1)));
    let want = json!({
        "number": 1, "kind": "connection.changed", "connection": { "id": id, "name": "github" },
        "at": "2027-01-15T08:00:00Z",
    });
    assert_eq!(change.data(), want);
    assert_eq!(Item::Resync { number: 3 }.data(), json!({ "number": 3 }));
}
