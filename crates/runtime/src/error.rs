//! How building and running a worker can fail, and with which exit code a program should then end.

use std::fmt;

use tidemill_core::BoxError;

use crate::config::{ConfigErrors, ConfigProblem};

/// Everything that is wrong with a worker before it runs, in one go.
#[derive(Debug)]
pub struct BuildError(ConfigErrors);

impl BuildError {
    pub(crate) fn check(problems: Vec<ConfigProblem>) -> Result<(), Self> {
        ConfigErrors::check(problems).map_err(Self)
    }

    /// At least one problem.
    pub(crate) fn of(problems: Vec<ConfigProblem>) -> Self {
        match ConfigErrors::check(problems) {
            Err(errors) => Self(errors),
            Ok(()) => Self(ConfigProblem::new("worker", "it could not be built", "report this as a defect").into()),
        }
    }

    /// The problems, each with its key and the way out.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        self.0.problems()
    }

    pub(crate) const EXIT_CODE: u8 = 64;

    /// 64, the conventional code for wrong usage; [`Exit`](crate::Exit) ends a program with it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        Self::EXIT_CODE
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for BuildError {}

/// Why a worker did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunErrorKind {
    /// A handler's `start` failed.
    HandlerStart,
    /// A sink could not be opened.
    SinkOpen,
    /// The admin server could not listen.
    Admin,
    /// The broker cannot be used, and trying again does not help.
    Broker,
    /// The drain's deadline passed with events unfinished; they stay unacknowledged.
    DrainDeadline,
    /// A second signal cut the drain short; what was unfinished stays unacknowledged.
    Forced,
    /// The operating system refused a thread or a runtime.
    System,
}

/// A worker that did not end well.
#[derive(Debug)]
pub struct RunError {
    kind: RunErrorKind,
    message: String,
    source: Option<BoxError>,
}

impl RunError {
    pub(crate) fn new(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> RunErrorKind {
        self.kind
    }

    /// 75 (try again later) when the drain was cut short, by its deadline or a second signal, 1 otherwise.
    /// [`Exit`](crate::Exit) ends a program with it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            RunErrorKind::DrainDeadline | RunErrorKind::Forced => 75,
            _ => 1,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
