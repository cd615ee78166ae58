//! Where the values of fields come from: never from the command line, which every process of this
//! machine can read. `connection` keeps them in the store, `run` in memory.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::model::{Fields, Secret};

/// The longest value, and the longest JSON object of values, in bytes.
const LONGEST: u64 = 1 << 20;

const FORM: &str = "NAME=SOURCE, such as token=env:GITHUB_TOKEN";

/// A field and its source, as `--field` names them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FieldSource {
    name: String,
    source: Source,
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    StandardInput,
    File(PathBuf),
    Variable(String),
}

impl FieldSource {
    /// Reads `NAME=SOURCE`; `form` says what that looks like. What is no source may be a secret, so
    /// that no error quotes it.
    pub(super) fn parse(text: &str, form: &str) -> Result<Self, Failure> {
        let (name, source) = match text.split_once('=') {
            Some((name, source)) if is_name(name) => (name, source),
            _ => return Err(Failure::usage(format!("--field takes {form}"))),
        };
        let source = if source == "-" {
            Source::StandardInput
        } else if let Some(path) = source.strip_prefix('@').filter(|path| !path.is_empty()) {
            Source::File(path.into())
        } else if let Some(variable) = source.strip_prefix("env:").filter(|variable| !variable.is_empty()) {
            Source::Variable(variable.to_owned())
        } else {
            return Err(Failure::usage(format!(
                "--field {name}=… takes no value: every process of this machine can read a command line. \
                 Use {name}=- (one line of standard input), {name}=@FILE or {name}=env:VARIABLE"
            )));
        };
        Ok(Self { name: name.to_owned(), source })
    }

    /// The field.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The same source for a field of another name.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), source: self.source }
    }

    /// The environment variable that it is read from.
    pub(super) fn variable(&self) -> Option<&str> {
        match &self.source {
            Source::Variable(name) => Some(name),
            Source::StandardInput | Source::File(_) => None,
        }
    }

    /// Tells whether it is a line of standard input, which can be read once.
    pub(super) fn is_standard_input(&self) -> bool {
        self.source == Source::StandardInput
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// What values are read from; a terminal is asked without echo, anything else is read.
pub(super) struct Input<'a> {
    pub(super) stdin: &'a mut dyn BufRead,
    pub(super) is_terminal: bool,
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) ask: &'a dyn Fn(&str) -> io::Result<Secret>,
}

/// A field that a connection cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// What it is and where it comes from, where a provider says so.
    pub(super) about: Option<&'a str>,
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.about {
            Some(about) => write!(f, "{} ({about})", self.name),
            None => f.write_str(self.name),
        }
    }
}

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
            if given.sources[..index].iter().any(|other| other.name == one.name) {
                return Err(given_twice(&one.name));
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
            insert(&mut fields, &field.name, value)?;
        }
        Ok(fields)
    }

    /// Reads one value from its source.
    pub(super) fn value(&mut self, FieldSource { name, source }: &FieldSource) -> Result<Secret, Failure> {
        match source {
            // What a person types there would be seen.
            Source::StandardInput if self.is_terminal => self.ask(&Wanted { name, about: None }),
            Source::StandardInput => self.line(&Wanted { name, about: None }),
            Source::File(path) => file(path).map_err(|error| {
                Failure::failed(format!("cannot read {} for the field {name}: {error}", path.display()))
            }),
            Source::Variable(variable) => {
                let value = (self.variable)(variable);
                let value = value.ok_or_else(|| {
                    Failure::usage(format!("the environment variable {variable} for the field {name} is not set"))
                })?;
                Ok(Secret::new(value.into_encoded_bytes()))
            }
        }
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

    fn ask(&self, wanted: &Wanted<'_>) -> Result<Secret, Failure> {
        let value = (self.ask)(&format!("{wanted}: "));
        value.map_err(|error| Failure::failed(format!("cannot ask for the field {}: {error}", wanted.name)))
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

    /// One line of standard input, without its end.
    fn line(&mut self, wanted: &Wanted<'_>) -> Result<Secret, Failure> {
        let mut line = Vec::with_capacity(4096);
        let read = (&mut *self.stdin).take(LONGEST).read_until(b'\n', &mut line);
        read.map_err(|error| cannot_read(wanted.name, &error))?;
        trim_end(&mut line);
        if line.is_empty() {
            return Err(Failure::usage(format!(
                "standard input holds no value for the field {wanted}: is what should give it empty?"
            )));
        }
        Ok(Secret::new(line))
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

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read standard input for the field {name}: {error}"))
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

/// A whole file, without one line end at its end, as editors leave it.
fn file(path: &Path) -> io::Result<Secret> {
    let mut bytes = Vec::with_capacity(4096);
    if File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)? as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 1 MiB"));
    }
    trim_end(&mut bytes);
    Ok(Secret::new(bytes))
}

fn trim_end(bytes: &mut Vec<u8>) {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
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
    fn a_value_on_the_command_line_is_refused_and_not_repeated() {
        for text in ["t=hunter2", "hunter2", "t=", "t=@", "t=env:", "=hunter2", "a b=hunter2", "t=--"] {
            let failure = FieldSource::parse(text, FORM).unwrap_err();
            assert_eq!(failure.code(), 2, "{text}");
            assert!(!failure.message().contains("hunter2"), "{}", failure.message());
        }
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
