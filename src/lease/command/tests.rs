use super::*;
use crate::lease::for_tests::ask;
use crate::telemetry::TestClock;

const NOW: u64 = 1_777_976_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn json(expires_at: Option<&str>, expires_in: Option<&str>) -> CommandOutput {
    CommandOutput::Json {
        fields: BTreeMap::from([("access_token".to_owned(), "/credential/access_token".to_owned())]),
        expires_at: expires_at.map(str::to_owned),
        expires_in: expires_in.map(str::to_owned),
    }
}

#[tokio::test]
async fn what_a_contract_can_do_without_may_be_missing() {
    let mut output = json(Some("Expiration"), None);
    if let CommandOutput::Json { fields, .. } = &mut output {
        fields.insert("session_token".to_owned(), "SessionToken".to_owned());
    }
    let written = |rest: &str| format!("echo '{{\"credential\": {{\"access_token\": \"t\"}}{rest}}}'");
    let fetched = run(&written(""), output.clone(), Some(60)).await.unwrap();
    assert!(fetched.fields.get("session_token").is_none() && fetched.expires_at == Some(at(NOW + 60)));
    let fetched =
        run(&written(", \"SessionToken\": \"s\", \"Expiration\": 1777976010"), output, Some(60)).await.unwrap();
    assert!(fetched.fields.get("session_token").is_some() && fetched.expires_at == Some(at(NOW + 10)));
}

async fn run(script: &str, output: CommandOutput, ttl: Option<u64>) -> Result<Fetched, LendError> {
    let environment = Environment::of([
        ("PATH", std::env::var_os("PATH").unwrap()),
        ("HTTPS_PROXY", "http://canary".into()),
        ("WANTED", "yes".into()),
    ]);
    let source = CommandSource { timeout: Duration::from_secs(20) };
    let fetch = CommandFetch::new(&source, environment, Arc::new(TestClock::at(at(NOW))));
    let place = CommandConnection {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        environment: vec!["PATH".to_owned(), "WANTED".to_owned(), "NOT_SET".to_owned()],
        output,
        ttl: ttl.map(Duration::from_secs),
    };
    fetch.fetch(&place, &ask("cmd", "api.example.com")).await
}

fn line() -> CommandOutput {
    CommandOutput::Line("access_token".to_owned())
}

fn value(fetched: &Fetched) -> &str {
    fetched.fields.get("access_token").unwrap().expose_str().unwrap()
}

#[tokio::test]
async fn a_line_is_the_value_and_ends_with_its_ttl() {
    let fetched = run("echo \"tok-$WANTED$HTTPS_PROXY$HOME\"", line(), Some(600)).await.unwrap();
    assert_eq!(value(&fetched), "tok-yes", "it sees what it was given and nothing else");
    assert_eq!(fetched.expires_at, Some(at(NOW + 600)));
    assert!(fetched.refreshable);
}

#[tokio::test]
async fn json_names_its_own_end() {
    let of = |rest: &str| format!("echo '{{\"credential\": {{\"access_token\": \"t\"{rest}}}}}'");
    let end = Some("/credential/end");
    for (rest, output, ttl, expected) in [
        ("", json(None, None), None, None),
        ("", json(None, None), Some(60), Some(NOW + 60)),
        (", \"end\": \"2026-05-05T10:20:00Z\"", json(end, None), None, Some(NOW + 400)),
        (", \"end\": 1777976100", json(end, None), Some(60), Some(NOW + 60)),
        (", \"end\": \"1777976100\"", json(end, None), Some(600), Some(NOW + 100)),
        (", \"end\": 90", json(None, end), Some(600), Some(NOW + 90)),
    ] {
        let fetched = run(&of(rest), output, ttl).await.unwrap();
        assert_eq!(value(&fetched), "t");
        assert_eq!(fetched.expires_at, expected.map(at), "{rest}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_from_what_may_pass() {
    let end = || json(Some("end"), None);
    for (script, output, why) in [
        ("true", line(), "wrote nothing"),
        ("echo canary; echo canary", line(), "more than one line"),
        ("echo canary", json(None, None), "wrote no JSON"),
        ("echo '[\"canary\"]'", json(None, None), "nothing at"),
        ("echo '{\"credential\": {\"access_token\": 7}}'", json(None, None), "no text at"),
        ("echo '{\"end\": \"canary\", \"credential\": {\"access_token\": \"canary\"}}'", end(), "no time at \"end\""),
        ("echo '{\"end\": -5, \"credential\": {\"access_token\": \"canary\"}}'", end(), "no time at \"end\""),
        ("echo '{\"a\": \"canary\", \"a\": \"canary\"}'", json(None, None), "wrote no JSON"),
        ("yes canary", line(), "more than 65536 bytes"),
    ] {
        let error = run(script, output, Some(60)).await.unwrap_err();
        assert!(matches!(error, LendError::Unusable { .. }), "{script}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(why) && !text.contains("canary"), "{text}");
    }
    let unended = run("echo '{\"credential\": {\"access_token\": \"canary\"}}'", end(), None).await.unwrap_err();
    assert!(unended.to_string().contains("no time at \"end\""), "without a ttl an end is needed: {unended}");
    let error = run("echo canary; echo canary >&2; exit 4", line(), Some(60)).await.unwrap_err();
    assert!(matches!(error, LendError::Unavailable { .. }));
    let text = format!("{error} {error:?}");
    assert!(text.contains("exit status: 4") && text.contains("by hand") && !text.contains("canary"), "{text}");
}
