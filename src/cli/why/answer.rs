//! What `why` says of one request, for people and for programs: the record, what it means, and what the
//! policy of now says of it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::advice::{self, Advice};
use super::past;
use crate::audit::Record;
use crate::cli::audit::rows::time;
use crate::cli::output::safe;
use crate::config::{At, Catalogue, Document, Problems, SetName};
use crate::dial::Kind;
use crate::model::{Cause, Code};
use crate::policy::{Asking, Finding, Past, Place, Policy, Review, Suggestion, TriedVerdict, USED, with_rule};

/// The policy as it is now, or why it cannot be asked.
pub(super) struct Rules {
    policy: Result<(Vec<Document>, Policy), String>,
    several_agents: bool,
}

/// What is said of one request.
pub(super) struct Answer<'a> {
    record: &'a Record,
    /// None for a request that was not refused.
    advice: Option<Advice>,
    reviewed: Option<Reviewed>,
    notes: Vec<String>,
}

/// What the policy of now says.
struct Reviewed {
    review: Review,
    /// Why the suggested rule cannot stand where it belongs.
    objection: Option<String>,
    /// Permission sets that allow it too, the smallest first, with what they are for.
    sets: Vec<(SetName, &'static str)>,
    end: String,
}

impl Rules {
    pub(super) fn new(documents: Result<Vec<Document>, String>, several_agents: bool) -> Self {
        let compile = |documents: Vec<Document>| {
            let policy = Policy::compile(documents.clone()).map_err(|problems: Problems| problems.to_string())?;
            Ok((documents, policy))
        };
        Self { policy: documents.and_then(compile), several_agents }
    }
}

impl<'a> Answer<'a> {
    pub(super) fn of(record: &'a Record, rules: &Rules) -> Self {
        let code = record.code.as_deref().and_then(Code::parse);
        let address = record.address.as_deref().and_then(|text| text.parse().ok());
        let cause = record.cause.as_deref().and_then(|word| Cause::parse(word, address));
        let mut answer =
            Self { record, advice: code.map(|code| advice::of(code, cause)), reviewed: None, notes: Vec::new() };
        let by_policy = matches!(cause, None | Some(Cause::Address(_) | Cause::PolicyChanged));
        if code == Some(Code::PolicyDenied) && by_policy {
            answer.review(cause, rules);
        }
        if let Some(Cause::Address(address)) = cause
            && Kind::of(address) == Kind::Metadata
        {
            answer.notes.push(format!("{address} hands out credentials of this machine's cloud to whoever asks"));
        }
        answer
    }

    fn review(&mut self, cause: Option<Cause>, rules: &Rules) {
        let (documents, policy) = match &rules.policy {
            Ok(both) => both,
            Err(why) => return self.notes.push(format!("the policy cannot be asked: {why}")),
        };
        let Some(past) = past::of(self.record, cause, rules.several_agents) else {
            return self.notes.push("the record does not say enough to ask the policy again".to_owned());
        };
        if self.record.policy.as_deref() != Some(&**policy.version()) {
            self.notes.push(format!(
                "it was refused by version {} of the policy, and this is what version {} says: give the files of that time with --policy if they are others",
                self.record.policy.as_deref().unwrap_or("?"),
                policy.version()
            ));
        }
        let review = policy.review(&past);
        if let Ok(suggestion) = &review.suggestion {
            self.doubts(&past, suggestion, &review.finding);
        }
        let objection = review.suggestion.as_ref().ok().and_then(|rule| objection(documents, rule, &past));
        let open = matches!(review.finding, Finding::NoHost | Finding::NoRule | Finding::Unknown);
        let sets = if open { sets(&past) } else { Vec::new() };
        self.reviewed = Some(Reviewed { review, objection, sets, end: end(documents) });
    }

    /// What the suggestion cannot know, and what it would open.
    fn doubts(&mut self, past: &Past, suggestion: &Suggestion, finding: &Finding) {
        if !suggestion.blanks.is_empty() {
            self.notes.push(format!(
                "the audit keeps no values: write those of {} into the rule, `null` for what the request has not",
                suggestion.blanks.join(" and ")
            ));
        }
        if matches!(past.what, Asking::Connect(_)) && !suggestion.rule.contains("action: tunnel") {
            self.notes.push(
                "a CONNECT shows host and port alone: the rule lets it pass and allows GET / inside; what is asked for there is then refused, and `why` names it".to_owned(),
            );
        }
        if suggestion.rule.contains("mints: true") {
            self.notes
                .push("by this call the agent would get credentials of its own, which no rule takes back; what a body asks for is not seen, and all of it is allowed".to_owned());
        }
        if *finding == Finding::Denied {
            self.notes.push("a rule denies it by intent: ask whoever wrote that rule".to_owned());
        }
    }

