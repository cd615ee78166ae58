//! What was recorded, in both shapes.

use super::*;
use crate::authority::record::Record;

fn say(served: &Served, number: u64) {
    served.change(move |work| {
        let event = if number.is_multiple_of(2) { "test.even" } else { "test.odd" };
        work.record(Record::new(event).connection(&format!("c{}", number % 3), "x").with("number", number));
        Ok(())
    });
}

#[tokio::test]
async fn records_come_newest_first_by_pages_and_conditions() {
    let served = serve().await;
    for number in 0..7 {
        say(&served, number);
        served.clock.advance(Duration::from_secs(u64::from(number == 3)));
    }
    let mut seen = Vec::new();
    let mut path = "/api/v2/audit?limit=2".to_owned();
    loop {
        let page = served.get(&path, ADMIN).await.json();
        seen.extend(
            page["records"].as_array().unwrap().iter().map(|record| record["facts"]["number"].as_u64().unwrap()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v2/audit?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
    let of = async |query: &str| {
        let page = served.get(&format!("/api/v2/audit?{query}"), ADMIN).await.json();
        page["records"].as_array().unwrap().len()
    };
    assert_eq!(
        (of("event=test.even").await, of("connection=c1").await, of("event=test.odd&connection=c0").await),
        (4, 2, 1)
    );
    assert_eq!(served.get("/api/v2/audit", SIDECAR).await.status, 403);
}

#[tokio::test]
async fn the_brokers_list_has_its_shape() {
    let served = serve().await;
    // The reference answers null when there is nothing; ours an empty list.
    assert_eq!(served.get("/audit", ADMIN).await.json(), json!([]));
    (0..60).for_each(|number| say(&served, number));
    let list =
        async |query: &str| served.get(&format!("/audit?{query}"), ADMIN).await.json().as_array().unwrap().clone();
    let newest = &list("limit=1").await[0];
    assert_eq!((&newest["event_type"], &newest["connection_id"]), (&json!("test.odd"), &json!("c2")));
    let facts: Value = serde_json::from_str(newest["event_data"].as_str().unwrap()).unwrap();
    assert_eq!(facts["number"], 59);
    for (limit, count) in [("limit=60", 60), ("", 50), ("limit=0", 50), ("limit=1001", 50), ("limit=x", 50)] {
        assert_eq!(list(limit).await.len(), count, "{limit}");
    }
    assert_eq!(list("event_type=test.even&limit=100").await.len(), 30);
    assert_eq!(list("since=2027-01-15T08:00:01Z").await.len(), 0);
    assert_eq!(list("since=2027-01-15T08:00:00Z").await.len(), 50);
    let wrong = served.get("/audit?since=yesterday", ADMIN).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid_since"));
}
