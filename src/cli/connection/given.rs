//! `--field` and `--fields`: what is given of a connection's fields, and what is still asked for.

use std::fmt;
use std::io::Read;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::cli::input::{FieldSource, Input, LONGEST, Wanted, cannot_read};
use crate::model::{Fields, Secret};

const FORM: &str = "NAME=SOURCE, such as token=env:GITHUB_TOKEN";

/// What was given on the command line about values.
#[derive(Debug)]
pub(super) struct Given {
    sources: Vec<FieldSource>,
    object: bool,
}

impl Given {
    /// Checks `--field` and `--fields` together: standard input can be read once.
    pub(super) fn new(fields: &[String], object: bool) -> Result<Self, Failure> {
        let sources = fields.iter().map(|text| FieldSource::parse(text, FORM)).collect::<Result<Vec<_>, _>>()?;
        let given = Self { sources, object };
        for (index, one) in given.sources.iter().enumerate() {
            if given.sources[..index].iter().any(|other| other.name() == one.name()) {
                return Err(given_twice(one.name()));
            }
        }
        let readers = given.sources.iter().filter(|field| field.is_standard_input()).count();
        if readers + usize::from(object) > 1 {
            return Err(Failure::usage(
                "standard input can fill one field only: use @FILE or env:VARIABLE, or --fields -",
            ));
        }
        Ok(given)
    }

    /// Tells whether nothing was given.
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty() && !self.object
    }

    fn reads_standard_input(&self) -> bool {
        self.object || self.sources.iter().any(FieldSource::is_standard_input)
    }
}

