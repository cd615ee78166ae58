use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Ask, Asked, Followed, LeaseSource, Loan, MemoryConnection, MemorySource};
use crate::model::ConnectionName;

/// Connections in memory before another source: a name that is held here is never asked for there.
pub struct LayeredSource {
    held: MemorySource,
    names: BTreeSet<ConnectionName>,
    rest: Arc<dyn LeaseSource>,
}

impl LayeredSource {
    /// Lends these connections from memory, and all others from `rest`.
    pub fn new(held: Vec<MemoryConnection>, rest: Arc<dyn LeaseSource>) -> Self {
        let names = held.iter().map(|connection| connection.name.clone()).collect();
        Self { held: MemorySource::new(held), names, rest }
    }

    fn of(&self, name: &ConnectionName) -> &dyn LeaseSource {
        if self.names.contains(name) { &self.held } else { &*self.rest }
    }
}

impl LeaseSource for LayeredSource {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Loan> {
        self.of(&ask.connection).lend(ask)
    }

    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        self.of(connection).still_there(connection, id)
    }

    fn still_lends<'a>(&'a self, agent: &'a Arc<str>, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        self.of(connection).still_lends(agent, connection, id)
    }

    fn is_gone(&self, agent: &str, connection: &ConnectionName, id: &str) -> bool {
        self.of(connection).is_gone(agent, connection, id)
    }

    /// What is held here stays as it is, so that only the rest moves.
    fn changes(&self) -> watch::Receiver<u64> {
        self.rest.changes()
    }

    fn follow(&self) -> Followed<'_> {
        self.rest.follow()
    }

    fn status(&self) -> Option<serde_json::Value> {
        self.rest.status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::LendError;
    use crate::model::{Binding, Bindings, Fields, Host, HostPattern, Secret, Strategy, Workspace};

    fn connection(name: &str, token: &str) -> MemoryConnection {
        let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
        let mut fields = Fields::new();
        fields.insert("access_token", Secret::new(token));
        MemoryConnection {
            name: ConnectionName::parse(name).unwrap(),
            bindings: Bindings::new(vec![Binding { hosts, strategy: Strategy::OAuth2 }], false).unwrap(),
            fields,
            expires_at: None,
        }
    }

    async fn token(source: &dyn LeaseSource, name: &str) -> Result<String, LendError> {
        let ask = Ask {
            workspace: Workspace::local(),
            agent: "agent".into(),
            connection: ConnectionName::parse(name).unwrap(),
            host: Host::parse("api.example.com").unwrap(),
        };
        let loan = source.lend(&ask).await?;
        assert!(source.still_there(&ask.connection, &loan.id).await?);
        Ok(loan.credentials.get("access_token").unwrap().expose_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn what_is_held_stands_before_the_rest_and_hides_nothing_else() {
        let rest = Arc::new(MemorySource::new([connection("a", "rest-a"), connection("b", "rest-b")]));
        let layered = LayeredSource::new(vec![connection("a", "held-a")], Arc::<MemorySource>::clone(&rest));
        assert_eq!(token(&layered, "a").await.as_deref(), Ok("held-a"));
        assert_eq!(token(&layered, "b").await.as_deref(), Ok("rest-b"));
        assert!(matches!(token(&layered, "c").await, Err(LendError::NotFound(_))));
        let mut changes = layered.changes();
        changes.mark_unchanged();
        rest.set(connection("b", "rest-b2"));
        assert!(changes.has_changed().unwrap());
        assert_eq!(token(&layered, "b").await.as_deref(), Ok("rest-b2"));
        rest.delete(&ConnectionName::parse("a").unwrap());
        assert_eq!(token(&layered, "a").await.as_deref(), Ok("held-a"), "the rest has no say in what is held");
    }
}
