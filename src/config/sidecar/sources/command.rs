//! Commands that write credentials to their standard output: `op`, `pass`, `gcloud`, `aws`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::super::reader::Reader;
use super::environment::variable;
use crate::config::yaml::{Fields, Node};

/// What every command may see of the sidecar's environment, where it is set: where programs, the
/// home and the user's own sockets and settings are. None of them is a credential.
const SEEN: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
    "CLOUDSDK_CONFIG",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
];

/// `command:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSource {
    /// How long each command may take.
    pub timeout: Duration,
}

/// `command:` of a connection there, and how its output is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandConnection {
    /// The program and its arguments; there is no shell.
    pub argv: Vec<String>,
    /// The variables that it sees, where they are set.
    pub environment: Vec<String>,
    /// What it writes.
    pub output: CommandOutput,
    /// How long what it wrote is used, beside the end that it names itself.
    pub ttl: Option<Duration>,
}

/// What a command writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandOutput {
    /// The value of this field, on one line.
    Line(String),
    /// A JSON object.
    Json {
        /// By the field's name, where its value is: a member, or a JSON pointer (RFC 6901).
        fields: BTreeMap<String, String>,
        /// Where its end is: RFC 3339, or seconds since 1970.
        expires_at: Option<String>,
        /// Where the seconds are that it is good for.
        expires_in: Option<String>,
    },
}

impl CommandOutput {
    /// The fields that it gives.
    pub(super) fn names(&self) -> Vec<&String> {
        match self {
            Self::Line(field) => vec![field],
            Self::Json { fields, .. } => fields.keys().collect(),
        }
    }
}

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<CommandSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let mut timeout = Duration::from_secs(30);
    reader.time(fields.get("timeout"), &mut timeout);
    fields.finish(&[], reader.findings);
    Some(CommandSource { timeout })
}

pub(super) fn connection(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<CommandConnection> {
    let argv = argv(fields, reader);
    let mut environment: Vec<String> = SEEN.iter().map(|&name| name.to_owned()).collect();
    for node in fields.get("environment").map(|node| node.one_or_list(reader.findings)).unwrap_or_default() {
        let name = node.text(reader.findings).and_then(|name| variable(name, node, reader));
        environment.extend(name);
    }
    let ttl = fields.get("ttl").map(|node| {
        let mut ttl = Duration::ZERO;
        reader.time(Some(node), &mut ttl);
        ttl
    });
    let output = output(fields, reader);
    if matches!(output, Some(CommandOutput::Line(_))) && ttl.is_none() {
        return reader.missing(fields.node(), "ttl");
    }
    Some(CommandConnection { argv: argv?, environment, output: output?, ttl })
}

fn argv(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let Some(node) = fields.get("command") else { return reader.missing(fields.node(), "command") };
    let mut argv = Vec::new();
    for node in node.list(reader.findings) {
        argv.push(node.text(reader.findings)?.to_owned());
    }
    match argv.first() {
        None => {
            reader.findings.with(node, "this is a list of a program and its arguments, such as [pass, show, github]");
            None
        }
        Some(program) if program.contains('/') && !Path::new(program).is_absolute() => {
            reader.findings.with(node, "the program is found in PATH by its name, or by its whole path");
            None
        }
        Some(_) => Some(argv),
    }
}

fn output(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<CommandOutput> {
    let json = match fields.get("format") {
        Some(node) => reader.word(node, &["text", "json"])? == "json",
        None => false,
    };
    let (field, named) = (fields.get("field"), fields.get("fields"));
    let (expires_at, expires_in) = (fields.get("expires_at"), fields.get("expires_in"));
    if !json {
        for node in [named, expires_at, expires_in].into_iter().flatten() {
            reader
                .findings
                .with(node, "this is read from `format: json`: a command that writes text gives one `field`");
        }
        let Some(field) = field else { return reader.missing(fields.node(), "field") };
        return Some(CommandOutput::Line(field.text(reader.findings)?.to_owned()));
    }
    if let Some(node) = field {
        reader.findings.with(node, "`format: json` gives `fields`, each with its place in the output");
    }
    let Some(named) = named else { return reader.missing(fields.node(), "fields") };
    let mut places = BTreeMap::new();
    for entry in named.entries(reader.findings) {
        let place = entry.node.text(reader.findings).map(str::to_owned);
        places.extend(place.map(|place| (entry.key.clone(), place)));
    }
    let mut text = |node: Option<&Node>| node.and_then(|node| node.text(reader.findings)).map(str::to_owned);
    let (expires_at, expires_in) = (text(expires_at), text(expires_in));
    Some(CommandOutput::Json { fields: places, expires_at, expires_in })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConnectionAt, Environment};

    fn load(connection: &str) -> Result<Config, String> {
        let text = format!(
            "version: 1\nsources: {{ cmd: {{ command: {{ timeout: 5s }} }}, env: {{ environment: {{}} }} }}\n\
             connections:\n  a: {{ hosts: api.example.com, strategy: oauth2, {connection} }}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.yaml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file, &Environment::of([("HOME", "/h")])).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_command_and_what_it_writes() {
        let config = load("source: cmd, command: [op, read, x], field: access_token, ttl: 10m, environment: [OP_X]");
        let config = config.unwrap();
        let Some(ConnectionAt::Command(_, there)) = config.connections.values().next().map(|one| &one.at) else {
            panic!("no command")
        };
        assert_eq!(there.argv, ["op", "read", "x"]);
        assert_eq!((there.ttl, there.environment.len()), (Some(Duration::from_secs(600)), SEEN.len() + 1));
        assert_eq!(there.output, CommandOutput::Line("access_token".into()));
        assert!(config.variables().is_empty());
        let fields = "fields: { access_token: /a/b }, expires_at: end, expires_in: left";
        assert!(load(&format!("source: cmd, command: [x], format: json, {fields}")).is_ok());
        let held = load("source: env, fields: { access_token: GITHUB_PAT }").unwrap();
        assert_eq!(held.variables(), ["GITHUB_PAT"], "the command of `run` gets none of them");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (connection, words) in [
            ("source: cmd, field: access_token, ttl: 1m", "`command` is missing"),
            ("source: cmd, command: [], field: access_token, ttl: 1m", "a list of a program and its arguments"),
            ("source: cmd, command: op read, field: access_token, ttl: 1m", "must be a list"),
            ("source: cmd, command: [./give], field: access_token, ttl: 1m", "by its whole path"),
            ("source: cmd, command: [give], field: access_token", "`ttl` is missing"),
            ("source: cmd, command: [give], ttl: 1m", "`field` is missing"),
            ("source: cmd, command: [give], ttl: 0s, field: access_token", "a time with its unit"),
            ("source: cmd, command: [give], ttl: 1m, field: other", "needs the field access_token"),
            ("source: cmd, command: [give], ttl: 1m, fields: { access_token: a }", "gives one `field`"),
            ("source: cmd, command: [give], format: json", "`fields` is missing"),
            ("source: cmd, command: [give], format: json, field: access_token", "gives `fields`"),
            ("source: cmd, command: [give], format: yaml", "text or json"),
            ("source: cmd, command: [x], ttl: 1m, field: access_token, environment: [A=B]", "the name of a variable"),
            ("source: env, fields: { access_token: ghp canary }", "the name of a variable"),
            ("source: env", "`fields` is missing"),
            ("source: env, fields: { other: A }", "needs the field access_token"),
        ] {
            let problems = load(connection).unwrap_err();
            assert!(problems.contains(words), "{words} is not in\n{problems}");
            assert!(problems.contains(":4:") && !problems.contains("canary"), "{problems}");
        }
    }
}
