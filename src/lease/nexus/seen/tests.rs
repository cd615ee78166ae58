use super::*;
use crate::lease::nexus::event::Named;
use crate::model::Workspace;

const NOW: Duration = Duration::from_secs(100);

fn ask(agent: &str, connection: &str) -> Ask {
    Ask {
        workspace: Workspace::local(),
        agent: agent.into(),
        connection: ConnectionName::parse(connection).unwrap(),
        host: Host::parse("api.test").unwrap(),
        scope: None,
        held: None,
    }
}

fn change(number: u64, kind: Kind, connection: Option<(&str, &str)>, agent: Option<&str>) -> Event {
    let connection = connection.map(|(id, name)| Named { id: id.into(), name: Some(name.into()) });
    Event::Change(Change { number, kind, connection, agent: agent.map(str::to_owned) })
}

fn hello(number: u64) -> Event {
    Event::Hello { number, store: "s".into() }
}

/// A stream at 10, and `jira` (id `j`) lent to `bot` as of 10.
fn lent() -> Seen {
    let mut seen = Seen::default();
    seen.take(hello(10), NOW);
    let asked = seen.moment();
    assert!(seen.lent(&ask("bot", "jira"), (&"j".into(), 1), 10, asked));
    seen
}

fn still(seen: &Seen, id: &str) -> Still {
    seen.still(&"bot".into(), &ConnectionName::parse("jira").unwrap(), id)
}

fn host() -> Host {
    Host::parse("api.test").unwrap()
}

#[test]
fn an_answer_that_knows_less_than_an_event_is_outdated() {
    for (event, outdated) in [
        (change(11, Kind::ConnectionChanged, Some(("j", "jira")), None), true),
        (change(11, Kind::ConnectionRevoked, Some(("j", "other")), None), true),
        (change(11, Kind::ConnectionDeleted, Some(("x", "jira")), None), true),
        (change(11, Kind::ConnectionRevoked, Some(("x", "other")), None), false),
        (change(11, Kind::AgentRevoked, None, Some("bot")), true),
        (change(11, Kind::GrantChanged, Some(("x", "other")), Some("bot")), true),
        (change(11, Kind::AgentRevoked, None, Some("other")), false),
        (change(11, Kind::ProviderRevoked, None, None), true),
        (change(11, Kind::AllRevoked, None, None), true),
        (change(11, Kind::Other, None, None), true),
        (change(11, Kind::PolicyChanged, None, None), false),
        (Event::Resync { number: 10 }, true),
        (hello(10), false),
        (hello(11), true),
        (hello(9), true),
        (Event::Hello { number: 10, store: "other".into() }, true),
        (Event::Beat, false),
    ] {
        let mut seen = lent();
        let asked = seen.moment();
        let shown = format!("{event:?}");
        seen.take(event, NOW);
        assert_eq!(seen.lent(&ask("bot", "jira"), (&"j".into(), 1), 10, asked), !outdated, "{shown}");
        if outdated {
            let again = seen.moment();
            assert!(seen.lent(&ask("bot", "jira"), (&"j".into(), 1), 11, again), "{shown}");
        }
    }
}

#[test]
fn only_what_may_be_about_something_lent_moves_the_leases() {
    for (event, leases, policy) in [
        (change(11, Kind::ConnectionChanged, Some(("j", "renamed")), None), true, false),
        (change(11, Kind::ConnectionChanged, Some(("new", "jira")), None), true, false),
        (change(11, Kind::ConnectionChanged, Some(("x", "other")), None), false, false),
        (change(11, Kind::GrantChanged, None, Some("bot")), true, false),
        (change(11, Kind::GrantChanged, None, Some("other")), false, false),
        (change(11, Kind::ProviderRevoked, None, None), true, false),
        (change(11, Kind::Frozen, None, None), true, false),
        (change(11, Kind::Unfrozen, None, None), false, false),
        (change(11, Kind::PolicyChanged, None, None), false, true),
        (change(11, Kind::Other, None, None), true, true),
        (Event::Resync { number: 11 }, true, true),
        (hello(10), false, false),
        (hello(11), true, true),
        (Event::Hello { number: 10, store: "other".into() }, true, true),
    ] {
        let shown = format!("{event:?}");
        assert_eq!(lent().take(event, NOW), Moved { leases, policy }, "{shown}");
    }
    assert_eq!(Seen::default().take(hello(10), NOW), Moved { leases: false, policy: true });
}

