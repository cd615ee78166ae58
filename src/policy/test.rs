use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Policy;
use super::hypothetical::{self, NOBODY, Outcome};
use crate::config::{At, ExpectedOutcome, PolicyTest};
use crate::identity::Agent;

/// How one of the policy's own tests ended.
#[derive(Clone, Debug)]
pub struct TestResult {
    /// Where the test is written.
    pub at: At,
    /// `METHOD URL`, as written.
    pub request: String,
    /// The agent that it names.
    pub agent: Option<String>,
    /// What it expects, as written.
    pub expected: String,
    /// What the policy says, in the same words.
    pub got: String,
    /// Why, where it is a refusal.
    pub reason: Option<String>,
    /// Whether both are the same.
    pub passed: bool,
}

impl Policy {
    /// Runs the policy's own tests, in order.
    pub fn test(&self) -> Vec<TestResult> {
        self.tests.iter().map(|test| self.test_one(test)).collect()
    }

    pub(super) fn test_one(&self, test: &PolicyTest) -> TestResult {
        let agent = Agent::hypothetical(test.agent.as_deref().unwrap_or(NOBODY));
        let (got, reason) = match hypothetical::request(&test.method, &test.url) {
            Ok(target) => words(&self.outcome(&agent, &target, &headers(test))),
            Err(error) => ("deny".to_owned(), Some(format!("{error}: answered with 400"))),
        };
        let expected = test.expect.to_string();
        TestResult {
            at: test.at.clone(),
            request: format!("{} {}", test.method, test.url),
            agent: test.agent.clone(),
            passed: got == expected,
            expected,
            got,
            reason,
        }
    }
}

fn words(outcome: &Outcome) -> (String, Option<String>) {
    match outcome {
        Outcome::Inject(connection, _) => (ExpectedOutcome::Inject(connection.clone()).to_string(), None),
        Outcome::Forward(_) => (ExpectedOutcome::Forward.to_string(), None),
        Outcome::Tunnel(_) => (ExpectedOutcome::Tunnel.to_string(), None),
        Outcome::Stub(_) => (ExpectedOutcome::Stub.to_string(), None),
        Outcome::Deny(refusal) => (ExpectedOutcome::Deny.to_string(), Some(refusal.message().to_owned())),
    }
}

/// Names and values were checked when they were read.
fn headers(test: &PolicyTest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &test.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}

impl fmt::Display for ExpectedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deny => f.write_str("deny"),
            Self::Forward => f.write_str("forward"),
            Self::Tunnel => f.write_str("tunnel"),
            Self::Stub => f.write_str("stub"),
            Self::Inject(name) => write!(f, "inject {name}"),
        }
    }
}
