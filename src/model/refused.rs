use http::StatusCode;

/// What a service answers when it refuses credentials, as its provider declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedAs {
    /// Any of these.
    pub lines: Vec<RefusedLine>,
    /// Whether it looks at credentials before it does anything, so that a request that it refused
    /// like this can be sent again, whatever its method.
    pub before_effect: bool,
}

/// One way to say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// With any of these statuses.
    pub statuses: Vec<StatusCode>,
    /// And any of these words in the body, where there are some.
    pub words: Vec<String>,
}

impl Default for RefusedAs {
    /// 401 (RFC 9110, section 15.5.2), and nothing known about effects.
    fn default() -> Self {
        let line = RefusedLine { statuses: vec![StatusCode::UNAUTHORIZED], words: Vec::new() };
        Self { lines: vec![line], before_effect: false }
    }
}

impl RefusedAs {
    /// What a head alone tells: that it is a refusal, that it is none, or the words to look for.
    pub fn by_status(&self, status: StatusCode) -> ByStatus<'_> {
        let mut words = Vec::new();
        for line in self.lines.iter().filter(|line| line.statuses.contains(&status)) {
            if line.words.is_empty() {
                return ByStatus::Refused;
            }
            words.extend(line.words.iter().map(String::as_str));
        }
        if words.is_empty() { ByStatus::Other } else { ByStatus::IfBodyHolds(words) }
    }
}

/// What a status says about the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByStatus<'a> {
    /// They are refused.
    Refused,
    /// Nothing.
    Other,
    /// They are, if the body holds one of these words.
    IfBodyHolds(Vec<&'a str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_words_is_enough() {
        let mut refused = RefusedAs::default();
        let word = |text: &str| RefusedLine {
            statuses: vec![StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN],
            words: vec![text.to_owned()],
        };
        refused.lines.extend([word("ExpiredToken"), word("Other")]);
        assert_eq!(refused.by_status(StatusCode::UNAUTHORIZED), ByStatus::Refused);
        assert_eq!(refused.by_status(StatusCode::FORBIDDEN), ByStatus::IfBodyHolds(vec!["ExpiredToken", "Other"]));
        assert_eq!(refused.by_status(StatusCode::OK), ByStatus::Other);
    }
}