    fn fill(&self, text: &str) -> String {
        let record = self.record;
        let connection = record.conn.as_deref().unwrap_or("NAME");
        let host = record.host().map_or("HOST".to_owned(), |host| host.to_string());
        let add = match Catalogue::built_in().provider(connection) {
            Some(_) => format!("nexus-sidecar connection add {connection}"),
            None => format!("nexus-sidecar connection add {connection} --strategy oauth2 --host {host}"),
        };
        let text = text.replace("{add}", &add).replace("{connection}", connection).replace("{host}", &host);
        let text = text.replace("{agent}", record.agent.as_deref().unwrap_or("NAME"));
        text.replace("{trace}", &record.trace)
    }

    fn asked(&self) -> String {
        let method = self.record.method.as_deref().unwrap_or("-");
        format!("{method} {}", self.record.asked().unwrap_or_default())
    }

    pub(super) fn text(&self) -> String {
        let record = self.record;
        let mut text = String::new();
        let agent = record.agent.as_ref().map(|agent| format!(", agent {agent}")).unwrap_or_default();
        let status = record.status.map(|status| format!(" with {status}")).unwrap_or_default();
        let _ = writeln!(text, "{}", safe(&self.asked()));
        let _ = writeln!(text, "{} UTC{}, trace {}", safe(&time(&record.t)), safe(&agent), safe(&record.trace));
        let Some(advice) = &self.advice else {
            let rule = record.rule.as_ref().map(|rule| format!(": rule {rule} allowed it")).unwrap_or_default();
            let _ = writeln!(text, "\nIt was not refused, and answered{status}{}", safe(&rule));
            return text;
        };
        let code = record.code.as_deref().unwrap_or_default();
        let _ = writeln!(text, "\n{code}{status}: {}", safe(&self.fill(advice.means)));
        if let Some(reason) = &record.reason {
            let _ = writeln!(text, "  reason: {}", safe(reason));
        }
        if let Some(reviewed) = &self.reviewed {
            reviewed.tell(record, &mut text);
        }
        self.tell_rest(advice, &mut text);
        text
    }

    fn tell_rest(&self, advice: &Advice, text: &mut String) {
        for (title, lines) in [
            ("What to do:", advice.then.iter().map(|step| self.fill(step)).collect::<Vec<_>>()),
            ("Note:", self.notes.clone()),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(text, "\n{title}");
            }
            for line in lines {
                let _ = writeln!(text, "  - {}", safe(&line));
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let advice = self.advice.as_ref();
        let then = advice.map(|advice| advice.then.iter().map(|step| self.fill(step)).collect::<Vec<_>>());
        json!({
            "request": self.record,
            "asked": self.asked(),
            "means": advice.map(|advice| self.fill(advice.means)),
            "policy": self.reviewed.as_ref().map(Reviewed::json),
            "then": then,
            "notes": self.notes,
        })
    }
}

/// Puts the rule where it belongs and asks again.
fn objection(documents: &[Document], suggestion: &Suggestion, past: &Past) -> Option<String> {
    match Policy::compile(with_rule(documents.to_vec(), suggestion)) {
        Err(problems) => Some(problems.to_string()),
        Ok(_) if !suggestion.blanks.is_empty() => None,
        Ok(policy) => {
            let finding = policy.review(past).finding;
            // What the audit does not keep is no objection.
            (!matches!(finding, Finding::Allowed | Finding::Unknown))
                .then(|| "with it, the policy would still not allow this".to_owned())
        }
    }
}

/// The newest version of each permission set of the host's provider that allows it.
fn sets(past: &Past) -> Vec<(SetName, &'static str)> {
    let catalogue = Catalogue::built_in();
    let Some(provider) = catalogue.at_host(past.destination().host()) else { return Vec::new() };
    let newest = provider.sets.iter().filter(|set| catalogue.newer(&set.name).is_none());
    let mut sets: Vec<_> = newest
        .filter(|set| {
            let policy = Policy::of_sets(std::slice::from_ref(&set.name));
            policy.is_ok_and(|policy| matches!(policy.review(past).finding, Finding::Allowed | Finding::Unknown))
        })
        .collect();
    sets.sort_by_key(|set| set.rules.len());
    sets.into_iter().map(|set| (set.name.clone(), set.about.as_str())).collect()
}

/// Where a rule at the end is written. A set of `--use` is no file to write into.
fn end(documents: &[Document]) -> String {
    let files = documents.iter().map(|document| document.at.file.display().to_string());
    match files.rev().find(|file| file != USED) {
        Some(file) => format!("behind the last of `rules:` in {file}"),
        None => "in a file of its own, given by --policy beside --use".to_owned(),
    }
}

fn place(at: &At) -> String {
    format!("{}:{}", at.file.display(), at.line)
}

impl Reviewed {
    fn tell(&self, record: &Record, text: &mut String) {
        let agent = record.agent.as_deref().unwrap_or_default();
        let host = record.host().map(|host| host.to_string()).unwrap_or_default();
        let by =
            self.review.decided_by.as_ref().map(|(name, at)| format!("{name} ({})", place(at))).unwrap_or_default();
        let finding = match &self.review.finding {
            Finding::Echo => "this method is always refused".to_owned(),
            Finding::NoHost => format!("no rule for agent {agent} names {host}"),
            Finding::NoRule => format!("no rule for agent {agent} and {host} takes it"),
            Finding::Denied => format!("rule {by} denies it"),
            Finding::StrictPath => format!("rule {by} has strict_path, and the path may be read in two ways"),
            Finding::OnlyTunnel => format!("rule {by} passes tunnels alone"),
            Finding::Override(item) => {
                format!("rule {by} does not look at the query item {item:?}, which may stand for another method")
            }
            Finding::Mints(call) => format!(
                "rule {by} does not say `mints: true`, and the call hands out or registers credentials ({call})"
            ),
            Finding::Allowed if by.is_empty() => "the policy allows it now".to_owned(),
            Finding::Allowed => format!("rule {by} allows it"),
            Finding::Unknown => "what the policy of now says depends on values that the audit does not keep".to_owned(),
        };
        let _ = writeln!(text, "  now: {}", safe(&finding));
        for tried in &self.review.near {
            if let TriedVerdict::Missed(why) = &tried.verdict {
                let _ = writeln!(text, "    {} ({}): {}", safe(&tried.name), safe(&place(&tried.at)), safe(why));
            }
        }
        self.tell_suggestion(text);
        if let Some(((first, about), others)) = self.sets.split_first() {
            let _ = writeln!(
                text,
                "\nOr a permission set that has it, in place of that rule:\n\n  - use: {first}    # {about}"
            );
            for (set, about) in others {
                let _ = writeln!(text, "  # or {set}: {about}");
            }
        }
    }

