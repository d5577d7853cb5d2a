//! Rules of this repository that no other tool checks. Each has a module; all are pure functions over a [`Tree`].
//!
//! To add one: a module with `check(&Tree) -> Vec<Finding>`, and a line in [`check`].

mod conformance;
mod headers;
mod links;
mod manifests;
mod sizes;
mod tree;
mod words;

use std::fmt;

pub(crate) use tree::Tree;

/// Runs every check.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let checks = [manifests::check, headers::check, sizes::check, words::check, links::check, conformance::check];
    checks.into_iter().flat_map(|check| check(tree)).collect()
}

/// Whether a finding must be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It must.
    Error,
    /// It should.
    Warning,
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Counted from 1; `None` when the whole file is meant.
    pub(crate) line: Option<usize>,
    pub(crate) severity: Severity,
    /// What is wrong and the way out.
    pub(crate) text: String,
}

impl Finding {
    fn error(path: &str, line: impl Into<Option<usize>>, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: line.into(), severity: Severity::Error, text: text.into() }
    }

    fn warning(path: &str, line: impl Into<Option<usize>>, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, line, text) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match self.line {
            Some(line) => write!(f, "{kind}: {}:{line}: {}", self.path, self.text),
            None => write!(f, "{kind}: {}: {}", self.path, self.text),
        }
    }
}
