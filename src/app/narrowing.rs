//! What rules narrow leases to, held against the sources that would have to.

use std::collections::BTreeSet;

use crate::config::{Config, ConnectionAt, Problem, Problems, SourceConfig};
use crate::model::ConnectionName;
use crate::policy::Policy;

/// The sources of a configuration, as far as `scope:` of a rule is theirs to heed.
#[derive(Clone, Debug)]
pub struct Narrowing {
    config: Config,
    held: BTreeSet<ConnectionName>,
}

impl Narrowing {
    /// Those of this configuration.
    pub fn of(config: &Config) -> Self {
        Self { config: config.clone(), held: BTreeSet::new() }
    }

    /// These connections are in memory, whatever the configuration says of their names.
    #[must_use]
    pub fn holding<'a>(mut self, held: impl IntoIterator<Item = &'a ConnectionName>) -> Self {
        self.held.extend(held.into_iter().cloned());
        self
    }

    /// Checks the rules of a policy.
    ///
    /// # Errors
    /// Every rule with a `scope` that the source of its connection does not take, at its place: such
    /// a lease would allow more than the rule says.
    pub fn check(&self, policy: &Policy) -> Result<(), Problems> {
        let mut problems: Vec<Problem> = Vec::new();
        for rule in policy.survey() {
            let (Some(connection), Some(scope)) = (rule.connection, rule.scope) else { continue };
            let Err(message) = self.check_one(connection, &scope.read()) else { continue };
            // The rules of one permission set stand at one place.
            if problems.iter().any(|other| other.at.as_ref() == Some(rule.at) && other.message == message) {
                continue;
            }
            problems.push(Problem { at: Some(rule.at.clone()), rule: Some(rule.name.to_owned()), message });
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems::in_order(problems)) }
    }

    fn check_one(
        &self,
        name: &ConnectionName,
        scope: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), String> {
        if self.held.contains(name) {
            return Err(format!("`scope` narrows the connection {name}, and what is in memory cannot be narrowed"));
        }
        // A name that leads nowhere is told when it is borrowed, narrowed or not.
        let Some((source, at)) = self.leads(name) else { return Ok(()) };
        source
            .kind
            .check_scope(&at, scope)
            .map_err(|why| format!("`scope` narrows the connection {name} of the source {:?}, and {why}", source.name))
    }

    /// Where a name of the rules leads: as `add_sources` has it.
    fn leads(&self, name: &ConnectionName) -> Option<(&SourceConfig, ConnectionAt)> {
        if let Some(connection) = self.config.connections.get(name) {
            let source = self.config.sources.iter().find(|source| source.name == connection.source)?;
            return Some((source, connection.at.clone()));
        }
        let mut knowing = self.config.sources.iter().filter(|source| source.kind.knows_names());
        match (knowing.next(), knowing.next()) {
            (Some(only), None) => Some((only, ConnectionAt::Named(name.clone()))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Document, Environment};

    fn config(folder: &Path) -> Config {
        let file = folder.join("c.yaml");
        let text = "
version: 1
sources:
  local: { embedded: { data_dir: data } }
  files: { file: {} }
connections:
  notes: { source: files, hosts: [n.test], strategy: oauth2, fields: { access_token: k } }
";
        std::fs::write(&file, text).unwrap();
        Config::find(Some(&file), &Environment::of_process()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn policy(rules: &str) -> Policy {
        let document = Document::parse(Path::new("p.yaml"), &format!("version: 1\nrules:\n{rules}"));
        Policy::compile(vec![document]).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn what_a_source_does_not_narrow_is_told_at_the_rule() {
        let folder = tempfile::tempdir().unwrap();
        let narrowing = Narrowing::of(&config(folder.path()));
        let check = |narrowing: &Narrowing, rules: &str| narrowing.check(&policy(rules)).map_err(|all| all.to_string());
        let plain = "  - { name: a, host: n.test, connection: notes }\n";
        assert_eq!(check(&narrowing, plain), Ok(()));
        let narrowed = "  - { name: a, host: n.test, connection: notes, scope: { x: y } }\n";
        let told = check(&narrowing, narrowed).unwrap_err();
        assert_eq!(
            told,
            "p.yaml:3:5: rule \"a\": `scope` narrows the connection notes of the source \"files\", and what is kept in \
             files cannot be narrowed"
        );
        let stored = narrowed.replace("connection: notes", "connection: stored");
        assert!(check(&narrowing, &stored).unwrap_err().contains("of the source \"local\", and an Authority narrows"));
        let held = [ConnectionName::parse("notes").unwrap()];
        let told = check(&narrowing.clone().holding(&held), narrowed).unwrap_err();
        assert!(told.ends_with("what is in memory cannot be narrowed"), "{told}");
        // One problem for a set that is several rules.
        let set = check(&narrowing, "  - { use: github/read@1, scope: { x: y } }\n").unwrap_err();
        assert_eq!(set.lines().count(), 1, "{set}");
    }
}
