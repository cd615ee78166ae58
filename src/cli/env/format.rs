//! Variables in the forms that shells and platforms read. Pure: what cannot be written so that
//! every reader of a form finds the same value is an error.

use std::fmt::Write as _;

use clap::ValueEnum;

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A shell, by `eval`
    Sh,
    /// An .env file, as docker compose reads it
    Dotenv,
    /// A JSON object
    Json,
    /// The `env:` list of a Kubernetes container; the password comes from a Secret
    K8s,
    /// GitHub Actions, at the end of $GITHUB_ENV
    Github,
}

/// Stands for the password in what `k8s` gets; no value holds it otherwise.
pub(super) const PASSWORD: char = '\0';

/// The variable that `k8s` reads the password into.
const PASSWORD_VARIABLE: &str = "NEXUS_PROXY_PASSWORD";

/// What is written.
pub(super) struct Content<'a> {
    /// What is set, in order.
    pub(super) set: &'a [(String, String)],
    /// Names that are taken away, where a form can say so.
    pub(super) unset: &'a [String],
    /// The agent, if it has a password.
    pub(super) agent: Option<&'a str>,
    /// A line that stands in no value.
    pub(super) delimiter: &'a str,
}

/// Why a value cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of {0} holds a quote or a backslash, which readers of .env files understand differently")]
pub(super) struct FormatError(String);

impl Format {
    /// The whole text.
    pub(super) fn write(self, content: &Content<'_>) -> Result<String, FormatError> {
        match self {
            Self::Sh => Ok(shell(content)),
            Self::Dotenv => dotenv(content),
            Self::Json => Ok(json(content)),
            Self::K8s => Ok(kubernetes(content)),
            Self::Github => Ok(github(content)),
        }
    }
}

/// Every statement ends with a semicolon, so that an `eval` without quotes reads the same.
fn shell(content: &Content<'_>) -> String {
    let mut text = String::new();
    // A name that no shell can have cannot be unset by one.
    let names: Vec<&str> = content.unset.iter().map(String::as_str).filter(|name| is_identifier(name)).collect();
    for names in names.chunks(8) {
        let _ = writeln!(text, "unset {};", names.join(" "));
    }
    for (name, value) in content.set {
        let _ = writeln!(text, "export {name}='{}';", value.replace('\'', r"'\''"));
    }
    text
}

fn is_identifier(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.starts_with(|first: char| first.is_ascii_digit()) && name.bytes().all(fits)
}

/// Bare where a value needs no quotes, which `docker run --env-file` does not take off; else in
/// single quotes, between which nothing has a meaning.
fn dotenv(content: &Content<'_>) -> Result<String, FormatError> {
    let mut text = String::new();
    for (name, value) in content.set {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@%+,=".contains(&byte);
        if value.bytes().all(bare) {
            let _ = writeln!(text, "{name}={value}");
        } else if value.contains(['\'', '\\', '\r']) {
            return Err(FormatError(name.clone()));
        } else {
            let _ = writeln!(text, "{name}='{value}'");
        }
    }
    Ok(text)
}

fn json(content: &Content<'_>) -> String {
    let members: Vec<String> =
        content.set.iter().map(|(name, value)| format!("  {}: {}", quoted(name), quoted(value))).collect();
    format!("{{\n{}\n}}\n", members.join(",\n"))
}

/// A string as JSON has it, which YAML reads too (YAML 1.2, section 1.3).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Kubernetes expands `$(NAME)` in values, and `$$` is a dollar sign there.
fn kubernetes(content: &Content<'_>) -> String {
    let mut text = String::new();
    if let Some(agent) = content.agent {
        // A name of Kubernetes (RFC 1123): lower case, digits and dashes.
        let fits = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' };
        let secret = format!("nexus-sidecar-{}", agent.chars().map(fits).collect::<String>().trim_matches('-'));
        let _ = write!(
            text,
            "# The password is read from a Secret. It may hold letters, digits and -._~ alone:\n\
             #   tr -d '\\n' <PASSWORD-FILE | kubectl create secret generic {secret} \\\n\
             #     --from-file=proxy-password=/dev/stdin\n\
             - name: {PASSWORD_VARIABLE}\n  valueFrom:\n    secretKeyRef:\n      \
             name: {}\n      key: proxy-password\n",
            quoted(&secret)
        );
    }
    for (name, value) in content.set {
        let value = value.replace('$', "$$").replace(PASSWORD, &format!("$({PASSWORD_VARIABLE})"));
        let _ = writeln!(text, "- name: {name}\n  value: {}", quoted(&value));
    }
    text
}

/// `NAME=value`, and what has several lines between two delimiters.
fn github(content: &Content<'_>) -> String {
    let mut text = String::new();
    for (name, value) in content.set {
        let _ = match value.contains(['\n', '\r']) {
            true => writeln!(text, "{name}<<{0}\n{value}\n{0}", content.delimiter),
            false => writeln!(text, "{name}={value}"),
        };
    }
    text
}

#[cfg(test)]
mod tests;
