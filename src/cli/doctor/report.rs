//! What was found: one line a check, for a person or as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Level {
    /// As it should be.
    Ok,
    /// Not looked at, for a reason that is said.
    Skip,
    /// It works, and somebody should know.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    pub(in crate::cli) level: Level,
    /// What was looked at: a word or two.
    pub(in crate::cli) of: String,
    /// What was found.
    pub(in crate::cli) said: String,
    /// What to do about it.
    pub(in crate::cli) next: Option<String>,
}

impl Finding {
    pub(in crate::cli) fn ok(of: &str, said: impl Into<String>) -> Self {
        Self::new(Level::Ok, of, said)
    }

    pub(in crate::cli) fn skip(of: &str, said: impl Into<String>) -> Self {
        Self::new(Level::Skip, of, said)
    }

    pub(in crate::cli) fn warn(of: &str, said: impl Into<String>) -> Self {
        Self::new(Level::Warn, of, said)
    }

    pub(in crate::cli) fn fail(of: &str, said: impl Into<String>) -> Self {
        Self::new(Level::Fail, of, said)
    }

    /// Adds what to do.
    #[must_use]
    pub(in crate::cli) fn then(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    fn new(level: Level, of: &str, said: impl Into<String>) -> Self {
        Self { level, of: of.to_owned(), said: said.into(), next: None }
    }
}

/// Everything that was found, in order, and what a person does first.
#[derive(Default)]
pub(in crate::cli) struct Report {
    pub(in crate::cli) findings: Vec<Finding>,
    /// On a machine where nothing was set up yet: the steps, in order.
    pub(in crate::cli) first: Vec<String>,
}

impl Report {
    pub(in crate::cli) fn failed(&self) -> bool {
        self.count(Level::Fail) > 0
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// One line a check, then what it comes to.
    pub(in crate::cli) fn text(&self) -> String {
        let mut text = String::new();
        let width = self.findings.iter().map(|finding| finding.of.chars().count()).max().unwrap_or_default();
        for Finding { level, of, said, next } in &self.findings {
            let next = next.as_ref().map(|next| format!(" -> {next}")).unwrap_or_default();
            let _ = writeln!(text, "{:<4}  {of:<width$}  {}", level.word(), one_line(&format!("{said}{next}")));
        }
        let (fails, warns) = (self.count(Level::Fail), self.count(Level::Warn));
        let _ = match (fails, warns) {
            (0, 0) => writeln!(text, "\nnothing is wrong"),
            (0, _) => writeln!(text, "\nnothing is wrong; to know of: {warns}"),
            _ => writeln!(text, "\nto be mended: {fails}; to know of: {warns}"),
        };
        if !self.first.is_empty() {
            let _ = writeln!(text, "\nWhat comes first:");
            for step in &self.first {
                let _ = writeln!(text, "  {step}");
            }
        }
        text
    }

    pub(in crate::cli) fn json(&self) -> Value {
        let of = |finding: &Finding| {
            json!({
                "level": finding.level.word(),
                "check": finding.of,
                "finding": finding.said,
                "next": finding.next,
            })
        };
        let findings: Vec<Value> = self.findings.iter().map(of).collect();
        json!({ "ok": !self.failed(), "checks": findings, "first": self.first })
    }
}

/// What other programs said may have lines and escapes of its own.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(char::is_control).map(str::trim).filter(|part| !part.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_was_found() {
        let findings = vec![
            Finding::ok("a", "fine"),
            Finding::fail("longer", "broken:\n  badly\u{1b}[31m").then("mend it"),
            Finding::warn("b", "odd"),
        ];
        let report = Report { findings, first: Vec::new() };
        assert_eq!(
            report.text(),
            "ok    a       fine\nfail  longer  broken: badly [31m -> mend it\nwarn  b       odd\n\n\
             to be mended: 1; to know of: 1\n"
        );
        assert!(report.failed());
        let json = report.json();
        assert_eq!((&json["ok"], &json["checks"][1]["next"]), (&json!(false), &json!("mend it")));
    }

    #[test]
    fn a_warning_fails_nothing() {
        let report = Report { findings: vec![Finding::warn("a", "odd"), Finding::skip("b", "no")], first: vec![] };
        assert!(!report.failed() && report.text().ends_with("nothing is wrong; to know of: 1\n"));
    }
}
