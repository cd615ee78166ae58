//! What `policy check` tells besides that a policy is one: rules that let credentials be made, and
//! permission sets of which there is a newer version, which is never taken by itself.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::config::{Catalogue, PermissionSet, SetName};
use crate::policy::Policy;

/// What is worth to know of a policy that is sound.
pub(super) struct News<'c> {
    minting: Vec<String>,
    newer: Vec<Newer<'c>>,
}

struct Newer<'c> {
    used: SetName,
    newest: &'c PermissionSet,
    differences: Vec<String>,
}

impl<'c> News<'c> {
    /// Looks a policy's sets up in a catalogue.
    pub(super) fn of(policy: &Policy, catalogue: &'c Catalogue) -> Self {
        let newer = policy.sets().into_iter().filter_map(|used| {
            let newest = catalogue.newer(used)?;
            let differences = catalogue.set(used).map(|(_, set)| set.differences(newest)).unwrap_or_default();
            Some(Newer { used: used.clone(), newest, differences })
        });
        Self { newer: newer.collect(), minting: policy.minting_rules().map(ToString::to_string).collect() }
    }

    /// Lines for people; nothing where there is nothing to tell.
    pub(super) fn as_text(&self) -> String {
        let mut text = String::new();
        for rule in &self.minting {
            let _ = writeln!(text, "note: rule {rule:?} says `mints: true`: agents may make credentials by it");
        }
        for Newer { used, newest, differences } in &self.newer {
            let _ = writeln!(
                text,
                "note: there is {}, which differs from {used} (it is never taken by itself)",
                newest.name
            );
            for line in differences {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    /// The same for programs.
    pub(super) fn as_json(&self) -> Value {
        let newer = self.newer.iter().map(|newer| {
            json!({
                "used": newer.used.to_string(),
                "newest": newer.newest.name.to_string(),
                "differences": newer.differences,
            })
        });
        json!({ "minting_rules": self.minting, "newer_sets": newer.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Document;

    const NEXT: &str = "
version: 1
provider:
  name: github
  title: GitHub
  about: https://docs.github.com/en/rest
  contract: [{ hosts: [api.github.com], strategy: oauth2 }]
  sets:
    clone@1: { about: clone, rules: [{ name: fetch, host: github.com, path: /old }] }
    clone@2: { about: clone, rules: [{ name: fetch, host: github.com, path: /new }] }
    read@1: { about: read, rules: [{ name: api, host: api.github.com }] }
";

    fn policy(rules: &str) -> Policy {
        let text = format!("version: 1\nrules:\n{rules}");
        Policy::compile(vec![Document::parse(Path::new("p.yaml"), &text)]).unwrap()
    }

    #[test]
    fn a_newer_version_is_told_with_what_it_changes() {
        let catalogue = Catalogue::read(&[("github.yaml", NEXT)]).unwrap();
        let policy = policy("  - use: github/clone@1\n  - use: github/read@1\n");
        let news = News::of(&policy, &catalogue);
        let text = news.as_text();
        assert!(text.starts_with("note: there is github/clone@2, which differs from github/clone@1"), "{text}");
        assert!(text.contains("\n  - rule fetch: path /old\n  + rule fetch: path /new\n"), "{text}");
        assert!(!text.contains("read@"), "{text}");
        assert_eq!(news.as_json()["newer_sets"][0]["newest"], "github/clone@2");
    }

    #[test]
    fn a_rule_that_lets_credentials_be_made_is_told() {
        let rule = |more: &str| {
            policy(&format!("  - {{ name: graph, host: api.github.com, path: /graphql, connection: g{more} }}\n"))
        };
        let text = |policy: &Policy| News::of(policy, Catalogue::built_in()).as_text();
        assert!(text(&rule(", mints: true")).starts_with("note: rule \"graph\" says `mints: true`"));
        assert_eq!(text(&rule("")), "");
    }
}
