//! What is wrong with a request or the settings. Never holds the URL, which may have a secret in its query.

use std::fmt;

use reqwest::StatusCode;
use tidemill_core::{BoxError, SinkError};

#[derive(Debug)]
pub(super) enum HttpError {
    /// The URL has no fixed scheme and host, or what should not be in one.
    BadUrl(&'static str),
    /// A header's name or value is none.
    BadHeader(String),
    /// A placeholder stands where all records of a batch share a value.
    NotConstant(String),
    /// A secret stands where settings are shown.
    SecretHeader(String),
    /// The server's answer.
    Status { host: String, status: StatusCode, location: Option<String> },
}

impl HttpError {
    pub(super) fn misconfigured(self) -> SinkError {
        SinkError::misconfigured(self)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl(why) => write!(f, "url of the HTTP sink {why}"),
            Self::BadHeader(name) => {
                write!(f, "header {name:?} of the HTTP sink has a name or value that HTTP does not allow: mend it")
            }
            Self::NotConstant(what) => write!(
                f,
                "{what} of the HTTP sink has a placeholder, but all records of a batch share it: take it out, or use the \
                 body `record`"
            ),
            Self::SecretHeader(name) => write!(
                f,
                "header {name:?} of the HTTP sink may be a secret: put it into secret_headers, as a file or an \
                 environment variable"
            ),
            Self::Status { host, status, location } => {
                write!(f, "{host} answered {status}")?;
                let hint = match (status.as_u16(), location) {
                    (401 | 403, _) => "set the right credentials in secret_headers",
                    (404, _) => "set the right path in url",
                    (405, _) => "set the method that the receiver takes",
                    (407, _) => "let the worker past the proxy",
                    (_, Some(location)) => {
                        return write!(
                            f,
                            ": it redirects to {location}, which is not followed; set url to the final one"
                        );
                    }
                    _ => return Ok(()),
                };
                write!(f, ": {hint}")
            }
        }
    }
}

impl std::error::Error for HttpError {}

/// What is wrong with something that has a text of its own.
pub(super) fn misconfigured(source: impl Into<BoxError>) -> SinkError {
    SinkError::misconfigured(source)
}
