use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A place in a file: line and column start at 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file, as it was named.
    pub file: Arc<PathBuf>,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: At,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it is at a place.
    pub at: Option<At>,
    /// The rule's name, if it is in a rule that has one.
    pub rule: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

/// Everything that is wrong, in the order of the files. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl Problems {
    /// Puts problems in order: files as they first turn up, in each by line and column.
    pub fn in_order(mut problems: Vec<Problem>) -> Self {
        let mut files: Vec<Option<Arc<PathBuf>>> = Vec::new();
        for problem in &problems {
            let file = problem.at.as_ref().map(|at| at.file.clone());
            if !files.contains(&file) {
                files.push(file);
            }
        }
        problems.sort_by_key(|problem| {
            let file = problem.at.as_ref().map(|at| at.file.clone());
            let place = problem.at.as_ref().map(|at| (at.line, at.column));
            (files.iter().position(|other| *other == file), place)
        });
        Self(problems)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, "rule {rule:?}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
