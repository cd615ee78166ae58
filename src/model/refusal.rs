use std::time::Duration;

use super::{Cause, Code};

/// Why a request ends here: a value, not an error.
///
/// It has two messages, one for the stranger and one for the log. The first never quotes a
/// secret and never says what another agent may do; the second may name files and addresses,
/// and still never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    message: String,
    log: Option<String>,
    rule: Option<String>,
    cause: Option<Cause>,
    next: Option<Box<Next>>,
}

/// What to do about it, where that is known; seldom there, and kept apart for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Next {
    retry_after: Option<Duration>,
    page: Option<String>,
}

impl Refusal {
    /// A refusal whose one message both sides may read.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), log: None, rule: None, cause: None, next: None }
    }

    /// Adds what only the log and the audit may read.
    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into());
        self
    }

    /// Adds the name of the rule that refused.
    #[must_use]
    pub fn with_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Adds what stands behind it.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Adds after which time it is worth asking again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.next.get_or_insert_default().retry_after = Some(wait);
        self
    }

    /// Adds the page on which a signed-in person mends it.
    #[must_use]
    pub fn with_page(mut self, page: impl Into<String>) -> Self {
        self.next.get_or_insert_default().page = Some(page.into());
        self
    }

    /// The stable name.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What the agent reads.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the log reads: the agent's message where nothing else was said.
    pub fn log(&self) -> &str {
        self.log.as_deref().unwrap_or(&self.message)
    }

    /// What stands behind it, where the code alone does not tell.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// After which time it is worth asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.next.as_ref().and_then(|next| next.retry_after)
    }

    /// The page on which a signed-in person mends it, if there is one.
    pub fn page(&self) -> Option<&str> {
        self.next.as_ref().and_then(|next| next.page.as_deref())
    }

    /// The rule that refused, if one did.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}
