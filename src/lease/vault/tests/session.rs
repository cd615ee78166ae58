use super::*;

const LOGIN: &str = "POST auth/approle/login";
const READ: &str = "GET secret/data/jira";
const LOOK_UP: &str = "GET auth/token/lookup-self";
const RENEW: &str = "POST auth/token/renew-self";

async fn read(bench: &Bench) -> Result<Fetched, LendError> {
    bench.fetch(&at("secret/data/jira")).await
}

#[tokio::test]
async fn a_token_is_made_anew_when_it_ended_and_when_vault_forgot_it() {
    let bench = bench().await;
    read(&bench).await.unwrap();
    read(&bench).await.unwrap();
    assert_eq!(bench.vault.asked(), [LOGIN, READ, READ]);
    bench.clock.advance(Duration::from_secs(3600));
    read(&bench).await.unwrap();
    assert_eq!(bench.vault.asked(), [LOGIN, READ], "its end is known");
    bench.vault.state().tokens.clear();
    read(&bench).await.unwrap();
    assert_eq!(bench.vault.asked(), [READ, LOOK_UP, LOGIN, READ]);
}

#[tokio::test]
async fn what_is_not_allowed_costs_no_login() {
    let bench = bench().await;
    bench.vault.state().allowed.clear();
    let error = told(read(&bench).await);
    assert!(error.starts_with("unusable") && error.contains("its policy has to allow"), "{error}");
    assert_eq!(bench.vault.asked(), [LOGIN, READ, LOOK_UP]);
    let error = told(read(&bench).await);
    assert!(error.starts_with("unusable"), "{error}");
    assert_eq!(bench.vault.asked(), [READ, LOOK_UP]);
}

#[tokio::test]
async fn a_login_that_is_not_accepted_says_where_to_look() {
    let other = |folder: &tempfile::TempDir| {
        let secret_id_file = write(folder, "secret-id", "canary-other");
        VaultAuth::AppRole { mount: "approle".to_owned(), role_id: "role".to_owned(), secret_id_file }
    };
    let error = told(read(&bench_with(other).await).await);
    assert!(error.starts_with("unusable") && error.contains("cannot log in at auth/approle"), "{error}");
    let elsewhere = |folder: &tempfile::TempDir| match approle(folder) {
        VaultAuth::AppRole { role_id, secret_id_file, .. } => {
            VaultAuth::AppRole { mount: "elsewhere".to_owned(), role_id, secret_id_file }
        }
        other => other,
    };
    let error = told(read(&bench_with(elsewhere).await).await);
    assert!(error.starts_with("unusable") && error.contains("look at `mount`"), "{error}");
    let error = told(read(&bench_with(|_| VaultAuth::Token("/nowhere/token".into())).await).await);
    assert!(error.starts_with("unusable") && error.contains("/nowhere/token"), "{error}");
    let bench = bench().await;
    bench.vault.state().down = Some(503);
    assert!(told(read(&bench).await).starts_with("unavailable"));
    bench.vault.state().down = None;
    read(&bench).await.unwrap();
}

#[tokio::test]
async fn the_token_of_a_pod_is_read_at_each_login() {
    let bench = bench_with(|folder| {
        let token_file = write(folder, "token", "canary-old");
        VaultAuth::Kubernetes { mount: "kubernetes".to_owned(), role: "app".to_owned(), token_file }
    })
    .await;
    assert!(told(read(&bench).await).starts_with("unusable"));
    let file = write(&bench.folder, "token", "canary-jwt");
    // As a kubelet writes it where the pod says nothing else.
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    read(&bench).await.unwrap();
}

#[tokio::test]
async fn a_login_is_renewed_ahead_and_replaced_where_it_cannot_be() {
    let bench = bench().await;
    bench.vault.state().token_max = 5400;
    bench.fetch.sessions.look_after().await.unwrap();
    assert!(bench.vault.asked().is_empty(), "nobody asked for anything");
    read(&bench).await.unwrap();
    bench.clock.advance(Duration::from_secs(1799));
    bench.fetch.sessions.look_after().await.unwrap();
    assert_eq!(bench.vault.asked(), [LOGIN, READ]);
    bench.clock.advance(Duration::from_secs(1));
    bench.fetch.sessions.look_after().await.unwrap();
    bench.fetch.sessions.look_after().await.unwrap();
    assert_eq!(bench.vault.asked(), [RENEW]);
    // The next renewal reaches the last moment of it, and moves nothing after that.
    bench.clock.advance(Duration::from_secs(1801));
    for _ in 0..3 {
        bench.fetch.sessions.look_after().await.unwrap();
    }
    assert_eq!(bench.vault.asked(), [RENEW]);
    bench.clock.advance(Duration::from_secs(900));
    bench.fetch.sessions.look_after().await.unwrap();
    assert_eq!(bench.vault.asked(), [LOGIN]);
    bench.vault.state().down = Some(503);
    bench.clock.advance(Duration::from_secs(1800));
    assert!(matches!(bench.fetch.sessions.look_after().await, Err(Failed::Unavailable(_))));
    bench.vault.state().down = None;
    read(&bench).await.unwrap();
    assert_eq!(bench.vault.asked().last().unwrap(), READ, "it is still good");
}

#[tokio::test]
async fn a_token_that_was_given_is_looked_after_and_exchanged() {
    let bench = bench_with(|folder| VaultAuth::Token(write(folder, "token", "canary-given\n"))).await;
    bench.vault.state().token("canary-given", 3600);
    bench.fetch.sessions.look_after().await.unwrap();
    assert_eq!(bench.vault.asked(), [LOOK_UP], "nobody else can renew it");
    bench.clock.advance(Duration::from_secs(1800));
    bench.fetch.sessions.look_after().await.unwrap();
    assert_eq!(bench.vault.asked(), [RENEW]);
    read(&bench).await.unwrap();
    bench.vault.state().tokens.clear();
    let error = told(read(&bench).await);
    assert!(error.starts_with("unusable") && error.contains("put another there"), "{error}");
    bench.vault.state().token("canary-next", 3600);
    bench.vault.asked();
    write(&bench.folder, "token", "canary-next");
    read(&bench).await.unwrap();
    assert_eq!(bench.vault.asked(), [LOOK_UP, READ]);
}

#[tokio::test]
async fn who_follows_renews_by_itself() {
    let bench = bench().await;
    read(&bench).await.unwrap();
    let fetch = Arc::clone(&bench.fetch);
    let follower = tokio::spawn(async move { fetch.follow().await });
    let mut asked = Vec::new();
    while !asked.iter().any(|line| line == RENEW) {
        bench.clock.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(1)).await;
        asked.extend(bench.vault.asked());
    }
    follower.abort();
}
