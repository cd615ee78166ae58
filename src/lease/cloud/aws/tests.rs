use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::AssumeRole;
use crate::lease::cloud::for_tests::{
    CANARY, LookAlike, Says, Seen, ask, calls, calls_with_clock, fails, field, life, object, private, says,
};
use crate::sign::verifier::verify;

const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
const POLICY: &str =
    r#"{"Statement":[{"Action":"s3:GetObject","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#;

fn answer(action: &str, key: &str) -> Says {
    says(
        200,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <{action}Result>\n    \
             <AssumedRoleUser><AssumedRoleId>A:bot</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/reader/bot</Arn>\
             </AssumedRoleUser>\n    <Credentials>\n      <AccessKeyId>{key}</AccessKeyId>\n      \
             <SecretAccessKey>s/e+{CANARY}</SecretAccessKey>\n      <SessionToken>t&amp;{CANARY}</SessionToken>\n      \
             <Expiration>2026-01-02T04:04:05Z</Expiration>\n    </Credentials>\n  </{action}Result>\n  \
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\n</{action}Response>\n"
        ),
    )
}

fn refusal(status: u16, code: &str) -> Says {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{CANARY}</Message></Error>");
    says(status, format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"))
}

/// A token service that checks signatures by this key.
async fn sts(secret: &'static str) -> LookAlike {
    LookAlike::start(move |seen: &Seen| {
        let action = seen.form()["Action"].clone();
        match action.as_str() {
            "AssumeRole" => match verify(&seen.received(), secret) {
                Ok(_) => answer("AssumeRole", "ASIAROLE"),
                Err(_) => refusal(403, "SignatureDoesNotMatch"),
            },
            "AssumeRoleWithWebIdentity" if seen.header("authorization").is_none() => {
                answer("AssumeRoleWithWebIdentity", "ASIAWEB")
            }
            _ => refusal(400, "InvalidAction"),
        }
    })
    .await
}

fn of(base: AwsBase, sts: Option<&LookAlike>) -> AwsFetch {
    let sts_url = sts.map(|server| server.url("/"));
    AwsFetch::new(&AwsSource { base, region: Some("eu-central-1".to_owned()), sts_url, ca_file: None }, calls())
}

struct Kept(tempfile::TempDir);

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        private(folder.path(), "id", "AKIAKEPT\n");
        private(folder.path(), "key", "kept-secret\n");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn base(&self) -> AwsBase {
        AwsBase::Static {
            access_key_file: self.path("id"),
            secret_key_file: self.path("key"),
            session_token_file: None,
        }
    }
}

fn plain() -> AwsConnection {
    AwsConnection { role: None, is_minted: false, duration: None, session_policy: None }
}

fn role() -> AwsConnection {
    let tags = [("team".to_owned(), "data".to_owned())].into();
    let role = AssumeRole { role_arn: ROLE.to_owned(), external_id: Some("ext-1".to_owned()), tags };
    AwsConnection { role: Some(role), is_minted: true, ..plain() }
}

#[tokio::test]
async fn kept_keys_are_given_as_they_are() {
    let kept = Kept::new();
    let fetch = of(kept.base(), None);
    let fetched = fetch.fetch(&plain(), &ask("bot", None)).await.unwrap();
    assert_eq!((field(&fetched, "access_key"), field(&fetched, "secret_key")), ("AKIAKEPT", "kept-secret"));
    assert!(fetched.expires_at.is_none() && !fetched.refreshable && fetched.fields.get("session_token").is_none());
    let (word, why) = fails(&fetch, &plain(), &ask("bot", Some(json!({"duration": "15m"})))).await;
    assert!(word == "unusable" && why.contains("assume_role"), "{why}");
    std::fs::remove_file(kept.path("key")).unwrap();
    assert_eq!(fails(&fetch, &plain(), &ask("bot", None)).await.0, "unusable");
}

