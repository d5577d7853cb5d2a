//! Why there is no server, and what a test does then.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerErrorKind {
    /// The program is not installed.
    Missing,
    /// It did not start, or was not ready in time.
    NotStarted,
}

/// A server is not there.
#[derive(Debug)]
pub struct ServerError {
    kind: ServerErrorKind,
    program: String,
    what: String,
    source: Option<io::Error>,
}

impl ServerError {
    pub(crate) fn not_started(program: &str, what: impl Into<String>, source: impl Into<Option<io::Error>>) -> Self {
        let (program, what) = (program.to_owned(), what.into());
        Self { kind: ServerErrorKind::NotStarted, program, what, source: source.into() }
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> ServerErrorKind {
        self.kind
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ServerErrorKind::Missing => write!(f, "{} is not installed: apt-get install {}", self.program, self.what),
            ServerErrorKind::NotStarted => write!(f, "{} did not start: {}", self.program, self.what),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Finds a program in `PATH` or where Debian puts servers. `package` is what has it.
///
/// # Errors
/// [`ServerErrorKind::Missing`] when it is not there.
pub fn find(program: &str, package: &str) -> Result<PathBuf, ServerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path).chain(beside).map(|directory| directory.join(program));
    candidates.find(|candidate| candidate.is_file()).ok_or_else(|| ServerError {
        kind: ServerErrorKind::Missing,
        program: program.to_owned(),
        what: package.to_owned(),
        source: None,
    })
}

/// The value, or `None` after saying on standard error that a test was skipped.
///
/// # Panics
/// When the environment variable `CI` is set, where nothing may be skipped.
#[expect(clippy::panic, clippy::print_stderr, reason = "for tests")]
pub fn require_or_skip<T, E: fmt::Display>(needed: Result<T, E>) -> Option<T> {
    match needed {
        Ok(value) => Some(value),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}