    fn tell_suggestion(&self, text: &mut String) {
        let suggestion = match &self.review.suggestion {
            Ok(suggestion) => suggestion,
            Err(_) if self.review.finding == Finding::Allowed => return,
            Err(why) => {
                let _ = writeln!(text, "\nThere is no rule to write: {}", safe(why));
                return;
            }
        };
        let _ = writeln!(text, "\nThe smallest rule that would have allowed it, {}:\n", safe(&self.place(suggestion)));
        // Quoted values hold no byte that a terminal obeys: what could is escaped in them.
        for line in suggestion.rule.lines() {
            let _ = writeln!(text, "{}", safe(line));
        }
        if let Some(objection) = &self.objection {
            let _ = writeln!(text, "\nIt cannot stand there as it is: {}", safe(objection));
        }
    }

    fn place(&self, suggestion: &Suggestion) -> String {
        match &suggestion.place {
            Place::Before(name, at) if at.file.as_os_str() == USED => {
                format!("before rule {name}: in a file given by --policy, which is asked before --use")
            }
            Place::Before(name, at) => format!("before rule {name} ({})", place(at)),
            Place::End => self.end.clone(),
        }
    }

    fn json(&self) -> Value {
        let review = &self.review;
        let finding = match &review.finding {
            Finding::Echo => "echo",
            Finding::NoHost => "no_host",
            Finding::NoRule => "no_rule",
            Finding::Denied => "denied",
            Finding::StrictPath => "strict_path",
            Finding::OnlyTunnel => "only_tunnel",
            Finding::Override(_) => "override",
            Finding::Mints(_) => "mints",
            Finding::Allowed => "allowed",
            Finding::Unknown => "unknown",
        };
        let near = review.near.iter().map(|tried| match &tried.verdict {
            TriedVerdict::Missed(why) => json!({ "rule": &*tried.name, "at": place(&tried.at), "missed": why }),
            _ => json!({ "rule": &*tried.name, "at": place(&tried.at) }),
        });
        let suggestion = review.suggestion.as_ref().ok().map(|suggestion| {
            json!({
                "rule": suggestion.rule,
                "place": self.place(suggestion),
                "before": match &suggestion.place {
                    Place::Before(name, _) => Some(&**name),
                    Place::End => None,
                },
                "blanks": suggestion.blanks,
                "objection": self.objection,
            })
        });
        json!({
            "finding": finding,
            "decided_by": review.decided_by.as_ref().map(|(name, at)| json!({ "rule": &**name, "at": place(at) })),
            "near": near.collect::<Vec<_>>(),
            "suggestion": suggestion,
            "no_suggestion": review.suggestion.as_ref().err(),
            "use": self.sets.iter().map(|(set, _)| set.to_string()).collect::<Vec<_>>(),
        })
    }
}
