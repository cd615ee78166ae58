//! A drafted rule as an item of `rules:`, which the compiler reads back as what was meant.

use std::fmt;

use super::super::rule::Effect;
use super::{BLANK, Draft, Value};
use crate::config::Protocol;

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  - name: {}", self.name)?;
        let mut line = |key: &str, value: String| writeln!(f, "    {key}: {value}");
        if let Some(agent) = &self.agent {
            line("agent", scalar(agent))?;
        }
        line("host", scalar(&self.host.to_string()))?;
        if let Some(port) = self.port {
            line("port", port.to_string())?;
        }
        if let Some(inside) = &self.inside {
            line("method", scalar(&inside.method))?;
            line("path", scalar(&inside.path))?;
            for (key, items) in [("query", &inside.query), ("headers", &inside.headers)] {
                if !items.is_empty() {
                    line(key, flow(items))?;
                }
            }
        }
        match &self.effect {
            Effect::Inject { connection, plaintext, scope } => {
                line("connection", scalar(connection.as_str()))?;
                if let Some(scope) = scope {
                    line("scope", scope.as_str().to_owned())?;
                }
                if *plaintext {
                    line("plaintext", "true".to_owned())?;
                }
            }
            Effect::Tunnel(protocol) => {
                line("action", "tunnel".to_owned())?;
                if *protocol == Protocol::Any {
                    line("protocol", "any".to_owned())?;
                }
            }
            Effect::Stub(stub) => {
                line("action", "stub".to_owned())?;
                line("stub", stub.word().to_owned())?;
            }
            _ => line("action", "forward".to_owned())?,
        }
        if self.mints {
            line("mints", "true".to_owned())?;
        }
        if !self.networks.is_empty() {
            line("networks", list(&self.networks))?;
        }
        if !self.pass_headers.is_empty() {
            line("pass_headers", list(&self.pass_headers))?;
        }
        Ok(())
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

fn flow(items: &[(String, Value)]) -> String {
    let item = |(name, value): &(String, Value)| {
        let value = match value {
            Value::Pattern(pattern) => quoted(pattern),
            Value::Absent => "null".to_owned(),
            Value::Blank => quoted(BLANK),
        };
        format!("{}: {value}", quoted(name))
    };
    format!("{{ {} }}", items.iter().map(item).collect::<Vec<_>>().join(", "))
}

/// A text as YAML: plain where nobody could read anything else in it.
pub(super) fn scalar(text: &str) -> String {
    const WORDS: [&str; 11] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"];
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/');
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-~*%".contains(&b));
    let word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if first && plain && !word { text.to_owned() } else { quoted(text) }
}

/// A text in double quotes, as JSON and YAML both read it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
