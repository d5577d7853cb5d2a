//! What a failure of a store means, with the way out. What stores say is shown cut short, without who logs in with a URL
//! and without what follows a question mark, where signatures and tokens stand.

use std::error::Error as _;
use std::fmt;
use std::io::{self, ErrorKind};

use object_store::Error;
use tidemill_core::{BoxError, SinkError};

use crate::shown::shown;

/// The longest piece of a store's answer that goes into an error, in characters.
const LONGEST_DETAIL: usize = 300;

#[derive(Debug)]
pub(super) enum Problem {
    BadUrl,
    HasCredentials,
    UnknownStore {
        scheme: String,
    },
    #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
    NotBuilt {
        feature: &'static str,
    },
    UnknownOption {
        name: String,
    },
    #[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
    NotSecret {
        name: String,
    },
    BadSettings {
        what: String,
    },
    NoFolder {
        path: String,
        source: io::Error,
    },
    NotFound {
        place: String,
    },
    Refused {
        place: String,
        code: String,
    },
    NotWritable {
        place: String,
        source: ErrorKind,
    },
    Failed {
        place: String,
        what: String,
    },
}

impl Problem {
    pub(super) fn misconfigured(self) -> SinkError {
        SinkError::misconfigured(self)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl => f.write_str(
                "url of the object store cannot be read: write a folder, s3://bucket/prefix, gs://bucket/prefix or \
                 az://container/prefix",
            ),
            Self::HasCredentials => f.write_str(
                "url of the object store has a password or parameters: put them into secret_options or the environment",
            ),
            Self::UnknownStore { scheme } => {
                write!(f, "object store {scheme}:// is unknown: use a folder, s3://, gs:// or az://")
            }
            #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
            Self::NotBuilt { feature } => {
                write!(f, "this worker was built without that object store: build it with the feature `{feature}`")
            }
            Self::UnknownOption { name } => write!(
                f,
                "the object store has no option {name:?}: write the name of its environment variable in lower case"
            ),
            #[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
            Self::NotSecret { name } => {
                write!(f, "option {name:?} of the object store is a secret: put it into secret_options")
            }
            Self::BadSettings { what } => write!(f, "settings of the object store: {what}"),
            Self::NoFolder { path, .. } => {
                write!(f, "folder {path} of the object store cannot be made: let the worker's user write there")
            }
            Self::NotFound { place } => {
                write!(f, "{place} does not exist: create the bucket, or set the right one in url")
            }
            Self::Refused { place, code } => write!(
                f,
                "{place} refuses the worker{code}: set the right credentials and region, and let them write there"
            ),
            Self::NotWritable { place, source } => {
                write!(f, "{place} cannot be written to ({source}): let the worker's user write there")
            }
            Self::Failed { place, what } => write!(f, "{place}: {what}"),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoFolder { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What a failed request means.
pub(super) fn failed(place: &str, error: &Error) -> SinkError {
    let place = place.to_owned();
    match error {
        Error::NotFound { .. } => Problem::NotFound { place }.misconfigured(),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => refused(place, error),
        // S3 answers these with 400, which its client takes for anything.
        Error::Generic { .. } if matches!(code(&error.to_string()), Some("ExpiredToken" | "InvalidToken")) => {
            refused(place, error)
        }
        Error::NotSupported { .. } | Error::NotImplemented { .. } | Error::UnknownConfigurationKey { .. } => {
            Problem::Failed { place, what: detail(&error.to_string()) }.misconfigured()
        }
        _ => match io_kind(error) {
            Some(
                kind @ (ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::NotADirectory
                | ErrorKind::AlreadyExists),
            ) => Problem::NotWritable { place, source: kind }.misconfigured(),
            _ => SinkError::unavailable(Problem::Failed { place, what: detail(&error.to_string()) }),
        },
    }
}

fn refused(place: String, error: &Error) -> SinkError {
    let code = code(&error.to_string()).map(|code| format!(" ({code})")).unwrap_or_default();
    Problem::Refused { place, code }.misconfigured()
}

/// An encoder that failed: nothing is wrong with the store, so the batch is tried again.
pub(super) fn not_encoded(source: BoxError) -> SinkError {
    SinkError::unavailable(source)
}

fn io_kind(error: &Error) -> Option<ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}

/// The code that S3 and Azure give in XML.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

/// What a store or its client said, fit to be read by anyone.
pub(super) fn detail(text: &str) -> String {
    if let Some(code) = code(text) {
        return code.to_owned();
    }
    // Before it is cut, which may take away the `@` that tells of a password.
    let words = text.split_inclusive(|character: char| character.is_whitespace() || character == '"');
    let text: String = words.map(|word| if word.contains('@') { shown(word) } else { word.to_owned() }).collect();
    let mut short = String::new();
    let mut in_query = false;
    for character in text.chars().take(LONGEST_DETAIL) {
        in_query =
            (in_query || character == '?') && !character.is_whitespace() && !matches!(character, ')' | '"' | '\'');
        short.push(if character.is_control() { ' ' } else { character });
        if in_query {
            short.pop();
        }
    }
    short
}