#[test]
fn a_stream_goes_on_after_the_last_change_that_it_told() {
    let mut seen = Seen::default();
    assert_eq!((seen.last(), seen.is_live()), (None, false));
    seen.take(hello(10), NOW);
    seen.take(change(12, Kind::PolicyChanged, None, None), NOW);
    seen.take(Event::Beat, NOW);
    assert_eq!((seen.last(), seen.is_live()), (Some(12), true));
    seen.cut_off();
    assert!(!seen.is_live());
    // Replayed after a hello that is ahead: it takes nothing back.
    seen.take(hello(20), NOW);
    seen.take(change(15, Kind::ConnectionRevoked, Some(("j", "jira")), None), NOW);
    assert_eq!(seen.last(), Some(20));
    seen.take(Event::Resync { number: 30 }, NOW);
    assert_eq!(seen.last(), Some(30));
}

#[test]
fn what_an_event_said_is_gone_is_refused_at_once_and_asked_again_later() {
    let late = NOW + REMEMBERED;
    for (event, want) in [
        (change(11, Kind::ConnectionRevoked, Some(("j", "jira")), None), "Revoked"),
        (change(11, Kind::ConnectionDeleted, Some(("j", "jira")), None), "NotFound"),
        (change(11, Kind::AgentRevoked, None, Some("bot")), "Revoked"),
        (change(11, Kind::AllRevoked, None, None), "Revoked"),
    ] {
        let mut seen = lent();
        let shown = format!("{event:?}");
        seen.take(event, NOW);
        let refused = |seen: &Seen, now, patient| {
            let refusal = seen.refusal(&ask("bot", "jira"), now, patient);
            refusal.map(|error| format!("{error:?}").split('(').next().unwrap().to_owned())
        };
        assert_eq!(refused(&seen, NOW, false).as_deref(), Some(want), "{shown}");
        assert_eq!(refused(&seen, late, false), None, "{shown}: an answer may say otherwise");
        assert_eq!(refused(&seen, late, true).as_deref(), Some(want), "{shown}: nobody else can tell");
        assert_eq!(still(&seen, "j"), Still::Gone, "{shown}");
        // And an answer does.
        let asked = seen.moment();
        assert!(seen.lent(&ask("bot", "jira"), (&"j".into(), 1), 11, asked), "{shown}");
        assert_eq!((refused(&seen, NOW, true), still(&seen, "j")), (None, Still::There), "{shown}");
    }
    let mut seen = lent();
    seen.take(change(11, Kind::ConnectionRevoked, Some(("x", "jira")), None), NOW);
    assert_eq!(seen.refusal(&ask("bot", "jira"), NOW, true), None, "another connection of that name");
    assert_eq!(
        seen.refusal(&ask("other", "x"), NOW, false).map(|error| matches!(error, LendError::Revoked(_))),
        Some(true)
    );
    seen.take(change(12, Kind::ConnectionChanged, Some(("x", "jira")), None), NOW);
    assert_eq!(seen.refusal(&ask("other", "x"), NOW, true), None, "a later event says otherwise");
}