#[tokio::test]
async fn a_role_is_taken_in_the_agents_name() {
    let (kept, server) = (Kept::new(), sts("kept-secret").await);
    let fetch = of(kept.base(), Some(&server));
    let fetched = fetch.fetch(&role(), &ask("triage bot", None)).await.unwrap();
    assert_eq!((field(&fetched, "access_key"), life(&fetched), fetched.refreshable), ("ASIAROLE", 3600, true));
    assert_eq!(field(&fetched, "session_token"), format!("t&{CANARY}"));
    assert!(!format!("{fetched:?}").contains(CANARY));
    let form = server.last().form();
    assert_eq!((&*form["RoleArn"], &*form["ExternalId"], &*form["DurationSeconds"]), (ROLE, "ext-1", "3600"));
    assert!(form["RoleSessionName"].starts_with("triage-bot=") && form["RoleSessionName"].len() == 27);
    let tags = ["Key", "Value"]
        .map(|kind| (1..=3).map(|n| form[&format!("Tags.member.{n}.{kind}")].clone()).collect::<Vec<_>>());
    assert_eq!(tags[0], ["agent", "connection", "team"]);
    assert_eq!(tags[1], ["triage bot", "cloud", "data"]);
    assert!(!form.contains_key("Policy") && form["Version"] == "2011-06-15");
    assert!(server.last().header("authorization").unwrap().contains("/eu-central-1/sts/aws4_request"));
    let scope =
        json!({"duration": "15m", "session_policy": serde_json::from_str::<serde_json::Value>(POLICY).unwrap()});
    fetch.fetch(&role(), &ask("bot", Some(scope))).await.unwrap();
    let form = server.last().form();
    assert_eq!((&*form["Policy"], &*form["DurationSeconds"], &*form["RoleSessionName"]), (POLICY, "900", "bot"));
    private(kept.0.path(), "key", "another");
    let (word, why) = fails(&fetch, &role(), &ask("bot", None)).await;
    assert!(word == "unusable" && why.contains("SignatureDoesNotMatch"), "{why}");
}

#[tokio::test]
async fn a_platforms_token_is_exchanged_and_a_role_taken_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = sts(Box::leak(format!("s/e+{CANARY}").into_boxed_str())).await;
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "a.web.token").unwrap();
    let base =
        || AwsBase::WebIdentity { token_file: token_file.clone(), role_arn: "arn:aws:iam::1:role/web".to_owned() };
    let own = AwsConnection { is_minted: true, session_policy: Some(POLICY.to_owned()), ..plain() };
    let fetched = of(base(), Some(&server)).fetch(&own, &ask("bot", None)).await.unwrap();
    assert_eq!(field(&fetched, "access_key"), "ASIAWEB");
    let form = server.last().form();
    assert_eq!(
        (&*form["WebIdentityToken"], &*form["RoleSessionName"], &*form["Policy"]),
        ("a.web.token", "bot", POLICY)
    );
    let over =
        AwsConnection { session_policy: Some(POLICY.to_owned()), duration: Some(Duration::from_secs(900)), ..role() };
    let fetched = of(base(), Some(&server)).fetch(&over, &ask("bot", None)).await.unwrap();
    assert_eq!(field(&fetched, "access_key"), "ASIAROLE");
    let seen = server.seen();
    let (first, last) = (seen[1].form(), seen[2].form());
    assert!(!first.contains_key("Policy") && first["DurationSeconds"] == "3600");
    assert_eq!((&*last["Policy"], &*last["DurationSeconds"]), (POLICY, "900"));
    assert!(seen[2].headers.iter().any(|(name, _)| name == "x-amz-security-token"));
}