impl Input<'_> {
    /// Reads what was given.
    pub(super) fn read(&mut self, given: &Given) -> Result<Fields, Failure> {
        let mut fields = if given.object { self.object()? } else { Fields::new() };
        for field in &given.sources {
            let value = self.value(field)?;
            insert(&mut fields, field.name(), value)?;
        }
        Ok(fields)
    }

    /// Fills what is missing of `wanted`: asked for at a terminal; a single one from the one line
    /// that standard input holds.
    pub(super) fn fill(&mut self, given: &Given, wanted: &[Wanted<'_>], fields: &mut Fields) -> Result<(), Failure> {
        let missing: Vec<&Wanted<'_>> = wanted.iter().filter(|wanted| fields.get(wanted.name).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if self.is_terminal {
            for wanted in missing {
                fields.insert(wanted.name, self.ask(wanted)?);
            }
            return Ok(());
        }
        match missing[..] {
            [wanted] if !given.reads_standard_input() => {
                let value = self.line(wanted)?;
                self.nothing_more(wanted)?;
                fields.insert(wanted.name, value);
                Ok(())
            }
            _ => Err(Failure::usage(format!(
                "not given: {}. Use --field NAME=@FILE or NAME=env:VARIABLE, --fields - with a JSON object, or a terminal",
                missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// Two lines are no token: which one would be meant?
    fn nothing_more(&mut self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let mut rest = Zeroizing::new(Vec::with_capacity(4096));
        let read = (&mut *self.stdin).take(LONGEST).read_to_end(&mut rest);
        match read {
            Ok(_) if rest.trim_ascii().is_empty() => Ok(()),
            Ok(_) => Err(Failure::usage(format!(
                "standard input holds more than one line for the field {}: give that line alone, or --field {}=@FILE",
                wanted.name, wanted.name
            ))),
            Err(error) => Err(cannot_read(wanted.name, &error)),
        }
    }

    fn object(&mut self) -> Result<Fields, Failure> {
        let Members(members) = serde_json::from_reader((&mut *self.stdin).take(LONGEST))
            .map_err(|error| Failure::usage(format!("--fields - takes one JSON object of texts: {error}")))?;
        let mut fields = Fields::new();
        for (name, value) in members {
            match value {
                Value::String(text) => insert(&mut fields, &name, Secret::new(text))?,
                _ => return Err(Failure::usage(format!("the field {name} of --fields is no text"))),
            }
        }
        Ok(fields)
    }
}

/// The members of a JSON object as they stand there: a name may come twice.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// Of two values for one field, neither is meant.
fn insert(fields: &mut Fields, name: &str, value: Secret) -> Result<(), Failure> {
    if fields.get(name).is_some() {
        return Err(given_twice(name));
    }
    fields.insert(name, value);
    Ok(())
}

fn given_twice(name: &str) -> Failure {
    Failure::usage(format!("the field {name} is given twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(fields: &[&str], object: bool, wanted: &[&str], stdin: &str, terminal: bool) -> Result<String, Failure> {
        let ask = |prompt: &str| Ok(Secret::new(format!("asked {}", prompt.trim_end_matches(": "))));
        let variable = |name: &str| (name == "V").then(|| "from-variable".into());
        let mut stdin = stdin.as_bytes();
        let mut input = Input { stdin: &mut stdin, is_terminal: terminal, variable: &variable, ask: &ask };
        let texts: Vec<String> = fields.iter().map(|&text| text.to_owned()).collect();
        let given = Given::new(&texts, object)?;
        let mut read = input.read(&given)?;
        let wanted: Vec<Wanted<'_>> = wanted.iter().map(|name| Wanted { name, about: None }).collect();
        input.fill(&given, &wanted, &mut read)?;
        let pair = |(name, value): (&str, &Secret)| format!("{name}={}", value.expose_str().unwrap());
        Ok(read.iter().map(pair).collect::<Vec<_>>().join(";"))
    }

    #[test]
    fn each_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v");
        std::fs::write(&path, "from-file\r\n").unwrap();
        let at = format!("t=@{}", path.display());
        for (fields, stdin, want) in [
            (&["t=-"][..], "from-stdin\nrest", "t=from-stdin"),
            (&["t=-"], "no end", "t=no end"),
            (&["t=env:V"], "", "t=from-variable"),
            (&[&at], "", "t=from-file"),
            (&["a=env:V", "b=-"], "x\r\n", "a=from-variable;b=x"),
            (&[], "alone\n", "t=alone"),
        ] {
            let wanted: &[&str] = if fields.is_empty() { &["t"] } else { &[] };
            assert_eq!(collect(fields, false, wanted, stdin, false).as_deref(), Ok(want), "{fields:?}");
        }
        let object = r#"{"a": "1", "b": "two"}"#;
        assert_eq!(collect(&[], true, &["a"], object, false).as_deref(), Ok("a=1;b=two"));
    }

    #[test]
    fn a_person_is_told_what_a_field_is() {
        let wanted = Wanted { name: "token", about: Some("where it is") };
        let mut asked = Fields::new();
        let given = Given::new(&[], false).unwrap();
        let mut nothing: &[u8] = b"";
        let ask = |prompt: &str| Ok(Secret::new(prompt));
        let mut input = Input { stdin: &mut nothing, is_terminal: true, variable: &|_| None, ask: &ask };
        input.fill(&given, &[wanted], &mut asked).unwrap();
        assert_eq!(asked.get("token").unwrap().expose_str(), Some("token (where it is): "));
        input.is_terminal = false;
        let failure = input.fill(&given, &[wanted], &mut Fields::new()).unwrap_err();
        assert!(failure.message().contains("token (where it is)"), "{}", failure.message());
    }

    #[test]
    fn what_is_missing_is_asked_for_or_named() {
        let two = &["username", "password"];
        let asked = "password=asked password;username=asked username";
        assert_eq!(collect(&[], false, two, "ignored", true).as_deref(), Ok(asked));
        let one = collect(&["username=env:V"], false, two, "pw\n \n", false);
        assert_eq!(one.as_deref(), Ok("password=pw;username=from-variable"));
        for (fields, object, stdin, want) in [
            (&[][..], false, "x\n", "username, password"),
            (&["username=-"], false, "x\ny\n", "password"),
            (&["username=env:V"], false, "", "no value for the field password"),
            (&["username=env:V"], false, "pw\nmore\n", "more than one line for the field password"),
            (&[], true, r#"{"username": "x"}"#, "password"),
            (&[], true, r#"{"username": 7, "password": "x"}"#, "the field username"),
            (&[], true, "hunter2", "JSON object"),
            (&[], true, "[]", "JSON object"),
            (&[], true, r#"{"username": "x", "password": "y", "username": "z"}"#, "the field username is given twice"),
            (&["username=env:V"], true, r#"{"username": "x", "password": "y"}"#, "username is given twice"),
            (&["username=-", "password=-"], false, "", "one field only"),
            (&["username=-"], true, "", "one field only"),
            (&["t=-", "t=env:V"], false, "", "given twice"),
            (&["t=env:W"], false, "", "W for the field t is not set"),
            (&["t=@/nonexistent"], false, "", "/nonexistent"),
            (&["t=@/"], false, "", "cannot read /"),
        ] {
            let failure = collect(fields, object, two, stdin, false).unwrap_err();
            assert!(failure.message().contains(want), "{}", failure.message());
        }
    }
}
