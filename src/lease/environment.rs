//! Environment variables, each of which holds one field. They are read once, at the start; the
//! command of `run` gets none of them.

use std::collections::BTreeMap;

use super::configured::{Fetch, Fetched};
use super::{Ask, Asked, LendError};
use crate::config::{Environment, EnvironmentConnection};
use crate::model::{Fields, Secret};

/// Gives what variables held.
pub struct EnvironmentFetch(BTreeMap<String, Result<Secret, String>>);

impl EnvironmentFetch {
    /// Reads the variables of these connections.
    pub fn new<'a>(connections: impl Iterator<Item = &'a EnvironmentConnection>, environment: &Environment) -> Self {
        let names = connections.flat_map(|connection| connection.fields.values());
        Self(names.map(|name| (name.clone(), environment.secret(name))).collect())
    }

    fn read(&self, place: &EnvironmentConnection) -> Result<Fields, String> {
        let mut fields = Fields::new();
        for (field, variable) in &place.fields {
            match self.0.get(variable) {
                Some(Ok(value)) => fields.insert(field, value.duplicate()),
                Some(Err(why)) => return Err(why.clone()),
                None => return Err(format!("the variable {variable} was not read")),
            }
        }
        Ok(fields)
    }
}

impl Fetch for EnvironmentFetch {
    type Place = EnvironmentConnection;

    fn fetch<'a>(&'a self, place: &'a EnvironmentConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        let unusable = |why| LendError::Unusable { name: ask.connection.clone(), why };
        let fields = self.read(place).map_err(unusable);
        Box::pin(async move { Ok(Fetched { fields: fields?, expires_at: None, refreshable: false }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::for_tests::ask;

    #[tokio::test]
    async fn a_variable_is_a_field_or_the_reason_why_not() {
        let place = |variable: &str| EnvironmentConnection {
            fields: BTreeMap::from([("access_token".to_owned(), variable.to_owned())]),
        };
        let environment = Environment::of([("GOOD", "canary"), ("EMPTY", ""), ("LINES", "canary\ncanary")]);
        let places = ["GOOD", "EMPTY", "LINES", "GONE"].map(place);
        let fetch = EnvironmentFetch::new(places.iter(), &environment);
        let ask = ask("env", "api.example.com");
        let good = fetch.fetch(&places[0], &ask).await.unwrap();
        assert_eq!(good.fields.get("access_token").unwrap().expose(), b"canary");
        assert!(!good.refreshable && good.expires_at.is_none());
        for (place, why) in places[1..].iter().zip(["EMPTY is empty", "more than one line", "GONE is not set"]) {
            let error = fetch.fetch(place, &ask).await.unwrap_err();
            assert!(matches!(error, LendError::Unusable { .. }));
            let text = format!("{error} {error:?}");
            assert!(text.contains(why) && !text.contains("canary"), "{text}");
        }
        assert!(!format!("{environment:?}").contains("canary"));
    }
}