#[tokio::test]
async fn each_refusal_is_told_for_what_it_is() {
    let kept = Kept::new();
    let whole = answer("AssumeRole", "ASIA").2;
    for (answer, word, part) in [
        (refusal(403, "AccessDenied"), "unusable", "trust policy"),
        (refusal(403, "ExpiredToken"), "unusable", "expired"),
        (refusal(400, "MalformedPolicyDocument"), "unusable", "session_policy"),
        (refusal(400, "ValidationError"), "unusable", "duration"),
        (refusal(400, "Throttling"), "unavailable", "Throttling"),
        (refusal(400, "SomethingNew"), "unusable", "400 (SomethingNew)"),
        (refusal(400, &format!("{CANARY} {CANARY}")), "unusable", "400"),
        (refusal(503, "ServiceUnavailable"), "unavailable", "503"),
        (says(500, CANARY), "unavailable", "500"),
        ((307, "location: http://127.0.0.1:1/\r\n", String::new()), "unusable", "redirect"),
        (says(200, CANARY), "unusable", "no XML"),
        (says(200, "{}"), "unusable", "no XML"),
        (says(200, &whole[..whole.len() - 40]), "unusable", "no XML"),
        (says(200, whole.replace("SecretAccessKey", "Other")), "unusable", "no SecretAccessKey"),
        (says(200, whole.replace("AssumeRoleResult", "Result")), "unusable", "gives no"),
        (says(200, whole.replace("2026-01-02T04", "2026-01-02T02")), "unavailable", "ended already"),
        (says(200, whole.replace("2026-01-02T04", "soon")), "unusable", "no time"),
        (says(200, "x".repeat(300 * 1024)), "unusable", "longer than"),
    ] {
        let server = LookAlike::start(move |_| answer.clone()).await;
        let (got, why) = fails(&of(kept.base(), Some(&server)), &role(), &ask("bot", None)).await;
        assert_eq!((&*got, why.contains(part)), (word, true), "{part}: {why}");
    }
}

fn machine_keys(code: &str) -> String {
    json!({
        "Code": code, "Type": "AWS-HMAC", "AccessKeyId": "ASIAMACHINE", "SecretAccessKey": CANARY, "Token": CANARY,
        "Expiration": "2026-01-02T09:04:05Z",
    })
    .to_string()
}

#[tokio::test]
async fn an_instance_is_asked_by_version_two_alone() {
    let server = LookAlike::start(|seen: &Seen| match (&*seen.method, &*seen.target) {
        ("PUT", "/latest/api/token") if seen.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() => {
            says(200, "sess==")
        }
        _ if seen.header("x-aws-ec2-metadata-token") != Some("sess==") => says(401, CANARY),
        ("GET", "/latest/meta-data/iam/security-credentials/") => says(200, "web-role\n"),
        ("GET", "/latest/meta-data/iam/security-credentials/web-role") => says(200, machine_keys("Success")),
        _ => says(404, CANARY),
    });
    let server = server.await;
    let fetch = of(AwsBase::Imds { url: server.url("/") }, None);
    let fetched = fetch.fetch(&plain(), &ask("bot", None)).await.unwrap();
    assert_eq!((field(&fetched, "access_key"), life(&fetched), fetched.refreshable), ("ASIAMACHINE", 21_600, true));
    assert_eq!(server.seen().len(), 3);
    for (session, role, keys, word, part) in [
        (says(404, ""), says(200, "r"), says(200, machine_keys("Success")), "unusable", "404"),
        (says(200, ""), says(200, "r"), says(200, machine_keys("Success")), "unusable", "IMDSv2"),
        (says(200, "s"), says(404, ""), says(200, ""), "unusable", "no role"),
        (says(200, "s"), says(200, "../../x"), says(200, machine_keys("Success")), "unusable", "names no role"),
        (says(200, "s"), says(200, "a\nb"), says(200, machine_keys("Success")), "unusable", "names no role"),
        (says(200, "s"), says(200, "r"), says(200, machine_keys("Failed")), "unavailable", "Failed"),
        (says(200, "s"), says(200, "r"), says(200, CANARY), "unusable", "no JSON"),
        (says(200, "s"), says(200, "r"), says(200, "{}"), "unusable", "gives no"),
        (says(200, "s"), says(503, ""), says(200, ""), "unavailable", "503"),
    ] {
        let server = LookAlike::start(move |seen: &Seen| match &*seen.target {
            "/latest/api/token" => session.clone(),
            "/latest/meta-data/iam/security-credentials/" => role.clone(),
            _ => keys.clone(),
        });
        let server = server.await;
        let (got, why) = fails(&of(AwsBase::Imds { url: server.url("/") }, None), &plain(), &ask("bot", None)).await;
        assert_eq!((&*got, why.contains(part)), (word, true), "{part}: {why}");
    }
}

