//! Several processes over one store.

use std::collections::BTreeSet;

use super::*;

/// Makes so many connections `c-0`, `c-1`, … that end in an hour, each with a refresh token of its
/// own.
fn many(fixture: &Fixture, count: usize) {
    let first = fixture.row("c");
    let vault = Arc::clone(&fixture.authority.desk.vault);
    let put = fixture.authority.write(move |work| {
        for index in 0..count {
            let mut row = ConnectionRow { id: format!("id-{index}"), name: format!("c-{index}"), ..first.clone() };
            row.refresh_at = Some(schedule::due(START, START + 3600, chance()));
            let token = format!("r-{index}");
            let fields = fields(&[("access_token", "at"), ("refresh_token", &token)]);
            vault.seal(&mut row, &fields).unwrap();
            row.put(work.tx())?;
        }
        Ok::<_, StoreError>(())
    });
    put.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_end_together_are_each_renewed_once_and_in_time() {
    let fixture = fixture();
    many(&fixture, 1000);
    let script = Arc::new(Script::default());
    let others = [fixture.another(), fixture.another()];
    let working = [&fixture, &others[0], &others[1]].map(|fixture| Working::on(fixture, &script));
    fixture.clock.advance(Duration::from_secs(2519));
    until(&fixture, || {
        let now = fixture.authority.now();
        let rows = fixture.authority.read(|tx| ConnectionRow::list(tx, "local")).unwrap();
        assert!(rows.iter().all(|row| row.version == 2 || row.expires_at > Some(now)), "one ended");
        rows.iter().all(|row| row.version == 2)
    })
    .await;
    for working in working {
        working.end().await;
    }
    let asked = script.asked();
    let each: BTreeSet<&String> = asked.iter().collect();
    assert_eq!((asked.len(), each.len()), (1001, 1001));
    assert!(script.most.load(Ordering::SeqCst) <= 3 * 32);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_hangs_leaves_room_for_others() {
    let fixture = fixture();
    many(&fixture, 40);
    let script = Arc::new(Script { stuck: Some("r-"), ..Script::default() });
    renewable(&fixture, "late", "other");
    fixture.alter("late", |row| row.refresh_at = Some(START + 9));
    for index in 0..40 {
        fixture.alter(Box::leak(format!("c-{index}").into_boxed_str()), |row| row.refresh_at = Some(START + 1));
    }
    fixture.clock.advance(Duration::from_secs(10));
    let working = Working::on(&fixture, &script);
    let turned = async {
        while fixture.row("late").version == 1 || script.asked().len() < 25 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, turned).await.unwrap();
    assert_eq!(script.asked().len(), 25);
    let gone = fixture.clock.clone();
    let ended = tokio::spawn(working.end());
    while !ended.is_finished() {
        gone.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ended.await.unwrap();
}