#[test]
fn a_frozen_workspace_lends_nothing_until_it_is_thawed() {
    let mut seen = lent();
    seen.take(change(11, Kind::Frozen, None, None), NOW);
    let frozen = |seen: &Seen| matches!(seen.refusal(&ask("bot", "jira"), NOW, false), Some(LendError::Frozen(_)));
    assert!(frozen(&seen) && still(&seen, "j") != Still::Gone);
    seen.cut_off();
    assert!(!frozen(&seen), "without a stream, it has to be asked");
    seen.take(hello(13), NOW);
    seen.take(change(12, Kind::Frozen, None, None), NOW);
    assert!(frozen(&seen));
    // The stream ends before it told that 13 thawed it, and the next one has nothing to tell.
    seen.cut_off();
    seen.take(hello(13), NOW);
    assert!(!frozen(&seen), "it has to be asked");
    seen.take(change(14, Kind::Frozen, None, None), NOW);
    seen.take(change(15, Kind::Unfrozen, None, None), NOW);
    assert!(!frozen(&seen));
}

#[test]
fn what_was_lent_by_an_answer_that_knows_of_it_was_not_revoked_with_all() {
    let mut seen = lent();
    seen.take(hello(13), NOW);
    let asked = seen.moment();
    assert!(seen.lent(&ask("bot", "mail"), (&"m".into(), 1), 13, asked));
    seen.take(change(12, Kind::AllRevoked, None, None), NOW);
    assert!(seen.is_gone("bot", "j") && !seen.is_gone("bot", "m"));
}

#[test]
fn whether_it_is_still_there_is_asked_only_where_events_leave_it_open() {
    let mut seen = lent();
    assert_eq!((still(&seen, "j"), still(&seen, "other")), (Still::There, Still::Ask));
    seen.take(change(11, Kind::ConnectionChanged, Some(("x", "other")), None), NOW);
    assert_eq!(still(&seen, "j"), Still::There);
    seen.cut_off();
    assert_eq!(still(&seen, "j"), Still::Ask);
    seen.take(hello(11), NOW);
    assert_eq!(still(&seen, "j"), Still::There);
    seen.take(change(12, Kind::ConnectionChanged, Some(("j", "jira")), None), NOW);
    assert_eq!(still(&seen, "j"), Still::Ask);
    let asked = seen.moment();
    seen.confirmed(&"bot".into(), &ConnectionName::parse("jira").unwrap(), "j", asked);
    assert_eq!(still(&seen, "j"), Still::There);
    seen.take(change(13, Kind::GrantChanged, None, Some("bot")), NOW);
    assert_eq!(still(&seen, "j"), Still::AskToBorrow(host()));
    let asked = seen.moment();
    assert!(seen.lent(&ask("bot", "jira"), (&"j".into(), 1), 13, asked));
    assert_eq!(still(&seen, "j"), Still::There);
    seen.take(change(14, Kind::ProviderRevoked, None, None), NOW);
    assert_eq!(still(&seen, "j"), Still::AskToBorrow(host()));
    seen.take(Event::Resync { number: 20 }, NOW);
    assert_eq!(still(&seen, "j"), Still::AskToBorrow(host()), "the agent's right may have gone meanwhile");
}

#[test]
fn a_confirmation_is_as_old_as_its_question() {
    let mut seen = lent();
    seen.take(change(12, Kind::ConnectionChanged, Some(("j", "jira")), None), NOW);
    let asked = seen.moment();
    seen.take(change(13, Kind::ConnectionChanged, Some(("j", "jira")), None), NOW);
    let name = ConnectionName::parse("jira").unwrap();
    seen.confirmed(&"bot".into(), &name, "j", asked);
    assert_eq!(still(&seen, "j"), Still::Ask);
    let asked = seen.moment();
    seen.take(Event::Resync { number: 20 }, NOW);
    seen.confirmed(&"bot".into(), &name, "j", asked);
    assert_eq!(still(&seen, "j"), Still::AskToBorrow(host()));
}

#[test]
fn an_answer_that_knows_less_than_the_hello_is_outdated() {
    let mut seen = Seen::default();
    seen.take(hello(10), NOW);
    let asked = seen.moment();
    assert!(!seen.lent(&ask("bot", "jira"), (&"j".into(), 1), 9, asked), "it was read somewhere that lags behind");
    assert!(seen.lent(&ask("bot", "jira"), (&"j".into(), 1), 10, asked));
}
