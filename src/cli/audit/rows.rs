//! A request on one line, as `audit tail` and `audit query` show it.

use super::query::Filter;
use crate::audit::{Join, Record, Told};
use crate::cli::output::safe;
use crate::model::Code;

/// What stands above rows on a terminal.
pub(super) const HEADING: &str = "TIME (UTC)               AGENT           HTTP END     METHOD  WHAT  [CONNECTION]  TIME TAKEN  CODE by RULE: REASON";

/// Makes one row of the lines of one request.
#[derive(Default)]
pub(super) struct Rows {
    join: Join,
    filter: Filter,
    /// The time stamp of the newest request that was shown otherwise.
    shown: String,
}

impl Rows {
    /// Rows of what a filter takes and ended after this time stamp.
    pub(super) fn of(filter: Filter, shown: String) -> Self {
        Self { join: Join::default(), filter, shown }
    }

    /// Takes the next line; an outcome makes a row.
    pub(super) fn row(&mut self, line: &str) -> Option<String> {
        match self.join.line(line.as_bytes()) {
            Told::Request(request) => (request.t > self.shown && self.filter.takes(&request)).then(|| row(&request)),
            Told::Lost(at, lost) => Some(safe(&format!("{}  {lost} lines could not be written", time(&at)))),
            Told::Nothing | Told::Unreadable => None,
        }
    }
}

/// A request on one line, without anything that a terminal obeys.
pub(super) fn row(record: &Record) -> String {
    let status = record.status.map_or("---".to_owned(), |status| status.to_string());
    let end = record.end.as_deref().unwrap_or("?");
    let agent = record.agent.as_deref().unwrap_or("-");
    let what = record.asked().unwrap_or_else(|| format!("(trace {})", record.trace));
    let method = record.method.as_deref().unwrap_or("-");
    let mut row = format!("{}  {agent:<15} {status:<4} {end:<7} {method:<7} {what}", time(&record.t));
    if let Some(connection) = &record.conn {
        row += &format!("  [{connection}]");
    }
    if let Some(stub) = &record.stub {
        row += &format!("  [stub {stub}]");
    }
    if let Some(total) = record.us.as_ref().and_then(|stages| stages.get("total")) {
        row += &format!("  {}.{} ms", total / 1000, total % 1000 / 100);
    }
    if let Some(code) = &record.code {
        row += &format!("  {code}");
        // What a rule allowed was refused by something else.
        if let Some(rule) = record.rule.as_ref().filter(|_| code == Code::PolicyDenied.as_str()) {
            row += &format!(" by {rule}");
        }
    }
    if let Some(reason) = &record.reason {
        row += &format!(": {reason}");
    }
    safe(&row)
}

/// `2026-11-21T12:10:06.120000Z` as `2026-11-21 12:10:06.120`.
pub(in crate::cli) fn time(stamp: &str) -> String {
    stamp.get(..23).unwrap_or(stamp).replacen('T', " ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-21T12:10:06.120000Z";

    #[test]
    fn an_intent_and_its_outcome_are_one_row() {
        let mut rows = Rows::default();
        let intent = format!(
            r#"{{"v":1,"t":"{TIME}","kind":"intent","trace":"a","agent":"bot","conn":"jira","dest":"https://x.test","method":"GET","path":"/p","query":"q=***"}}"#
        );
        let outcome = format!(
            r#"{{"v":1,"t":"{TIME}","kind":"outcome","trace":"a","end":"done","status":200,"us":{{"total":1999}}}}"#
        );
        assert_eq!(rows.row(&intent), None);
        let row = rows.row(&outcome).unwrap();
        assert_eq!(
            row,
            "2026-11-21 12:10:06.120  bot             200  done    GET     https://x.test/p?q=***  [jira]  1.9 ms"
        );
        assert!(rows.row(&outcome).unwrap().contains("(trace a)"));
    }

    #[test]
    fn a_refusal_says_why_and_moves_no_cursor() {
        let outcome = format!(
            r#"{{"v":1,"t":"{TIME}","kind":"outcome","trace":"a","agent":"b\u001b[2J","method":"PUT","target":"http://x/\u202e","rule":"r","end":"denied","status":403,"code":"POLICY_DENIED","reason":"no"}}"#
        );
        let row = Rows::default().row(&outcome).unwrap();
        assert!(row.ends_with(r"PUT     http://x/\u{202e}  POLICY_DENIED by r: no"), "{row}");
        assert!(row.contains(r"b\u{1b}[2J"), "{row}");
    }

    #[test]
    fn what_a_stub_answered_says_so() {
        let outcome = format!(
            r#"{{"v":1,"t":"{TIME}","kind":"outcome","trace":"a","agent":"bot","method":"GET","target":"http://169.254.169.254/","stub":"aws-metadata","end":"done","status":401}}"#
        );
        let row = Rows::default().row(&outcome).unwrap();
        assert!(row.ends_with("GET     http://169.254.169.254/  [stub aws-metadata]"), "{row}");
    }

    #[test]
    fn what_is_no_line_makes_no_row() {
        let mut rows = Rows::default();
        for line in ["", "{}", "hello", r#"{"t":"x","kind":"open"}"#, r#"{"t":"é","kind":"note"}"#] {
            assert_eq!(rows.row(line), None, "{line}");
        }
        assert!(rows.row(r#"{"t":"é","kind":"note","lost":3}"#).unwrap().contains("3 lines"));
    }
}
