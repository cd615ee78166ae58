use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

/// What a reader may stumble over; no quote or backslash, which `dotenv` refuses.
const VALUES: &[(&str, &str)] = &[
    ("PLAIN", "http://bot:p%40ss@h:1"),
    ("EMPTY", ""),
    ("BLANKS", "  a  b "),
    ("DOLLAR", "$HOME ${HOME} $(id) `id` $$"),
    ("DOUBLE", "-Dx \"-Dy=/a b/c\" # no comment"),
    ("LINES", "one\n  two\n\nthree: #4\n"),
    ("OTHER", "ü;&|<>*?[]{}!^=%,:@~"),
];

const QUOTES: &[(&str, &str)] = &[("SINGLE", "it's ''"), ("BACK", "a\\b\\n\\"), ("BOTH", "\\'\"$x")];

fn pairs(values: &[&[(&str, &str)]]) -> Vec<(String, String)> {
    values.concat().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn written(format: Format, set: &[(String, String)], unset: &[String]) -> String {
    let content = Content { set, unset, agent: Some("Bot_1"), delimiter: "end-7f3a" };
    format.write(&content).unwrap()
}

/// Runs a program on a text and answers what it printed.
fn read_by(program: &str, arguments: &[&str], text: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("GONE", "still here")
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} does not read it:\n{text}");
    String::from_utf8(output.stdout).unwrap()
}

fn as_python_prints(set: &[(String, String)]) -> serde_json::Value {
    set.iter().map(|(name, value)| (name.clone(), serde_json::Value::from(value.as_str()))).collect()
}

fn parsed(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_shell_reads_every_value_and_forgets_what_is_taken_away() {
    let set = pairs(&[VALUES, QUOTES]);
    let text = written(Format::Sh, &set, &["GONE".to_owned(), "npm_config_//r/:_authToken".to_owned()]);
    let script = "eval \"$(cat)\"; [ -z \"${GONE+x}\" ] && env -0";
    let seen = read_by("sh", &["-c", script], &text);
    for (name, value) in &set {
        assert!(seen.split('\0').any(|pair| pair == format!("{name}={value}")), "{name}");
    }
    let plain = pairs(&[&[("A", "one"), ("B", "two")]]);
    let text = written(Format::Sh, &plain, &[]);
    assert_eq!(read_by("sh", &["-c", "eval $(cat); printf %s \"$A$B\""], &text), "onetwo");
}

#[test]
fn python_reads_the_json_object() {
    let set = pairs(&[VALUES, QUOTES]);
    let text = read_by("python3", &["-m", "json.tool"], &written(Format::Json, &set, &[]));
    assert_eq!(parsed(&text), as_python_prints(&set));
}

#[test]
fn an_env_file_keeps_every_value_that_it_takes() {
    let set = pairs(&[VALUES]);
    let text = written(Format::Dotenv, &set, &[]);
    assert!(text.starts_with("PLAIN=http://bot:p%40ss@h:1\nEMPTY=\nBLANKS='  a  b '\n"), "{text}");
    for (name, value) in QUOTES {
        let set = pairs(&[&[(*name, *value)]]);
        let content = Content { set: &set, unset: &[], agent: None, delimiter: "" };
        assert_eq!(Format::Dotenv.write(&content), Err(FormatError((*name).to_owned())));
    }
    let seen = compose_reads(&text);
    assert_eq!(seen, set);
}

/// The rules by which docker compose reads such a file, for what is bare or in single quotes.
fn compose_reads(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, left) = match after.strip_prefix('\'') {
            Some(quoted) => quoted.split_once("'\n").unwrap(),
            None => after.split_once('\n').unwrap(),
        };
        let bare = !after.starts_with('\'');
        assert!(!bare || !value.contains([' ', '#', '$', '"', '\'', '\\']), "{value}");
        pairs.push((name.to_owned(), value.to_owned()));
        rest = left;
    }
    pairs
}

#[test]
fn the_list_of_a_container_has_the_password_from_a_secret_and_no_other_expansion() {
    let mut set = pairs(&[VALUES, QUOTES]);
    set.push(("HTTPS_PROXY".to_owned(), format!("http://Bot_1:{PASSWORD}@h:1")));
    let text = written(Format::K8s, &set, &[]);
    let list: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let list = list.as_array().unwrap();
    let reference = &list[0]["valueFrom"]["secretKeyRef"];
    assert_eq!((&reference["name"], &reference["key"]), (&"nexus-sidecar-bot-1".into(), &"proxy-password".into()));
    let expanded = |value: &str| value.replace("$(NEXUS_PROXY_PASSWORD)", "PW").replace("$$", "$");
    for (name, value) in &set {
        let found = list.iter().find(|item| item["name"] == *name).unwrap();
        assert_eq!(expanded(found["value"].as_str().unwrap()), value.replace(PASSWORD, "PW"), "{name}");
    }
    assert_eq!(list[0]["name"], PASSWORD_VARIABLE, "it is expanded only in what follows it");
}

#[test]
fn the_runner_of_github_reads_every_value() {
    let set = pairs(&[VALUES, QUOTES]);
    let text = written(Format::Github, &set, &[]);
    let mut lines = text.split('\n');
    let mut seen = Vec::new();
    while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
        match (line.find('='), line.find("<<")) {
            (Some(equals), heredoc) if heredoc.is_none_or(|heredoc| equals < heredoc) => {
                seen.push((line[..equals].to_owned(), line[equals + 1..].to_owned()));
            }
            (_, Some(heredoc)) => {
                let body: Vec<&str> = lines.by_ref().take_while(|next| *next != &line[heredoc + 2..]).collect();
                seen.push((line[..heredoc].to_owned(), body.join("\n")));
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(seen, set);
}
