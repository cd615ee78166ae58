//! Policies as files: their mistakes, and those that this repository holds.

use std::path::Path as FilePath;

use super::*;
use crate::config::{Config, Environment, load_documents, load_providers};

#[test]
fn every_mistake_of_a_file_is_said_at_once_with_its_place() {
    for (file, text, golden) in [
        ("mistakes.yaml", include_str!("../golden/mistakes.yaml"), include_str!("../golden/mistakes.txt")),
        ("again.yaml", include_str!("../golden/again.yaml"), include_str!("../golden/again.txt")),
    ] {
        let problems = Policy::compile(vec![Document::parse(FilePath::new(file), text)]).unwrap_err();
        assert_eq!(format!("{problems}\n"), golden);
    }
}

#[test]
fn the_policies_of_the_repository_pass_their_own_tests() {
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        // The providers' documents have tests of their own kind.
        if file.is_dir() {
            continue;
        }
        if file.ends_with("nexus-sidecar.yaml") {
            let environment = Environment::of([("HOME", "/home/u")]);
            let config = Config::load(&file, &environment).unwrap_or_else(|problems| panic!("{problems}"));
            assert!(config.check_for_proxy().is_ok() && config.policy.iter().all(|policy| policy.exists()));
            let comments = std::fs::read_to_string(&file).unwrap();
            assert_defaults(&comments, &environment);
            continue;
        }
        let policy = load_documents(&[file]).and_then(Policy::compile).unwrap_or_else(|problems| panic!("{problems}"));
        let results = policy.test();
        assert!(!results.is_empty());
        for result in results {
            assert!(result.passed, "{}: {} is {}, not {}", result.at, result.request, result.got, result.expected);
        }
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn the_examples_of_a_fleet_are_what_each_command_reads() {
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleet");
    let environment = Environment::of([("HOME", "/home/u")]);
    let load = |name: &str| {
        Config::load(&folder.join(name), &environment).unwrap_or_else(|problems| panic!("{name}: {problems}"))
    };
    assert!(load("authority.yaml").check_for_authority().is_ok());
    assert!(load("sidecar.yaml").check_for_proxy().is_ok());
    let providers = load_providers(&[folder.join("tickets.yaml")]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(providers.len(), 1);
}

/// The keys that the example configuration shows in comments are the defaults.
fn assert_defaults(text: &str, environment: &Environment) {
    let commented = text.lines().filter_map(|line| line.strip_prefix("# "));
    let keys =
        commented.filter(|line| line.split(':').next().is_some_and(|key| !key.is_empty() && !key.contains([' ', '.'])));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yaml");
    let text = format!("version: 1\n{}\n", keys.collect::<Vec<_>>().join("\n"));
    std::fs::write(&file, &text).unwrap();
    let shown = Config::load(&file, environment).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    let mut defaults = Config::defaults(environment).unwrap();
    defaults.file.clone_from(&shown.file);
    defaults.log.level = Some("info".into());
    assert_eq!(shown, defaults);
    assert!(text.contains("timeouts") && text.contains("limits"));
}
