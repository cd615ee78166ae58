use super::Node;
use crate::config::{At, Problem, Problems};

/// What is wrong so far. A reader adds to it and goes on with what it could read.
#[derive(Debug, Default)]
pub(in crate::config) struct Findings {
    problems: Vec<Problem>,
    rule: Option<String>,
}

impl Findings {
    /// Everything found from here on is in this rule, or in none.
    pub(in crate::config) fn in_rule(&mut self, rule: Option<String>) {
        self.rule = rule;
    }

    /// Adds a problem at a place.
    pub(in crate::config) fn at(&mut self, at: &At, message: impl Into<String>) {
        self.problems.push(Problem { at: Some(at.clone()), rule: self.rule.clone(), message: message.into() });
    }

    /// Adds a problem with a value: at its place, or under the variable that set it.
    pub(in crate::config) fn with(&mut self, node: &Node, message: impl Into<String>) {
        match &node.variable {
            None => self.at(&node.at, message),
            Some(name) => self.without_place(format!("{name}: {}", message.into())),
        }
    }

    /// Adds a problem that is at no place in a file.
    pub(in crate::config) fn without_place(&mut self, message: impl Into<String>) {
        self.problems.push(Problem { at: None, rule: self.rule.clone(), message: message.into() });
    }

    /// How many there are: a reader that wants to know whether it added one compares.
    pub(in crate::config) fn len(&self) -> usize {
        self.problems.len()
    }

    /// Everything that was found.
    pub(in crate::config) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The value if nothing was found wrong, else everything, in order.
    pub(in crate::config) fn or<T>(self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(Problems::in_order(self.problems)),
        }
    }
}
