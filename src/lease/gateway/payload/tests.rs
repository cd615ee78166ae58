use serde_json::json;

use super::*;

const SECOND: u64 = 1_800_000_000;

fn at(seconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// As a Broker serves it: both places say the same.
fn oauth() -> Value {
    let one = json!({
        "access_token": "canary-a", "token_type": "Bearer", "scope": "read",
        "refresh_token": "canary-r", "id_token": "canary-i",
    });
    let mut whole = one.clone();
    whole["strategy"] = json!({"type": "oauth2"});
    whole["credentials"] = one;
    whole
}

fn of(body: &Value) -> Result<Payload, String> {
    read(body.to_string().as_bytes())
}

/// The same with members in the credentials and at the top.
fn with(inner: Value, top: Value) -> Result<Payload, String> {
    let mut body = oauth();
    for (members, place) in [(inner, true), (top, false)] {
        for (name, value) in members.as_object().unwrap() {
            let place = if place { &mut body["credentials"] } else { &mut body };
            place[name] = value.clone();
        }
    }
    of(&body)
}

#[test]
fn refresh_and_id_tokens_are_dropped_where_they_are_read() {
    let payload = of(&oauth()).unwrap();
    assert_eq!(payload.fields.names().collect::<Vec<_>>(), ["access_token", "scope", "token_type"]);
    assert_eq!(payload.fields.get("access_token").unwrap().expose(), b"canary-a");
    assert_eq!(payload.strategy, Some(json!({"type": "oauth2"})));
    assert!(payload.renewable && !payload.expired);
    assert!(!format!("{payload:?}").contains("canary"), "{payload:?}");
    let mut without = oauth();
    without.as_object_mut().unwrap().remove("refresh_token");
    assert!(of(&without).unwrap().renewable, "one of the two places is enough");
    without["credentials"]["refresh_token"] = json!("");
    assert!(!of(&without).unwrap().renewable);
}

#[test]
fn every_form_of_an_end_is_read_at_both_places_and_the_earliest_holds() {
    let ends = |inner, top| with(inner, top).map(|payload| payload.ends);
    for (inner, top, want) in [
        (json!({}), json!({}), None),
        (json!({"expires_at": "2027-01-15T08:00:00Z"}), json!({}), at(SECOND)),
        (json!({"expires_at": "2027-01-15T13:30:00+05:30"}), json!({}), at(SECOND)),
        (
            json!({"expires_at": "2027-01-15T08:00:00.75Z"}),
            json!({}),
            at(SECOND).map(|t| t + Duration::from_millis(750)),
        ),
        (json!({"expires_at": SECOND}), json!({}), at(SECOND)),
        (json!({"expires_at": 1_800_000_000.0}), json!({}), at(SECOND)),
        (json!({"expires_at": "1800000000"}), json!({}), at(SECOND)),
        (json!({"expiry": "2027-01-15T08:00:00Z"}), json!({}), at(SECOND)),
        (json!({}), json!({"expires_at": SECOND}), at(SECOND)),
        (json!({}), json!({"expiry": "2027-01-15T08:00:00Z"}), at(SECOND)),
        (json!({"expires_at": SECOND + 9}), json!({"expiry": SECOND}), at(SECOND)),
        (json!({"expires_at": SECOND}), json!({"expires_at": SECOND + 9}), at(SECOND)),
        (json!({"expiry": SECOND, "expires_at": null}), json!({"expires_at": ""}), at(SECOND)),
        (json!({"expiry": NO_TIME}), json!({"expiry": null}), None),
        (json!({"expires_at": 0}), json!({}), at(0)),
        (json!({"expires_at": -5}), json!({}), at(0)),
    ] {
        assert_eq!(ends(inner.clone(), top.clone()), Ok(want), "{inner} {top}");
    }
    for wrong in [
        json!("canary"),
        json!("2027-01-15"),
        json!(true),
        json!({"canary": 1}),
        json!(["canary"]),
        json!(1_800_000_000_000_u64),
        json!("99999999999999999999999"),
        json!(1e300),
    ] {
        for (inner, top) in [(json!({"expires_at": wrong}), json!({})), (json!({}), json!({"expiry": wrong}))] {
            let error = ends(inner, top).unwrap_err();
            assert!(error.contains("is no time") && !error.contains("canary"), "{error}");
        }
    }
}

#[test]
fn what_counts_from_the_issue_is_kept_apart() {
    let read = |inner, top| with(inner, top).map(|payload| (payload.ends, payload.lifetime.map(|life| life.as_secs())));
    assert_eq!(read(json!({"expires_in": 3600}), json!({})), Ok((None, Some(3600))));
    assert_eq!(read(json!({"expires_in": "3600"}), json!({})), Ok((None, Some(3600))));
    assert_eq!(read(json!({"expires_in": 3600}), json!({"expires_in": 60})), Ok((None, Some(60))));
    assert_eq!(read(json!({"expires_in": -1}), json!({})), Ok((None, Some(0))));
    for nothing in [json!("soon"), json!(""), json!(null), json!([1]), json!(1e300)] {
        assert_eq!(read(json!({"expires_in": nothing}), json!({})), Ok((None, None)), "{nothing}");
    }
    assert!(with(json!({"expired": true}), json!({})).unwrap().expired);
    assert!(with(json!({"expired": false}), json!({"expired": true})).unwrap().expired);
    assert!(!with(json!({"expired": "true"}), json!({})).unwrap().expired);
}

#[test]
fn only_texts_are_credentials() {
    let fields =
        json!({"api_key": "k\u{e9}\"", "n": 12_345_678_901_234_567_890_u64, "o": {"a": ["x"]}, "z": null, "b": true});
    let payload = of(&json!({"strategy": {"type": "header"}, "credentials": fields})).unwrap();
    assert_eq!(payload.fields.names().collect::<Vec<_>>(), ["api_key"]);
    assert_eq!(payload.fields.get("api_key").unwrap().expose_str(), Some("k\u{e9}\""));
    assert!(of(&json!({"credentials": {}})).unwrap().fields.is_empty());
}

#[test]
fn a_200_that_holds_no_credentials_is_told_apart_and_not_quoted() {
    for (body, want) in [
        ("", "with nothing"),
        (" \n", "with nothing"),
        ("{}", "without credentials"),
        ("null", "without credentials"),
        (r#"{"strategy":{"type":"oauth2"},"credentials":null}"#, "without credentials"),
        (r#"{"access_token":"canary"}"#, "without credentials"),
        (r#"{"error":"canary"}"#, "with an error"),
        (r#"{"error":{"canary":1},"credentials":null}"#, "with an error"),
        (r#"{"token":{"credentials":{"access_token":"canary"}}}"#, "gRPC"),
        (r#"{"credentials":"canary"}"#, "cannot be read"),
        (r#"{"credentials":["canary"]}"#, "cannot be read"),
        (r#"{"credentials":{"access_token":"canary"#, "cannot be read"),
        (r#"{"credentials":{}} canary"#, "cannot be read"),
        ("canary", "cannot be read"),
        ("[]", "cannot be read"),
        ("<html>canary</html>", "cannot be read"),
    ] {
        let error = read(body.as_bytes()).unwrap_err();
        assert!(error.contains(want) && !error.contains("canary"), "{body}: {error}");
    }
    let many: serde_json::Map<String, Value> = (0..=MOST).map(|n| (format!("f{n}"), json!("canary"))).collect();
    assert!(of(&json!({"credentials": many})).is_err());
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    assert!(read(format!(r#"{{"strategy":{deep},"credentials":{{}}}}"#).as_bytes()).is_err());
    assert!(read(format!(r#"{{"credentials":{{"a":{deep}}}}}"#).as_bytes()).unwrap().fields.is_empty());
}

#[test]
fn a_refresh_says_how_long_and_that_there_is_a_token() {
    let read = |body: &str| refreshed(body.as_bytes()).map(|life| life.map(|life| life.as_secs()));
    assert_eq!(read(r#"{"access_token":"canary","expires_in":3600,"refresh_token":"r"}"#), Ok(Some(3600)));
    assert_eq!(read(r#"{"access_token":"canary","expires_in":"60"}"#), Ok(Some(60)));
    assert_eq!(read(r#"{"access_token":"canary","token_type":"Bearer","expiry":"0001-01-01T00:00:00Z"}"#), Ok(None));
    for body in ["", "{}", "null", r#"{"access_token":""}"#, r#"{"access_token":7}"#, r#"{"error":"canary"}"#, "canary"]
    {
        assert!(!read(body).unwrap_err().contains("canary"), "{body}");
    }
}
