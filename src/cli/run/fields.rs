//! `--field`: connections that live in memory, for this run alone. Nothing of them reaches a disk.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal};
use std::os::fd::AsFd;

use crate::cli::failure::Failure;
use crate::cli::input::{FieldSource, Input};
use crate::config::{Catalogue, Provider};
use crate::lease::{MemoryConnection, check_fields};
use crate::model::{ConnectionName, Fields};
use crate::policy::Policy;

const FORM: &str = "CONNECTION.FIELD=SOURCE, such as github.token=env:PAT";

/// What `--field` gives.
#[derive(Debug, Default)]
pub(super) struct InMemory {
    /// The connections, whole.
    pub(super) connections: Vec<MemoryConnection>,
    /// The variables that fields were read from: the command does not get them.
    pub(super) variables: Vec<String>,
}

/// Reads the fields of `--field` for the connections that a policy borrows. Standard input is read
/// to the end of its first line and no further: the rest is the command's.
pub(super) fn read(texts: &[String], policy: &Policy) -> Result<InMemory, Failure> {
    if texts.is_empty() {
        return Ok(InMemory::default());
    }
    let failed = |error: io::Error| Failure::failed(format!("cannot read standard input: {error}"));
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    read_from(
        texts,
        policy,
        &mut Input {
            is_terminal: io::stdin().is_terminal(),
            stdin: &mut BufReader::with_capacity(1, File::from(stdin)),
            variable: &|name| std::env::var_os(name),
            ask: &|_| Err(io::Error::other("a terminal belongs to the command: use env:VARIABLE or @FILE")),
        },
    )
}

fn read_from(texts: &[String], policy: &Policy, input: &mut Input<'_>) -> Result<InMemory, Failure> {
    let given = grouped(texts)?;
    // Whatever can be refused is refused before a secret is read.
    let mut known = Vec::with_capacity(given.len());
    for (name, sources) in &given {
        let provider = provider(name, policy)?;
        check_names(name, provider, sources)?;
        known.push(provider);
    }
    let mut made = InMemory::default();
    for ((name, sources), provider) in given.into_iter().zip(known) {
        let mut fields = Fields::new();
        for source in &sources {
            fields.insert(source.name(), input.value(source)?);
            made.variables.extend(source.variable().map(str::to_owned));
        }
        let bindings = provider.bindings.clone();
        check_fields(&bindings, &fields).map_err(|error| Failure::usage(format!("--field {name}: {error}")))?;
        made.connections.push(MemoryConnection { name, bindings, fields, expires_at: None });
    }
    Ok(made)
}

/// The sources of each connection, each field once.
fn grouped(texts: &[String]) -> Result<Vec<(ConnectionName, Vec<FieldSource>)>, Failure> {
    let mut all: Vec<(ConnectionName, Vec<FieldSource>)> = Vec::new();
    for text in texts {
        let given = FieldSource::parse(text, FORM)?;
        let whole = given.name().to_owned();
        let parts = whole.rsplit_once('.').and_then(|(name, field)| Some((ConnectionName::parse(name).ok()?, field)));
        let Some((name, field)) = parts.filter(|(_, field)| !field.is_empty()) else {
            return Err(Failure::usage(format!("--field {whole}=… names no connection: it takes {FORM}")));
        };
        if given.is_standard_input() && all.iter().flat_map(|(_, others)| others).any(FieldSource::is_standard_input) {
            return Err(Failure::usage("standard input can fill one field only: use @FILE or env:VARIABLE"));
        }
        let place = all.iter().position(|(other, _)| *other == name).unwrap_or_else(|| {
            all.push((name, Vec::new()));
            all.len() - 1
        });
        let fields = &mut all[place].1;
        if fields.iter().any(|other| other.name() == field) {
            return Err(Failure::usage(format!("--field {whole} is given twice")));
        }
        fields.push(given.named(field));
    }
    Ok(all)
}

/// The provider of a connection that a rule borrows: the rule's, else the one of its name.
fn provider(name: &ConnectionName, policy: &Policy) -> Result<&'static Provider, Failure> {
    let borrowed = policy.connections();
    let Some((_, provider)) = borrowed.iter().find(|(other, _)| *other == name) else {
        let others: Vec<&str> = borrowed.iter().map(|(other, _)| other.as_str()).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        return Err(Failure::usage(format!(
            "--field {name}: no rule borrows the connection {name}, so that it would be of no use; those that are: {others}"
        )));
    };
    let catalogue = Catalogue::built_in();
    provider.or_else(|| catalogue.provider(name.as_str())).ok_or_else(|| {
        Failure::usage(format!(
            "--field {name}: nothing says how the connection {name} authenticates: its rules name the hosts of no \
             provider ({}). Keep it in the store: nexus-sidecar connection add {name} --strategy TYPE --host HOST",
            catalogue.providers().iter().map(|provider| provider.connection.as_str()).collect::<Vec<_>>().join(", ")
        ))
    })
}

