//! One refresh of one connection.

use super::*;

#[tokio::test]
async fn what_is_due_gets_new_tokens_and_the_old_refresh_token_stays_where_none_comes() {
    let fixture = fixture();
    let due = fixture.row("c").refresh_at.unwrap();
    assert!((START + 2520..=START + 2880).contains(&due), "{due}");
    let script = Script::new([Does::Give("at2", None, Some(7200)), Does::Give("at3", Some("r3"), None)]);
    let news = fixture.news().len();
    renew(&fixture, &script, "c").await;
    assert!(script.asked().is_empty(), "it was not due");
    fixture.clock.advance(Duration::from_secs(2880));
    renew(&fixture, &script, "c").await;
    let (row, now) = (fixture.row("c"), fixture.fields("c"));
    assert_eq!((row.version, row.expires_at, row.state), (2, Some(START + 7200), State::Active));
    assert_eq!((row.claimed_by, row.claimed_until, row.refresh_tries), (None, None, 0));
    assert!(row.refresh_at.is_some_and(|at| (START + 4000..START + 7200).contains(&at)));
    for (field, want) in [("access_token", "at2"), ("refresh_token", "r"), ("expires_in", "7200")] {
        assert_eq!(value(&now, field).as_deref(), Some(want), "{field}");
    }
    assert_eq!(fixture.news()[news..], ["connection.changed"]);
    fixture.clock.advance(Duration::from_secs(4320));
    renew(&fixture, &script, "c").await;
    let (row, now) = (fixture.row("c"), fixture.fields("c"));
    // Who says nothing about an end is not asked again by ourselves.
    assert_eq!((row.version, row.expires_at, row.refresh_at), (3, None, None));
    assert_eq!((value(&now, "refresh_token").as_deref(), value(&now, "expires_in")), (Some("r3"), None));
    assert_eq!(script.asked(), ["r", "r"]);
    assert_eq!(said(&fixture), ["connection.refreshed", "connection.refreshed"]);
    let lines = fixture.lines().join("\n");
    assert!(lines.contains("\"actor\":\"worker\"") && lines.contains("\"rotated\":true"), "{lines}");
    for secret in ["at2", "at3", "\"r3\"", "hunter2"] {
        assert!(!lines.contains(secret), "{secret}: {lines}");
    }
}

#[tokio::test]
async fn a_process_that_dies_in_between_loses_nothing() {
    let fixture = fixture();
    let (hangs, answers) = (Script::new([Does::Hang]), Script::new([Does::Give("at2", Some("r2"), Some(3600))]));
    fixture.clock.advance(Duration::from_secs(2880));
    {
        let one = renew(&fixture, &hangs, "c");
        tokio::pin!(one);
        tokio::select! {
            () = &mut one => panic!("it hangs"),
            () = hangs.begun.notified() => {}
        }
        // Here it ends, as by kill -9: the claim stands, and nothing is written.
    }
    let other = fixture.another();
    renew(&other, &answers, "c").await;
    assert!(answers.asked().is_empty(), "the claim still holds");
    fixture.clock.advance(Duration::from_secs(61));
    renew(&other, &answers, "c").await;
    assert_eq!((answers.asked(), fixture.row("c").version), (vec!["r".to_owned()], 2));
    assert_eq!(value(&fixture.fields("c"), "refresh_token").as_deref(), Some("r2"));
}

#[tokio::test]
async fn nobody_has_new_tokens_before_they_are_kept() {
    let fixture = fixture();
    let script = Script::new([Does::Wait(Box::new(Does::Give("at2", Some("r2"), Some(3600))))]);
    fixture.clock.advance(Duration::from_secs(2880));
    let working = Working::on(&fixture, &script);
    script.begun.notified().await;
    // What the issuer gives cannot be kept: the store has gone.
    let (file, away) = (fixture.authority.store_name(), fixture.authority.store_name() + ".away");
    std::fs::rename(&file, &away).unwrap();
    script.let_go.notify_one();
    while script.under_way.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    // Changes are made one after the other: once this one has failed, the other has.
    let failed = fixture.authority.write(|_| Ok::<_, StoreError>(()));
    assert!(matches!(failed, Err(StoreError::Together(_))), "{failed:?}");
    std::fs::rename(&away, &file).unwrap();
    assert_eq!((fixture.row("c").version, value(&fixture.fields("c"), "access_token").as_deref()), (1, Some("at")));
    until(&fixture, || fixture.row("c").version == 2).await;
    working.end().await;
    assert_eq!(value(&fixture.fields("c"), "refresh_token").as_deref(), Some("r2"));
    assert_eq!(script.asked(), ["r"]);
}

#[tokio::test]
async fn credentials_that_changed_meanwhile_are_not_overwritten() {
    let fixture = fixture();
    let script = Script::new([Does::Wait(Box::new(Does::Give("late", Some("late-r"), Some(60))))]);
    fixture.clock.advance(Duration::from_secs(2880));
    let set = async {
        script.begun.notified().await;
        let new = fields(&[("access_token", "by-hand"), ("refresh_token", "r-by-hand")]);
        fixture.authority.set(&name("c"), new, at(START + 9000)).unwrap();
        script.let_go.notify_one();
    };
    tokio::join!(renew(&fixture, &script, "c"), set);
    let row = fixture.row("c");
    assert_eq!((row.version, row.expires_at), (2, Some(START + 9000)));
    assert_eq!(value(&fixture.fields("c"), "refresh_token").as_deref(), Some("r-by-hand"));
    assert!(script.revoked().is_empty());
}

#[tokio::test]
async fn fresh_tokens_of_what_is_no_more_are_taken_back() {
    for deleted in [true, false] {
        let fixture = fixture();
        let script = Script::new([Does::Wait(Box::new(Does::Give("late", Some("late-r"), Some(60))))]);
        fixture.clock.advance(Duration::from_secs(2880));
        let end = async {
            script.begun.notified().await;
            if deleted {
                fixture.authority.delete(&name("c")).unwrap();
            } else {
                fixture.alter("c", |row| row.state = State::Revoked);
            }
            script.let_go.notify_one();
        };
        tokio::join!(renew(&fixture, &script, "c"), end);
        assert_eq!(script.revoked(), ["late-r", "late"], "{deleted}");
        assert!(said(&fixture).contains(&"connection.refresh_returned".to_owned()));
        if !deleted {
            assert_eq!((fixture.row("c").version, fixture.row("c").state), (1, State::Revoked));
        }
    }
}

#[tokio::test]
async fn what_waits_for_a_person_meanwhile_keeps_its_new_tokens_and_goes_on_waiting() {
    let fixture = fixture();
    let script = Script::new([Does::Wait(Box::new(Does::Give("at2", Some("r2"), Some(3600))))]);
    fixture.clock.advance(Duration::from_secs(2880));
    let moved = async {
        script.begun.notified().await;
        fixture.alter("c", |row| (row.state, row.refresh_at) = (State::Attention, None));
        script.let_go.notify_one();
    };
    tokio::join!(renew(&fixture, &script, "c"), moved);
    let row = fixture.row("c");
    assert_eq!((row.state, row.version, row.refresh_at), (State::Attention, 2, None));
    assert_eq!(value(&fixture.fields("c"), "refresh_token").as_deref(), Some("r2"));
}
