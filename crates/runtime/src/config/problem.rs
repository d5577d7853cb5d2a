//! What is wrong with a configuration. A problem carries everything an operator needs to mend it, and no secret.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// A line of a file, or of text that has no file name.
    Line {
        /// The file.
        file: Option<PathBuf>,
        /// Its line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file: Some(file), line } => write!(f, "{}:{line}", file.display()),
            Self::Line { file: None, line } => write!(f, "line {line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong with a configuration.
///
/// `Display` writes it on one line:
/// `mqtt.keep_alive: expected a duration such as "30s", got the number 30: write "30s"`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem(Box<Parts>);

// Boxed, as it is the error of functions whose success is small.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Parts {
    key: String,
    origin: Option<Origin>,
    expected: Option<String>,
    why: String,
    fix: String,
}

impl ConfigProblem {
    /// A broken rule: which key, why it cannot stay so, and what to do. None of them may contain a secret.
    #[must_use]
    pub fn new(key: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self(Box::new(Parts { key: key.into(), origin: None, expected: None, why: why.into(), fix: fix.into() }))
    }

    pub(super) fn expecting(mut self, shape: impl Into<String>) -> Self {
        self.0.expected = Some(shape.into());
        self
    }

    pub(super) fn at(mut self, origin: Option<Origin>) -> Self {
        self.0.origin = origin;
        self
    }

    /// The key, such as `mqtt.keep_alive`; the name of a variable or a file where the problem has no key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Where the value was given, if it was not given by code.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.0.origin.as_ref()
    }

    /// What a value of this key looks like, where the given one does not.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        self.0.expected.as_deref()
    }

    /// Why it is a problem.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.0.why
    }

    /// The way out.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.0.fix
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.key)?;
        match &self.0.origin {
            // The name of the variable is already the key.
            Some(Origin::Variable(name)) if *name == self.0.key => {}
            Some(origin) => write!(f, " ({origin})")?,
            None => {}
        }
        match &self.0.expected {
            Some(expected) => write!(f, ": expected {expected}, {}: {}", self.0.why, self.0.fix),
            None => write!(f, ": {}: {}", self.0.why, self.0.fix),
        }
    }
}

impl Error for ConfigProblem {}

/// Everything that is wrong with a configuration: at least one problem, sorted by key. `Display` writes one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigProblem>);

impl ConfigErrors {
    /// `Ok` if there is no problem.
    ///
    /// # Errors
    /// All of them.
    pub fn check(mut problems: Vec<ConfigProblem>) -> Result<(), Self> {
        problems.sort();
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// The problems.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.0
    }

    /// Takes the problems out, to report them with others.
    #[must_use]
    pub fn into_problems(self) -> Vec<ConfigProblem> {
        self.0
    }
}

impl From<ConfigProblem> for ConfigErrors {
    fn from(problem: ConfigProblem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}