#[tokio::test]
async fn a_container_shows_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = LookAlike::start(|seen: &Seen| match (&*seen.target, seen.header("authorization")) {
        ("/v1/credentials", Some("pod-token")) => says(200, machine_keys("Success")),
        _ => says(401, CANARY),
    });
    let server = server.await;
    let token = folder.path().join("token");
    std::fs::write(&token, "pod-token\n").unwrap();
    let base = AwsBase::PodIdentity { url: server.url("/v1/credentials"), token_file: Some(token.clone()) };
    let fetch = of(base, None);
    assert_eq!(field(&fetch.fetch(&plain(), &ask("bot", None)).await.unwrap(), "access_key"), "ASIAMACHINE");
    std::fs::write(&token, "other").unwrap();
    let (word, why) = fails(&fetch, &plain(), &ask("bot", None)).await;
    assert!(word == "unusable" && why.contains("401"), "{why}");
}

#[tokio::test]
async fn a_profile_gives_static_keys_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let fetch = of(AwsBase::Profile { file: folder.path().join("credentials"), name: "work".to_owned() }, None);
    let good = "# a\n[default]\naws_access_key_id=no\n[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key=a=b\n\
                region = x\ns3 =\n  max = 1\n";
    private(folder.path(), "credentials", good);
    let fetched = fetch.fetch(&plain(), &ask("bot", None)).await.unwrap();
    assert_eq!((field(&fetched, "access_key"), field(&fetched, "secret_key")), ("AKIAWORK", "a=b"));
    private(folder.path(), "credentials", good.replace("AKIAWORK", "AKIANEXT"));
    assert_eq!(field(&fetch.fetch(&plain(), &ask("bot", None)).await.unwrap(), "access_key"), "AKIANEXT");
    for (text, part) in [
        ("[other]\n".to_owned(), "no such profile"),
        ("[work]\naws_access_key_id = a\n".to_owned(), "no aws_secret_access_key"),
        (format!("{good}[work]\n"), "twice"),
        (format!("{good}aws_access_key_id = b\n"), "twice"),
        (format!("[work]\ncredential_process = {CANARY}\n"), "starts a command"),
        (format!("[work]\nsso_session = {CANARY}\n"), "browser"),
        (format!("[work]\nrole_arn = {CANARY}\n"), "assume_role"),
        (format!("[work]\n{CANARY}\n"), "no setting"),
    ] {
        private(folder.path(), "credentials", text);
        let (word, why) = fails(&fetch, &plain(), &ask("bot", None)).await;
        assert!(word == "unusable" && why.contains(part), "{part}: {why}");
    }
}

#[test]
fn a_scope_never_widens() {
    let policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    let short = AwsConnection { duration: Some(Duration::from_secs(1800)), ..role() };
    let bound = AwsConnection { session_policy: Some(POLICY.to_owned()), ..role() };
    let long: serde_json::Value = json!({"Statement": "x".repeat(2100)});
    for (place, scope, is_good) in [
        (&role(), json!({"session_policy": policy, "duration": "1h"}), true),
        (&role(), json!({"duration": "14m"}), false),
        (&role(), json!({"duration": 900}), false),
        (&role(), json!({"session_policy": {}}), false),
        (&role(), json!({"session_policy": long}), false),
        (&role(), json!({"role_arn": ROLE}), false),
        (&short, json!({"duration": "30m"}), true),
        (&short, json!({"duration": "31m"}), false),
        (&bound, json!({"session_policy": policy}), false),
        (&bound, json!({"duration": "15m"}), true),
        (&plain(), json!({"duration": "15m"}), false),
    ] {
        assert_eq!(place.narrowed(object(&scope)).is_ok(), is_good, "{scope}");
    }
}

#[tokio::test]
async fn kept_keys_that_are_exchanged_are_noticed() {
    let kept = Kept::new();
    let (calls, clock) = calls_with_clock();
    let source = AwsSource { base: kept.base(), region: None, sts_url: None, ca_file: None };
    let fetch = AwsFetch::new(&source, calls);
    let moved = fetch.changes().unwrap();
    private(kept.0.path(), "key", "exchanged");
    let looking = async {
        while *moved.borrow() == 0 {
            clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = fetch.follow() => {}
        () = looking => {}
    }
    assert_eq!(field(&fetch.fetch(&plain(), &ask("bot", None)).await.unwrap(), "secret_key"), "exchanged");
}
