//! The error of the benchmark program: a sentence for its user and the cause.

use std::fmt;

use tidemill_core::BoxError;

/// Why the benchmark did not run to its end.
#[derive(Debug)]
pub struct Error {
    doing: String,
    source: Option<BoxError>,
}

impl Error {
    /// An error without a deeper cause.
    pub(crate) fn new(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), source: None }
    }

    /// An error that another one caused.
    pub(crate) fn because(doing: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { doing: doing.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
