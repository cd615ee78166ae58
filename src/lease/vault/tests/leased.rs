use super::*;
use crate::lease::Held;

const LOGIN: &str = "POST auth/approle/login";
const MAKE: &str = "GET database/creds/app";
const RENEW: &str = "POST sys/leases/renew";
const REVOKE: &str = "POST sys/leases/revoke";

fn database() -> VaultConnection {
    VaultConnection { path: "database/creds/app".to_owned(), version: None, fields: None }
}

fn held(refused: bool) -> Ask {
    Ask { held: Some(Held { id: "v/jira".into(), version: 1, refused }), ..ask() }
}

/// Who the database would know, and for how many seconds.
async fn user(bench: &Bench, ask: &Ask) -> (String, u64) {
    let fetched = bench.fetch.fetch(&database(), ask).await.unwrap();
    assert!(fetched.refreshable && !fetched.fields.get("password").unwrap().is_empty());
    let left = fetched.expires_at.unwrap().duration_since(bench.clock.wall()).unwrap();
    (field(&fetched, "username"), left.as_secs())
}

impl Bench {
    async fn user(&self) -> (String, u64) {
        user(self, &held(false)).await
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn alive(&self) -> usize {
        self.vault.state().alive().len()
    }
}

#[tokio::test]
async fn a_secret_that_is_asked_for_again_and_again_is_renewed_and_then_replaced() {
    let bench = bench().await;
    bench.vault.state().token_ttl = 100_000;
    let (first, left) = bench.user().await;
    assert_eq!(left, 600, "who wants it longer asks again");
    bench.pass(1799);
    assert_eq!(bench.user().await, (first.clone(), 600));
    assert_eq!(bench.vault.asked(), [LOGIN, MAKE]);
    bench.pass(1);
    assert_eq!(bench.user().await.0, first);
    assert_eq!(bench.vault.asked(), [RENEW]);
    bench.pass(2000);
    assert_eq!(bench.user().await.0, first);
    assert_eq!(bench.vault.asked(), [RENEW], "it reaches the longest that Vault gives");
    bench.pass(2600);
    let (second, _) = bench.user().await;
    assert_ne!(second, first);
    assert_eq!(bench.vault.asked(), [RENEW, MAKE]);
}

#[tokio::test]
async fn each_agent_has_its_own_and_twenty_that_ask_at_once_share_it() {
    let bench = bench().await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let fetch = Arc::clone(&bench.fetch);
            tokio::spawn(async move { field(&fetch.fetch(&database(), &ask()).await.unwrap(), "username") })
        })
        .collect();
    let mut users = std::collections::BTreeSet::new();
    for task in tasks {
        users.insert(task.await.unwrap());
    }
    assert_eq!(users.len(), 1);
    let other = Ask { agent: "other".into(), ..ask() };
    assert!(!users.contains(&user(&bench, &other).await.0));
    assert_eq!(bench.vault.asked(), [LOGIN, MAKE, MAKE]);
}

#[tokio::test]
async fn one_that_was_refused_is_replaced_at_once_and_given_back() {
    let bench = bench().await;
    let (first, _) = bench.user().await;
    let (second, _) = user(&bench, &held(true)).await;
    assert_ne!(first, second);
    assert_eq!((bench.user().await.0, bench.alive()), (second, 2));
    bench.fetch.give_back().await;
    assert_eq!(
        (bench.vault.asked(), bench.alive()),
        (vec![LOGIN.to_owned(), MAKE.into(), MAKE.into(), REVOKE.into()], 1)
    );
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_is_given_back() {
    let bench = bench().await;
    bench.user().await;
    bench.pass(600);
    bench.fetch.give_back().await;
    assert_eq!(bench.alive(), 1, "it may be in use until then");
    bench.pass(1);
    bench.vault.state().down = Some(503);
    bench.fetch.give_back().await;
    assert_eq!(bench.alive(), 1);
    bench.vault.state().down = None;
    bench.fetch.give_back().await;
    assert_eq!(bench.alive(), 0, "it is tried again");
    bench.vault.asked();
    bench.fetch.give_back().await;
    assert!(bench.vault.asked().is_empty());
}

#[tokio::test]
async fn what_vault_will_not_take_back_is_left_to_its_end() {
    let bench = bench().await;
    bench.user().await;
    bench.vault.state().allowed = vec!["database/"];
    bench.pass(601);
    bench.vault.asked();
    bench.fetch.give_back().await;
    bench.fetch.give_back().await;
    assert_eq!((bench.vault.asked(), bench.alive()), (vec![REVOKE.to_owned()], 1));
}

#[tokio::test]
async fn an_outage_leaves_what_is_good_and_nothing_that_was_refused() {
    let bench = bench().await;
    let (first, _) = bench.user().await;
    bench.pass(3000);
    bench.vault.state().down = Some(503);
    assert_eq!(bench.user().await, (first, 600), "its lease has 600 s left");
    assert!(told(bench.fetch.fetch(&database(), &held(true)).await).starts_with("unavailable"));
    bench.pass(600);
    assert!(told(bench.fetch.fetch(&database(), &held(false)).await).starts_with("unavailable"));
}

#[tokio::test]
async fn a_secret_ends_with_the_token_that_it_was_made_with() {
    let bench = bench().await;
    bench.vault.state().token_ttl = 300;
    let (first, left) = bench.user().await;
    assert_eq!(left, 300);
    bench.vault.state().end_token("hvs.canary-1");
    bench.pass(100);
    bench.vault.state().lease_ttl = 60;
    let (second, left) = user(&bench, &held(true)).await;
    assert!(second != first && left == 60);
    bench.pass(50);
    bench.vault.state().end_token("hvs.canary-3");
    let (third, _) = bench.user().await;
    assert!(third != second, "the renewal tells that the token is gone");
}

#[tokio::test]
async fn keys_of_aws_cannot_be_renewed() {
    let bench = bench().await;
    let place = VaultConnection { path: "aws/sts/deploy".to_owned(), version: None, fields: None };
    let first = bench.fetch(&place).await.unwrap();
    assert_eq!(
        (field(&first, "session_token").as_str(), field(&first, "secret_key").as_str()),
        ("canary-session", "canary-key")
    );
    bench.pass(2699);
    assert_eq!(field(&bench.fetch(&place).await.unwrap(), "access_key"), field(&first, "access_key"));
    bench.pass(1);
    assert_ne!(field(&bench.fetch(&place).await.unwrap(), "access_key"), field(&first, "access_key"));
    assert_eq!(bench.vault.asked(), [LOGIN, "GET aws/sts/deploy", "GET aws/sts/deploy"]);
}

#[tokio::test]
async fn at_the_end_everything_is_given_back() {
    let bench = bench().await;
    bench.user().await;
    user(&bench, &Ask { agent: "other".into(), ..ask() }).await;
    bench.vault.asked();
    bench.fetch.close().await;
    assert_eq!((bench.vault.asked(), bench.alive()), (vec!["POST auth/token/revoke-self".to_owned()], 0));

    let given = bench_with(|folder| VaultAuth::Token(write(folder, "token", "canary-given"))).await;
    given.vault.state().token("canary-given", 3600);
    given.user().await;
    given.vault.asked();
    given.fetch.close().await;
    assert_eq!((given.vault.asked(), given.alive()), (vec![REVOKE.to_owned()], 0));
    assert!(given.vault.state().tokens.contains_key("canary-given"), "it is somebody else's to end");
}
