//! The policy: does it compile, do its own tests pass, and which of its words deserve a second
//! look?

use std::path::PathBuf;

use super::report::Finding;
use crate::app;
use crate::config::{Config, Document, Problems, SetName};
use crate::policy::{Policy, Surveyed};

const OF: &str = "policy";

/// Compiles the files, and the sets after them, and runs the files' tests. `None` where there is no policy, or none that stands.
pub(super) fn look(files: &[PathBuf], sets: &[SetName]) -> (Vec<Finding>, Option<Policy>) {
    if files.is_empty() && sets.is_empty() {
        let none = Finding::skip(OF, "there is none yet, so that `run` would allow nothing");
        return (
            vec![
                none.then("name permission sets with --use, or write a policy, as `nexus-sidecar policy --help` shows"),
            ],
            None,
        );
    }
    // Permission sets are tested where they are written.
    judge(app::load_policy_and_sets(files, sets), !files.is_empty())
}

/// The same for the Authority's.
pub(super) fn of_authority(document: Document) -> (Vec<Finding>, Option<Policy>) {
    judge(Policy::compile(vec![document]), true)
}

fn judge(policy: Result<Policy, Problems>, has_tests: bool) -> (Vec<Finding>, Option<Policy>) {
    let policy = match policy {
        Ok(policy) => policy,
        Err(problems) => {
            let fail =
                |problem: &_| Finding::fail(OF, format!("{problem}")).then("correct it: it is not taken as it is");
            return (problems.0.iter().map(fail).collect(), None);
        }
    };
    let mut found = vec![Finding::ok(OF, format!("{} rules, version {}", policy.rule_count(), policy.version()))];
    found.extend(has_tests.then(|| tests(&policy)));
    found.extend(words(&policy));
    (found, Some(policy))
}

/// Whether the sources can narrow what is lent as the rules say.
pub(super) fn narrowing(config: &Config, policy: &Policy) -> Vec<Finding> {
    let problems = app::Narrowing::of(config).check(policy).err().map(|problems| problems.0).unwrap_or_default();
    let fail =
        |problem: &_| Finding::fail(OF, format!("{problem}")).then("leave `scope` out, or lend from another source");
    problems.iter().map(fail).collect()
}

fn tests(policy: &Policy) -> Finding {
    let results = policy.test();
    let mut failed = results.iter().filter(|result| !result.passed);
    match (failed.next(), results.len()) {
        (Some(first), all) => {
            let count = 1 + failed.count();
            let (at, request, expected, got) = (&first.at, &first.request, &first.expected, &first.got);
            Finding::fail(
                "policy tests",
                format!("{count} of {all} failed; {at}: {request}: expected {expected}, got {got}"),
            )
            .then("nexus-sidecar policy test shows each")
        }
        (None, 0) => Finding::warn("policy tests", "the policy has none")
            .then("write what must be denied under `tests:`, so that a later change cannot allow it unseen"),
        (None, all) => Finding::ok("policy tests", format!("{all} passed")),
    }
}

/// Words that are right at times, and open more than a glance shows.
fn words(policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    let warn = |rule: &Surveyed<'_>, said: &str, next: &str| {
        Finding::warn(OF, format!("{}: rule {:?}: {said}", rule.at, rule.name)).then(next)
    };
    for rule in policy.survey() {
        if rule.plaintext {
            found.push(warn(
                &rule,
                "`plaintext: true` sends the credential over unencrypted HTTP, for everybody on the way to read",
                "use https, unless the host is this machine",
            ));
        }
        if rule.any_protocol {
            found.push(warn(
                &rule,
                "`protocol: any` passes bytes of any kind, not only TLS for the host of the rule",
                "leave it out, unless the service does not begin with TLS",
            ));
        }
    }
    for rule in policy.minting_rules() {
        found.push(
            Finding::warn(
                OF,
                format!("rule {rule:?}: `mints: true` lets the agent make credentials of its own, and keep them"),
            )
            .then("leave it out, unless making them is the agent's task"),
        );
    }
    if policy.tunnels_by_default() {
        found.push(
            Finding::warn(OF, "`default: tunnel` lets the agent reach every host of the world on port 443, unseen")
                .then("use `default: deny`, and name the hosts that are needed"),
        );
    }
    found
}

/// The same of a configuration.
pub(super) fn settings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    if config.anonymous {
        found.push(
            Finding::warn("anonymous", "`anonymous: allow` lets every process of this machine use the port of `proxy`")
                .then("name `agents` with passwords, unless nobody else uses this machine"),
        );
    }
    if config.cleartext {
        found.push(
            Finding::warn("cleartext", "`cleartext: true` takes agents' passwords unencrypted from other machines")
                .then("keep that network to agents alone, or listen on loopback"),
        );
    }
    if config.service.cleartext {
        let what = "`authority.cleartext: true` sends keys and credentials unencrypted to other machines";
        found.push(Finding::warn("cleartext", what).then("give it a certificate under `authority.tls`"));
    }
    if let Err(problems) = config.check_for_authority() {
        let warn = |problem: &_| Finding::warn("authority", format!("`authority serve` would not start: {problem}"));
        found.extend(problems.0.iter().map(warn));
    }
    if config.file.is_some()
        && let Err(problems) = config.check_for_proxy()
    {
        let warn = |problem: &_| Finding::warn("proxy", format!("`proxy` would not start: {problem}"));
        found.extend(problems.0.iter().map(warn));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    fn looked_at(text: &str) -> Vec<(Level, String)> {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("p.yaml");
        std::fs::write(&file, text).unwrap();
        look(&[file], &[]).0.into_iter().map(|finding| (finding.level, finding.said)).collect()
    }

    fn says(found: &[(Level, String)], level: Level, words: &str) {
        assert!(found.iter().any(|(is, said)| *is == level && said.contains(words)), "{words:?} in {found:?}");
    }

    #[test]
    fn each_risky_word_is_a_warning_that_says_what_it_means() {
        let found = looked_at(
            "version: 1\ndefault: tunnel\nrules:\n  \
             - { name: a, host: a.test, connection: c, plaintext: true }\n  \
             - { name: b, host: b.test, action: tunnel, protocol: any }\n  \
             - { name: c, host: c.test, connection: c, mints: true }\n\
             tests:\n  - { request: GET https://c.test/, expect: inject c }\n",
        );
        for words in ["\"a\": `plaintext: true`", "\"b\": `protocol: any`", "`default: tunnel`", "\"c\": `mints: true`"]
        {
            says(&found, Level::Warn, words);
        }
        says(&found, Level::Ok, "1 passed");
        assert_eq!(found.iter().filter(|(level, _)| *level == Level::Warn).count(), 4, "{found:?}");
    }

    #[test]
    fn a_policy_that_fails_is_told_with_its_place() {
        says(&looked_at("version: 1\nrules: [{ name: a, hots: b }]"), Level::Fail, "p.yaml:2:");
        let failing = "version: 1\nrules: [{ name: a, host: a.test, action: forward }]\n\
                       tests: [{ request: GET https://a.test/, expect: deny }]";
        says(&looked_at(failing), Level::Fail, "1 of 1 failed");
        says(&looked_at("version: 1\nrules: []"), Level::Warn, "has none");
        assert_eq!(look(&[], &[]).0[0].level, Level::Skip);
        let set = SetName::parse("github/read@1").unwrap();
        assert!(look(&[], &[set]).0.iter().all(|finding| finding.level == Level::Ok));
    }
}
