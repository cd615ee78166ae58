//! Where the values of fields come from: never from the command line, which every process of this
//! machine can read. `connection` keeps them in the store, `run` in memory.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::model::Secret;

/// The longest value, and the longest JSON object of values, in bytes.
pub(super) const LONGEST: u64 = 1 << 20;

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

impl Input<'_> {
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

    /// Asks a person for a field.
    pub(super) fn ask(&self, wanted: &Wanted<'_>) -> Result<Secret, Failure> {
        let value = (self.ask)(&format!("{wanted}: "));
        value.map_err(|error| Failure::failed(format!("cannot ask for the field {}: {error}", wanted.name)))
    }

    /// One line of standard input, without its end.
    pub(super) fn line(&mut self, wanted: &Wanted<'_>) -> Result<Secret, Failure> {
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
}

/// Standard input broke off.
pub(super) fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read standard input for the field {name}: {error}"))
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

    #[test]
    fn a_value_on_the_command_line_is_refused_and_not_repeated() {
        for text in ["t=hunter2", "hunter2", "t=", "t=@", "t=env:", "=hunter2", "a b=hunter2", "t=--"] {
            let failure = FieldSource::parse(text, "NAME=SOURCE").unwrap_err();
            assert_eq!(failure.code(), 2, "{text}");
            assert!(!failure.message().contains("hunter2"), "{}", failure.message());
        }
    }
}
