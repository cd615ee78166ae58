//! What a message of the Authority's stream says.

use serde::Deserialize;

use super::sse::Message;

/// A message that means something here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The first of a stream: the last number that was given, and which store gives them.
    Hello {
        /// The last event of the workspace.
        number: u64,
        /// Another one is another store: its numbers say nothing about ours.
        store: String,
    },
    /// Nothing happened.
    Beat,
    /// Something changed.
    Change(Change),
    /// What was asked for is no longer there: everything may have changed.
    Resync {
        /// The last event of the workspace.
        number: u64,
    },
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Its place in the order of all changes.
    pub(super) number: u64,
    /// What happened.
    pub(super) kind: Kind,
    /// The connection's id and name, where it is about one.
    pub(super) connection: Option<Named>,
    /// The agent, where it is about one.
    pub(super) agent: Option<String>,
}

/// A connection as events name it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ConnectionRevoked,
    ConnectionDeleted,
    ConnectionChanged,
    AgentRevoked,
    GrantChanged,
    ProviderRevoked,
    AllRevoked,
    Frozen,
    Unfrozen,
    PolicyChanged,
    /// A word of a later release, or what could not be read: it may be about anything.
    Other,
}

/// What makes a message one that a stream cannot go on after.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event stream's {0} cannot be read")]
pub(super) struct EventError(String);

#[derive(Deserialize)]
struct Numbered {
    number: u64,
    #[serde(default)]
    store: String,
}

#[derive(Deserialize)]
struct Changed {
    kind: String,
    #[serde(default)]
    connection: Option<Named>,
    #[serde(default)]
    agent: Option<String>,
}

impl Event {
    /// Reads a message; `None` for a kind of message that this release does not know.
    ///
    /// A change whose number is known and whose content is not could be about anything, and is
    /// told as that; one without a number ends the stream.
    pub(super) fn read(message: &Message) -> Result<Option<Self>, EventError> {
        let numbered = || serde_json::from_str::<Numbered>(&message.data).map_err(|_| EventError(message.name.clone()));
        Ok(Some(match message.name.as_str() {
            "hello" => {
                let Numbered { number, store } = numbered()?;
                Self::Hello { number, store }
            }
            "beat" => {
                numbered()?;
                Self::Beat
            }
            "resync" => Self::Resync { number: numbered()?.number },
            "change" => Self::Change(Change::read(message, numbered()?.number)?),
            _ => return Ok(None),
        }))
    }
}

impl Change {
    fn read(message: &Message, number: u64) -> Result<Self, EventError> {
        if message.id.as_ref().is_some_and(|id| id.parse() != Ok(number)) {
            return Err(EventError("change".to_owned()));
        }
        let Ok(Changed { kind, connection, agent }) = serde_json::from_str(&message.data) else {
            return Ok(Self { number, kind: Kind::Other, connection: None, agent: None });
        };
        Ok(Self { number, kind: Kind::of(&kind, connection.is_some(), agent.is_some()), connection, agent })
    }
}

impl Kind {
    /// A change that does not say what it must be about may be about anything.
    fn of(word: &str, connection: bool, agent: bool) -> Self {
        match word {
            "connection.revoked" if connection => Self::ConnectionRevoked,
            "connection.deleted" if connection => Self::ConnectionDeleted,
            "connection.changed" if connection => Self::ConnectionChanged,
            "agent.revoked" if agent => Self::AgentRevoked,
            "grant.changed" if agent => Self::GrantChanged,
            "provider.revoked" => Self::ProviderRevoked,
            "all.revoked" => Self::AllRevoked,
            "frozen" => Self::Frozen,
            "unfrozen" => Self::Unfrozen,
            "policy.changed" => Self::PolicyChanged,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, data: &str, id: Option<&str>) -> Result<Option<Event>, EventError> {
        Event::read(&Message { name: name.into(), data: data.into(), id: id.map(str::to_owned) })
    }

    fn kind(data: &str) -> Kind {
        match read("change", data, Some("4")) {
            Ok(Some(Event::Change(change))) => change.kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_message_of_the_wire() {
        let hello = Event::Hello { number: 812, store: "e1".into() };
        assert_eq!(read("hello", r#"{"number":812,"store":"e1","x":1}"#, None), Ok(Some(hello)));
        assert_eq!(read("beat", r#"{"number":812}"#, None), Ok(Some(Event::Beat)));
        assert_eq!(read("resync", r#"{"number":9}"#, None), Ok(Some(Event::Resync { number: 9 })));
        assert_eq!(read("later", "x", None), Ok(None));
        let connection = Some(Named { id: "i".into(), name: Some("n".into()) });
        let change = Change { number: 4, kind: Kind::ConnectionRevoked, connection, agent: None };
        let data = r#"{"number":4,"kind":"connection.revoked","connection":{"id":"i","name":"n"},"at":"x"}"#;
        assert_eq!(read("change", data, Some("4")), Ok(Some(Event::Change(change))));
    }

    #[test]
    fn a_change_that_is_not_understood_is_about_everything() {
        for data in [
            r#"{"number":4,"kind":"of.tomorrow"}"#,
            r#"{"number":4,"kind":"connection.revoked"}"#,
            r#"{"number":4,"kind":"agent.revoked","agent":null}"#,
            r#"{"number":4,"kind":"grant.changed","connection":{"id":"i"}}"#,
            r#"{"number":4,"kind":7}"#,
            r#"{"number":4}"#,
            r#"{"number":4,"kind":"connection.changed","connection":"i"}"#,
        ] {
            assert_eq!(kind(data), Kind::Other, "{data}");
        }
        assert_eq!(kind(r#"{"number":4,"kind":"provider.revoked"}"#), Kind::ProviderRevoked);
    }

    #[test]
    fn what_has_no_number_ends_the_stream() {
        for (name, data, id) in [
            ("hello", "{}", None),
            ("hello", "", None),
            ("beat", r#"{"number":-1}"#, None),
            ("resync", r#"{"number":"9"}"#, None),
            ("change", r#"{"kind":"all.revoked"}"#, Some("4")),
            ("change", r#"{"number":4,"kind":"all.revoked"}"#, Some("5")),
            ("change", r#"{"number":4,"kind":"all.revoked"}"#, Some("x")),
        ] {
            assert!(read(name, data, id).is_err(), "{name} {data}");
        }
    }
}
