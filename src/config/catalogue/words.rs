//! Rules of the catalogue in words that people compare: one thing that a rule says a line, so that
//! what a version of a set adds or takes away is a list of lines.

use std::fmt;

use super::PermissionSet;
use crate::config::RuleDoc;

/// One thing that a rule says of the requests that it matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// `host`, `method`, `path`, `not path`, `query` or `header`.
    pub about: &'static str,
    /// The pattern, as written.
    pub what: String,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.about, self.what)
    }
}

impl RuleDoc {
    /// Everything that the rule says of the requests that it matches.
    pub fn says(&self) -> Vec<Said> {
        let said = |about, what: String| Said { about, what };
        let item = |matcher: &crate::config::Matcher| match &matcher.pattern {
            Some(pattern) => format!("{}: {pattern}", matcher.name),
            None => format!("{} absent", matcher.name),
        };
        let methods = self.methods.iter().map(|method| said("method", method.value.to_string()));
        let hosts = self.hosts.iter().map(|host| said("host", host.value.to_string()));
        let paths = self.paths.iter().map(|path| said("path", path.value.clone()));
        let not_paths = self.not_paths.iter().map(|path| said("not path", path.value.clone()));
        let query = self.query.iter().map(|matcher| said("query", item(&matcher.value)));
        let headers = self.headers.iter().map(|matcher| said("header", item(&matcher.value)));
        methods.chain(hosts).chain(paths).chain(not_paths).chain(query).chain(headers).collect()
    }
}

impl PermissionSet {
    /// What `other` allows differently, one thing a line: `+ rule NAME` and `- rule NAME` for whole
    /// rules, `+ rule NAME: path /x` for what a rule of both says.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let find = |set: &Self, name: &str| set.rules.iter().find(|rule| rule.name == name).map(RuleDoc::says);
        let mut lines = Vec::new();
        for rule in &self.rules {
            let before = rule.says();
            let Some(after) = find(other, &rule.name) else {
                lines.push(format!("- rule {}", rule.name));
                continue;
            };
            let gone = before.iter().filter(|said| !after.contains(said)).map(|said| ('-', said));
            let came = after.iter().filter(|said| !before.contains(said)).map(|said| ('+', said));
            lines.extend(gone.chain(came).map(|(sign, said)| format!("{sign} rule {}: {said}", rule.name)));
        }
        for rule in other.rules.iter().filter(|rule| find(self, &rule.name).is_none()) {
            let says: Vec<String> = rule.says().iter().map(ToString::to_string).collect();
            lines.push(format!("+ rule {}: {}", rule.name, says.join(", ")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Catalogue, SetName};

    /// Sets as they were when their version was given out.
    const GOLDEN: &str = include_str!("../../../policies/providers/sets.txt");

    fn text(catalogue: &Catalogue) -> String {
        let mut text = String::new();
        for set in catalogue.providers().iter().flat_map(|provider| &provider.sets) {
            text += &format!("{}\n", set.name);
            for rule in &set.rules {
                text += &format!("  {}\n", rule.name);
                text.extend(rule.says().iter().map(|said| format!("    {said}\n")));
            }
        }
        text
    }

    /// Splits a text into sets by name.
    fn sets(text: &str) -> Vec<(&str, Vec<&str>)> {
        let mut sets: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in text.lines() {
            match sets.last_mut() {
                Some((_, lines)) if line.starts_with(' ') => lines.push(line),
                _ => sets.push((line, Vec::new())),
            }
        }
        sets
    }

    #[test]
    fn what_a_version_means_never_changes() {
        let now = text(Catalogue::built_in());
        let (now, then) = (sets(&now), sets(GOLDEN));
        for (name, lines) in &then {
            let today = now.iter().find(|(other, _)| other == name).map(|(_, lines)| lines);
            assert!(
                today == Some(lines),
                "{name} is not what it was when it was given out: leave it, and write what it should be as its next version; \
                 policies/providers/sets.txt and the set differ"
            );
        }
        let given_out = |name: &str| then.iter().any(|(other, _)| *other == name);
        let new = now.iter().filter(|(name, _)| !given_out(name));
        let new: String = new.map(|(name, lines)| format!("{name}\n{}\n", lines.join("\n"))).collect();
        assert!(new.is_empty(), "new sets, to be added to policies/providers/sets.txt:\n{new}");
    }

    #[test]
    fn versions_are_compared_line_by_line() {
        let document = "
version: 1
provider:
  name: acme
  title: Acme
  about: https://acme.test
  contract: [{ hosts: [api.acme.test], strategy: oauth2 }]
  sets:
    read@1:
      about: read
      rules:
        - { name: api, host: api.acme.test, method: GET, path: [/a, /b], query: { x: null } }
        - { name: old, host: api.acme.test, method: GET, path: /old }
    read@2:
      about: read
      rules:
        - { name: api, host: api.acme.test, method: [GET, HEAD], path: [/a, /c], query: { x: \"1\" } }
        - { name: new, host: api.acme.test, method: GET, path: /new, headers: { x-y: \"*\" } }
    read@3: { about: read, includes: [read@2], rules: [{ name: more, host: api.acme.test, path: /more }] }
";
        let catalogue = Catalogue::read(&[("acme.yaml", document)]).unwrap();
        let set = |name: &str| catalogue.set(&SetName::parse(name).unwrap()).unwrap().1;
        assert_eq!(
            set("acme/read@1").differences(set("acme/read@2")),
            [
                "- rule api: path /b",
                "- rule api: query x absent",
                "+ rule api: method HEAD",
                "+ rule api: path /c",
                "+ rule api: query x: 1",
                "- rule old",
                "+ rule new: method GET, host api.acme.test, path /new, header x-y: *",
            ]
        );
        assert_eq!(set("acme/read@2").differences(set("acme/read@3")), ["+ rule more: host api.acme.test, path /more"]);
        assert!(set("acme/read@1").differences(set("acme/read@1")).is_empty());
        assert_eq!(catalogue.newer(&set("acme/read@1").name).unwrap().name.version, 3);
        assert!(catalogue.newer(&set("acme/read@3").name).is_none());
    }
}
