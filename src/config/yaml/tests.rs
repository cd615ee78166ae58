use std::path::Path;

use proptest::prelude::*;

use crate::config::{Document, Environment};

fn problems(text: &str) -> String {
    let lines: Vec<String> = Document::parse(Path::new("p"), text).problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_with_its_place() {
    for (text, want) in [
        ("version: 1\nrules: &all []\n", "p:2:8: anchors"),
        ("version: 1\nrules: *all\n", "p:2:8:"),
        ("version: !!int 1\n", "tags are not read"),
        ("version: 1\ndefault: !secret deny\n", "tags are not read"),
        ("version: 1\n---\nversion: 1\n", "one document"),
        ("version: 1\nversion: 1\n", "p:2:1: the key \"version\" is written twice: first at 1:1"),
        ("version: 1\n? [a, b]\n: c\n", "a key must be plain text"),
        ("version: 1\n1: 2\n", "is not text"),
        ("version: 1\nrules: [\n", "this is not YAML"),
        ("version: 1\n\tdefault: deny\n", "this is not YAML"),
        ("- a\n", "p:1:1: this must be a mapping, not a list"),
        ("", "p:1:1: `version: 1` is missing"),
        ("version: '1'\n", "p:1:10: this version"),
        ("version: 1\nrules: {}\n", "p:2:8: this must be a list, not a mapping"),
        ("version: 1\nrules: [3]\n", "p:2:9: this must be a mapping, not a number"),
        ("version: 1\nrules: [{ name: on, host: 1.5, action: deny }]\n", "YAML reads it as a number: put it in quotes"),
        ("version: 1\nrules: [{ name: true, host: a, action: deny }]\n", "YAML reads it as true or false"),
        ("version: 1\nrules: [{ host: [], action: deny }]\n", "this list is empty"),
        ("version: 1\nrules: [{ <<: { host: a }, action: deny }]\n", "unknown key `<<`"),
    ] {
        let problems = problems(text);
        assert!(problems.contains(want), "{text}\n{want} is not in\n{problems}");
    }
    for open in ["[", "{a: ", "- ", "? "] {
        let problems = problems(&format!("version: 1\nrules:\n  {}", open.repeat(200_000)));
        let wants = ["nested too deeply", "plain text", "recursion limit"];
        assert!(wants.iter().any(|want| problems.contains(want)), "{open}: {problems}");
    }
    assert!(problems(&"#".repeat(2_000_000)).contains("longer than"));
}

#[test]
fn words_that_old_yaml_takes_for_booleans_are_text() {
    let text = "version: 1\nrules: [{ name: no, agent: on, host: yes, action: deny }]\n";
    let document = Document::parse(Path::new("p"), text);
    assert!(document.problems.is_empty());
    assert_eq!((&*document.rules[0].name, &*document.rules[0].agents[0].value), ("no", "on"));
}

#[test]
fn line_ends_and_byte_order_marks_are_those_of_any_editor() {
    for text in ["version: 1\r\ndefault: deny\r\n", "\u{feff}version: 1\ndefault: deny\n"] {
        let document = Document::parse(Path::new("p"), text);
        assert!(document.problems.is_empty() && document.default.is_some(), "{text:?}: {:?}", document.problems);
    }
}

#[test]
fn places_count_characters() {
    let document = Document::parse(Path::new("p"), "version: 1\nrules:\n  - { name: \"a\", x\u{e9}: 1, host: a b }\n");
    let places: Vec<_> = document.problems.iter().map(|problem| problem.at.as_ref().unwrap().column).collect();
    assert_eq!(places, [31, 18], "{:?}", document.problems);
}

proptest! {
    #[test]
    fn no_text_makes_a_panic(text in "(version: 1\n)?([ -~\n\u{e9}]|[\\[\\]{}:,&*!|>'\"%@`#?-]){0,60}") {
        let _ = Document::parse(Path::new("p"), &text);
    }

    #[test]
    fn no_variable_makes_a_panic(name in "[A-Z_]{0,20}", value in ".{0,20}") {
        let environment = Environment::of([("HOME", "/h"), (&*format!("NEXUS_SIDECAR__{name}"), &*value)]);
        let _ = crate::config::Config::defaults(&environment);
    }
}
