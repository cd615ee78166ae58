//! What an issuer says instead of giving tokens.

use http::StatusCode;

use super::*;
use crate::authority::oauth2::{RefreshError, Why};
use crate::lease::{Ask, LendError};
use crate::model::{Host, Workspace};

#[tokio::test]
async fn each_answer_has_its_consequence() {
    let (status, code) = (StatusCode::BAD_REQUEST, None);
    let unsettled = |status| Why::Status(StatusCode::from_u16(status).unwrap());
    let later = |why, after: Option<u64>| RefreshError::Later { after: after.map(Duration::from_secs), why };
    for (error, state, why, wait) in [
        (RefreshError::Refused { status, code: code.clone() }, State::Attention, "invalid_grant", None),
        (RefreshError::Misconfigured { status, code }, State::Attention, "misconfigured_client", None),
        (RefreshError::Unsendable { what: "a secret" }, State::Attention, "misconfigured_client", None),
        (later(unsettled(408), None), State::Active, "upstream", Some(1..=3)),
        (later(unsettled(425), None), State::Active, "upstream", Some(1..=3)),
        (later(unsettled(429), Some(120)), State::Active, "upstream", Some(120..=120)),
        (later(unsettled(503), None), State::Active, "upstream", Some(1..=3)),
        (later(Why::NotJson(StatusCode::OK), None), State::Active, "not_json", Some(1..=3)),
        (later(Why::NoToken(StatusCode::OK), None), State::Active, "no_token", Some(1..=3)),
    ] {
        let fixture = fixture();
        let news = fixture.news().len();
        let said_so = error.to_string();
        let script = Script::new([Does::Fail(error)]);
        fixture.clock.advance(Duration::from_secs(2880));
        renew(&fixture, &script, "c").await;
        let row = fixture.row("c");
        assert_eq!((row.state, row.version, row.claimed_by), (state, 1, None), "{said_so}");
        assert_eq!(value(&fixture.fields("c"), "refresh_token").as_deref(), Some("r"));
        match wait {
            None => {
                assert_eq!((row.why.as_deref(), row.refresh_at, row.refresh_tries), (Some(why), None, 0), "{said_so}");
                assert_eq!(said(&fixture), [format!("connection.attention {why}")]);
                assert_eq!(fixture.news()[news..], ["connection.changed"]);
            }
            Some(wait) => {
                let waits = row.refresh_at.unwrap() - (START + 2880);
                assert!(wait.contains(&waits), "{said_so}: {waits}");
                assert_eq!((row.why, row.refresh_tries), (None, 1));
                assert_eq!(said(&fixture), [format!("connection.refresh_failed {why}")]);
                assert_eq!(fixture.news().len(), news, "nothing changed for who borrows");
            }
        }
    }
}

#[tokio::test]
async fn an_issuer_that_hangs_is_not_waited_for_until_the_claim_ends() {
    let fixture = fixture();
    let script = Script::new([Does::Hang]);
    fixture.clock.advance(Duration::from_secs(2880));
    let time = async {
        script.begun.notified().await;
        fixture.clock.advance(Duration::from_secs(30));
    };
    tokio::join!(renew(&fixture, &script, "c"), time);
    let row = fixture.row("c");
    assert_eq!((row.state, row.refresh_tries, row.claimed_by), (State::Active, 1, None));
    assert_eq!(said(&fixture), ["connection.refresh_failed no_answer"]);
}

#[tokio::test]
async fn an_outage_past_the_end_lends_nothing_and_heals() {
    let fixture = fixture();
    let down = || Does::Fail(RefreshError::Later { after: None, why: Why::Status(StatusCode::BAD_GATEWAY) });
    let script = Script::new((0..6).map(|_| down()).chain([Does::Give("at2", None, Some(86_400))]));
    let source = fixture.authority.source();
    let host = Host::parse("api.example.com").unwrap();
    let ask = Ask {
        workspace: Workspace::local(),
        agent: "bot".into(),
        connection: name("c"),
        host,
        scope: None,
        held: None,
    };
    fixture.clock.advance(Duration::from_secs(2880));
    for _ in 0..6 {
        renew(&fixture, &script, "c").await;
        // Longer than any pause.
        fixture.clock.advance(Duration::from_secs(301));
    }
    assert_eq!((fixture.row("c").state, fixture.row("c").refresh_tries), (State::Active, 6));
    let lent = source.lend(&ask).await;
    assert!(matches!(lent, Err(LendError::Later { .. })), "{lent:?}");
    renew(&fixture, &script, "c").await;
    assert_eq!(
        value(&source.lend(&ask).await.unwrap().loan().unwrap().credentials, "access_token").as_deref(),
        Some("at2")
    );
    assert_eq!(fixture.row("c").refresh_tries, 0);
}

#[tokio::test]
async fn what_there_is_nothing_to_renew_with_waits_for_a_person() {
    type Break = fn(&mut ConnectionRow);
    let breaks: [(Break, &str); 3] = [
        (|row| row.endpoints = Some("{}".into()), "no_token_endpoint"),
        (|row| row.endpoints = None, "no_token_endpoint"),
        (|row| row.sealed[0] ^= 1, "unreadable"),
    ];
    for (harm, why) in breaks {
        let fixture = fixture();
        let script = Script::new([]);
        fixture.clock.advance(Duration::from_secs(2880));
        fixture.alter("c", harm);
        renew(&fixture, &script, "c").await;
        let row = fixture.row("c");
        assert_eq!((row.state, row.why.as_deref(), row.claimed_by), (State::Attention, Some(why), None));
        assert!(script.asked().is_empty());
    }
}

#[tokio::test]
async fn what_runs_out_is_ended_and_what_can_be_renewed_is_not() {
    let fixture = fixture();
    let ends = |named: &str| NewConnection { expires_at: at(START + 60), ..bearer(named, "t") };
    for named in ["static", "waiting", "waiting-renewable", "begun"] {
        fixture.authority.add(ends(named)).unwrap();
    }
    fixture.alter("waiting", |row| (row.state, row.field_names) = (State::Attention, "[\"access_token\"]".into()));
    fixture.alter("waiting-renewable", |row| row.state = State::Attention);
    fixture.alter("begun", |row| (row.state, row.expires_at) = (State::Pending, None));
    let sweep = || async { super::sweep::sweep(&fixture.authority.acting_as(Actor::Worker)).await.unwrap() };
    assert_eq!(sweep().await, 0);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(sweep().await, 2);
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(sweep().await, 1);
    let states = ["static", "waiting", "waiting-renewable", "begun", "c"].map(|named| fixture.row(named).state);
    assert_eq!(states, [State::Expired, State::Expired, State::Attention, State::Expired, State::Active]);
    assert_eq!(fixture.row("begun").why.as_deref(), Some("unfinished"));
    assert_eq!(sweep().await, 0);
}