fn check_names(name: &ConnectionName, provider: &Provider, sources: &[FieldSource]) -> Result<(), Failure> {
    let known = || provider.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(other) = sources.iter().find(|source| !provider.fields.iter().any(|field| field.name == source.name()))
    {
        return Err(Failure::usage(format!(
            "--field {name}.{}: {} has no such field, but {}",
            other.name(),
            provider.connection,
            known()
        )));
    }
    let is_given = |name: &str| sources.iter().any(|source| source.name() == name);
    match provider.fields.iter().find(|field| !field.optional && !is_given(&field.name)) {
        Some(missing) => Err(Failure::usage(format!(
            "the connection {name} needs --field {name}.{}=SOURCE too: {}",
            missing.name, missing.about
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Document, SetName};

    fn policy(rules: &str) -> Policy {
        Policy::compile(vec![Document::parse(Path::new("p"), &format!("version: 1\nrules:\n{rules}"))]).unwrap()
    }

    fn github() -> Policy {
        Policy::of_sets(&[SetName::parse("github/read@1").unwrap()]).unwrap()
    }

    fn given(policy: &Policy, texts: &[&str], stdin: &mut &[u8]) -> Result<InMemory, Failure> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let variable = |name: &str| (name == "PAT").then(|| "from-variable".into());
        let ask = |_: &str| Err(io::Error::other("a terminal"));
        read_from(&texts, policy, &mut Input { stdin, is_terminal: false, variable: &variable, ask: &ask })
    }

    fn token(made: &InMemory) -> &str {
        made.connections[0].fields.get("token").unwrap().expose_str().unwrap()
    }

    #[test]
    fn a_providers_connection_is_made_in_memory() {
        let made = given(&github(), &["github.token=env:PAT"], &mut &b""[..]).unwrap();
        assert_eq!((token(&made), &made.variables[..]), ("from-variable", &["PAT".to_owned()][..]));
        assert_eq!(made.connections[0].bindings, Catalogue::built_in().provider("github").unwrap().bindings);
        let mut stdin = &b"one\nthe command's"[..];
        let made = given(&github(), &["github.token=-"], &mut stdin).unwrap();
        assert_eq!((token(&made), stdin), ("one", &b"the command's"[..]));
        assert!(made.variables.is_empty());
    }

    #[test]
    fn a_connections_provider_is_its_rules_or_its_names() {
        let by_set = policy("  - { use: github/read@1, connection: my.work }\n");
        assert_eq!(token(&given(&by_set, &["my.work.token=env:PAT"], &mut &b""[..]).unwrap()), "from-variable");
        let by_host = policy("  - { host: api.github.com, connection: mine }\n");
        assert!(given(&by_host, &["mine.token=env:PAT"], &mut &b""[..]).is_ok());
        let by_name = policy("  - { host: api.example.com, connection: github }\n");
        assert!(given(&by_name, &["github.token=env:PAT"], &mut &b""[..]).is_ok());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_anything_is_read() {
        let own = policy("  - { host: api.example.com, connection: mine }\n");
        for (policy, texts, want) in [
            (&github(), &["github.tokn=env:PAT"][..], "github has no such field, but token"),
            (&github(), &["slack.token=env:PAT"], "no rule borrows the connection slack"),
            (&github(), &["token=env:PAT"], "names no connection"),
            (&github(), &["github.=env:PAT"], "names no connection"),
            (&github(), &["GitHub.token=env:PAT"], "names no connection"),
            (&github(), &["github.token=hunter2"], "takes no value"),
            (&github(), &["hunter2"], "CONNECTION.FIELD=SOURCE"),
            (&github(), &["github.token=env:PAT", "github.token=-"], "github.token is given twice"),
            (&github(), &["github.token=-", "github.user=-"], "one field only"),
            (&github(), &["github.token=env:NOPE"], "NOPE"),
            (&github(), &["github.token=-"], "no value for the field token"),
            (&own, &["mine.token=env:PAT"], "connection add mine --strategy"),
        ] {
            let failure = given(policy, texts, &mut &b""[..]).unwrap_err();
            assert!(failure.code() == 2 && failure.message().contains(want), "{texts:?}: {}", failure.message());
            assert!(!failure.message().contains("hunter2"), "{}", failure.message());
        }
        let failure = given(&github(), &["github.token=-"], &mut &b"Bearer x\n"[..]).unwrap_err();
        assert!(failure.message().starts_with("--field github: the field token begins with"), "{}", failure.message());
    }
}
