use std::collections::BTreeMap;
use std::fmt;

use super::Secret;

/// The credentials of a connection: named fields, each a [`Secret`].
///
/// Only strings are credentials. Whatever else a source answers (numbers, objects) is dropped
/// by the source, so that a strategy that asks for it finds the field missing.
#[derive(Default)]
pub struct Fields(BTreeMap<String, Secret>);

impl Fields {
    /// No fields at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field, replacing an earlier value, which is wiped.
    pub fn insert(&mut self, name: impl Into<String>, value: Secret) {
        self.0.insert(name.into(), value);
    }

    /// Finds a field by its exact name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// Removes and wipes a field; tells whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// The names, sorted: not secret.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Tells whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
