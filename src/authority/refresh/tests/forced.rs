//! Refreshes that somebody asks for.

use super::*;

#[tokio::test]
async fn one_a_minute_whoever_asks() {
    let fixture = fixture();
    let script = Script::new([Does::Give("at2", None, Some(3600)), Does::Give("at3", None, Some(3600))]);
    let (one, other) = (with(&fixture.authority, &script), with(&fixture.another().authority, &script));
    let Forced::Refreshed(first) = one.force_refresh("c").await.unwrap() else { panic!("it was not recent") };
    assert_eq!((first.version, first.name.as_str()), (2, "c"));
    fixture.clock.advance(Duration::from_secs(59));
    assert_eq!(other.force_refresh(&first.id).await.unwrap(), Forced::Recent(first));
    assert_eq!(script.asked().len(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    assert!(matches!(other.force_refresh("c").await.unwrap(), Forced::Refreshed(third) if third.version == 3));
}

#[tokio::test]
async fn who_asks_meanwhile_waits_for_the_one_that_is_under_way() {
    let fixture = fixture();
    let script = Script::new([Does::Wait(Box::new(Does::Give("at2", None, Some(3600))))]);
    let handles = [with(&fixture.authority, &script), with(&fixture.another().authority, &script)];
    let askers: Vec<_> = (0..6)
        .map(|asker| {
            let handle = handles[asker % 2].clone();
            tokio::spawn(async move { handle.force_refresh("c").await })
        })
        .collect();
    script.begun.notified().await;
    script.let_go.notify_one();
    until(&fixture, || askers.iter().all(tokio::task::JoinHandle::is_finished)).await;
    for asker in askers {
        // Who came only after its end finds it recent; nobody gets the old ones.
        match asker.await.unwrap().unwrap() {
            Forced::Refreshed(connection) | Forced::Recent(connection) => assert_eq!(connection.version, 2),
        }
    }
    assert_eq!(script.asked(), ["r"]);
}

#[tokio::test]
async fn it_goes_on_though_nobody_waits() {
    let fixture = fixture();
    let script = Script::new([Does::Wait(Box::new(Does::Give("at2", None, Some(3600))))]);
    let authority = with(&fixture.authority, &script);
    {
        let asked = authority.force_refresh("c");
        tokio::pin!(asked);
        tokio::select! {
            _ = &mut asked => panic!("it waits"),
            () = script.begun.notified() => {}
        }
    }
    script.let_go.notify_one();
    until(&fixture, || fixture.row("c").version == 2).await;
}

#[tokio::test]
async fn each_refusal_says_why() {
    let fixture = fixture();
    fixture.authority.add(bearer("static", "t")).unwrap();
    let refused = oauth2::RefreshError::Refused { status: http::StatusCode::BAD_REQUEST, code: None };
    let down = oauth2::Why::Status(http::StatusCode::BAD_GATEWAY);
    let script = Script::new([Does::Fail(oauth2::RefreshError::Later { after: None, why: down }), Does::Fail(refused)]);
    let authority = with(&fixture.authority, &script);
    let forced = |which: &'static str| {
        let authority = authority.clone();
        async move { authority.force_refresh(which).await.unwrap_err() }
    };
    assert!(matches!(forced("nobody").await, RefreshError::NotFound(_)));
    assert!(matches!(forced("static").await, RefreshError::Static(_)));
    assert!(matches!(forced("c").await, RefreshError::Later(_)));
    // The worker's own next try is a second or three away; a person may come before.
    assert!(matches!(authority.force_refresh("c").await, Ok(Forced::Recent(connection)) if connection.version == 1));
    fixture.clock.advance(Duration::from_secs(60));
    let why = |error| match error {
        RefreshError::Attention { why, .. } => why.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(why(forced("c").await), "invalid_grant");
    assert_eq!(why(forced("c").await), "invalid_grant");
    for state in [State::Pending, State::Failed, State::Revoked, State::Expired] {
        fixture.alter("c", move |row| row.state = state);
        assert!(matches!(forced("c").await, RefreshError::NotActive { state: found, .. } if found == state));
    }
    assert!(matches!(fixture.authority.force_refresh("c").await, Err(RefreshError::Offline)));
}
