use std::collections::BTreeMap;
use std::sync::Arc;

use super::LeaseSource;
use crate::model::ConnectionName;

/// Every source of a process, and where each connection's name of the rules leads.
///
/// A name without a route is looked up where names are known, if there is one such place.
#[derive(Default)]
pub struct Sources {
    all: Vec<Source>,
    routes: BTreeMap<ConnectionName, Route>,
    rest: Option<usize>,
}

/// One of them.
#[derive(Clone)]
pub struct Source {
    /// Its name, for people.
    pub name: Arc<str>,
    /// What lends.
    pub lender: Arc<dyn LeaseSource>,
}

#[derive(Clone)]
struct Route {
    source: usize,
    there: ConnectionName,
}

impl Sources {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One, which knows every name.
    pub fn only(lender: Arc<dyn LeaseSource>) -> Self {
        Self::new().with("local", lender, []).rest_is_last()
    }

    /// One more, for these names of the rules, each with what it is called there. What was routed
    /// before stays.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        lender: Arc<dyn LeaseSource>,
        routes: impl IntoIterator<Item = (ConnectionName, ConnectionName)>,
    ) -> Self {
        let source = self.all.len();
        self.all.push(Source { name: name.into(), lender });
        for (of_rules, there) in routes {
            self.routes.entry(of_rules).or_insert(Route { source, there });
        }
        self
    }

    /// The last one is asked for every name that has no route.
    #[must_use]
    pub fn rest_is_last(mut self) -> Self {
        self.rest = self.all.len().checked_sub(1);
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.all.iter()
    }

    /// The one of this number.
    pub(super) fn number(&self, index: usize) -> Option<&Source> {
        self.all.get(index)
    }

    /// Where a name leads: the number of the source, and the name there.
    pub(super) fn route<'a>(&'a self, name: &'a ConnectionName) -> Option<(usize, &'a Source, &'a ConnectionName)> {
        let (index, there) = match self.routes.get(name) {
            Some(route) => (route.source, &route.there),
            None => (self.rest?, name),
        };
        Some((index, self.all.get(index)?, there))
    }
}
