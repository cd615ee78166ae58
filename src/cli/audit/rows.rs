use std::collections::HashMap;

use serde::Deserialize;

/// Requests whose outcome is waited for; past it the oldest ones are forgotten together.
const MOST: usize = 16_384;

/// Makes one row of the lines of one request.
#[derive(Default)]
pub(super) struct Rows {
    intents: HashMap<String, Line>,
}

/// What a row needs of a line.
#[derive(Deserialize)]
struct Line {
    t: String,
    kind: String,
    trace: Option<String>,
    agent: Option<String>,
    conn: Option<String>,
    dest: Option<String>,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    target: Option<String>,
    end: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    reason: Option<String>,
    rule: Option<String>,
    us: Option<Stages>,
    lost: Option<u64>,
}

#[derive(Deserialize)]
struct Stages {
    #[serde(default)]
    total: u64,
}

impl Rows {
    /// Takes the next line; an outcome makes a row.
    pub(super) fn row(&mut self, line: &str) -> Option<String> {
        let line: Line = serde_json::from_str(line).ok()?;
        let text = match line.kind.as_str() {
            "intent" => {
                if self.intents.len() >= MOST {
                    self.intents.clear();
                }
                self.intents.insert(line.trace.clone()?, line);
                return None;
            }
            "outcome" => {
                let intent = self.intents.remove(line.trace.as_deref()?);
                outcome(&line, intent.as_ref().unwrap_or(&line))
            }
            "note" => format!("{}  {} lines could not be written", time(&line.t), line.lost?),
            _ => return None,
        };
        Some(safe(&text))
    }
}

fn outcome(line: &Line, intent: &Line) -> String {
    let status = line.status.map_or("---".to_owned(), |status| status.to_string());
    let end = line.end.as_deref().unwrap_or("?");
    let agent = intent.agent.as_deref().unwrap_or("-");
    let what = match (&intent.dest, &intent.target, &line.trace) {
        (Some(dest), _, _) => {
            let query = intent.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{dest}{}{query}", intent.path.as_deref().unwrap_or_default())
        }
        (None, Some(target), _) => target.clone(),
        (None, None, trace) => format!("(trace {})", trace.as_deref().unwrap_or_default()),
    };
    let method = intent.method.as_deref().unwrap_or("-");
    let mut row = format!("{}  {agent:<14} {status} {end:<7} {method:<7} {what}", time(&line.t));
    if let Some(connection) = &intent.conn {
        row += &format!("  [{connection}]");
    }
    if let Some(total) = line.us.as_ref().map(|stages| stages.total).filter(|total| *total > 0) {
        row += &format!("  {}.{} ms", total / 1000, total % 1000 / 100);
    }
    if let Some(code) = &line.code {
        row += &format!("  {code}");
    }
    if let Some(rule) = line.rule.as_ref() {
        row += &format!(" by {rule}");
    }
    if let Some(reason) = &line.reason {
        row += &format!(": {reason}");
    }
    row
}

/// `2026-11-21T12:10:06.120000Z` as `2026-11-21 12:10:06.120`.
fn time(stamp: &str) -> String {
    stamp.get(..23).unwrap_or(stamp).replacen('T', " ", 1)
}

/// Escapes what a terminal obeys or what turns the order of text around: rows quote agents.
pub(super) fn safe(text: &str) -> String {
    let obeyed = |char: char| {
        char.is_control() || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if obeyed(char) { safe.extend(char.escape_unicode()) } else { safe.push(char) }
    }
    safe
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
            "2026-11-21 12:10:06.120  bot            200 done    GET     https://x.test/p?q=***  [jira]  1.9 ms"
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
    fn what_is_no_line_makes_no_row() {
        let mut rows = Rows::default();
        for line in ["", "{}", "hello", r#"{"t":"x","kind":"open"}"#, r#"{"t":"é","kind":"note"}"#] {
            assert_eq!(rows.row(line), None, "{line}");
        }
        assert!(rows.row(r#"{"t":"é","kind":"note","lost":3}"#).unwrap().contains("3 lines"));
    }
}
