//! What can go wrong with a file: always with its path, and with the way out where there is one.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tidemill_core::SinkError;

/// A failed step.
#[derive(Debug)]
pub(super) struct FileError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io {
        action: &'static str,
        source: io::Error,
    },
    Locked,
    NoLocks,
    NoName,
    NotAFile,
    NotNdjson,
    #[cfg(feature = "csv")]
    OtherColumns,
}

impl FileError {
    /// For `map_err`: `action` is a verb that goes before the path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { path: path.to_owned(), problem: Problem::Io { action, source } }
    }

    pub(super) fn locked(path: &Path) -> Self {
        Self { path: path.to_owned(), problem: Problem::Locked }
    }

    pub(super) fn no_locks(path: &Path) -> Self {
        Self { path: path.to_owned(), problem: Problem::NoLocks }
    }

    pub(super) fn no_name(path: &Path) -> Self {
        Self { path: path.to_owned(), problem: Problem::NoName }
    }

    pub(super) fn not_a_file(path: &Path) -> Self {
        Self { path: path.to_owned(), problem: Problem::NotAFile }
    }

    pub(super) fn not_ndjson(path: &Path) -> Self {
        Self { path: path.to_owned(), problem: Problem::NotNdjson }
    }

    #[cfg(feature = "csv")]
    pub(super) fn other_columns(path: &Path) -> Self {
        Self { path: path.to_owned(), problem: Problem::OtherColumns }
    }

    /// Whether someone has to act: waiting does not move a path or grant a permission.
    fn is_misconfigured(&self) -> bool {
        match &self.problem {
            Problem::Io { source, .. } => hint(source.kind()).is_some_and(|(_, misconfigured)| misconfigured),
            _ => true,
        }
    }
}

/// The way out, and whether nothing but that helps.
fn hint(kind: ErrorKind) -> Option<(&'static str, bool)> {
    match kind {
        ErrorKind::PermissionDenied => Some(("let the worker's user write there", true)),
        ErrorKind::ReadOnlyFilesystem => Some(("mount a writable volume there", true)),
        ErrorKind::NotFound => Some(("create its directory, or set create_dirs", true)),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Some(("a part of the path is a file", true)),
        ErrorKind::IsADirectory => Some(("add a file name", true)),
        ErrorKind::InvalidFilename => Some(("choose another name", true)),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(("free some space", false)),
        _ => None,
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Io { action, source } => {
                write!(f, "{action} {path}")?;
                hint(source.kind()).map_or(Ok(()), |(hint, _)| write!(f, " ({hint})"))
            }
            Problem::Locked => write!(
                f,
                "{path} is being written by another sink: give every sink and every replica a path of its own, or \
                 stop the other one"
            ),
            Problem::NoLocks => write!(
                f,
                "{path} cannot be compressed safely without locks, and stays as it is: set compress to none, or move \
                 the path to a file system that has locks"
            ),
            Problem::NoName => write!(f, "path \"{path}\" names no file: add a file name in UTF-8"),
            Problem::NotAFile => write!(f, "{path} is not a regular file: give another path, or use the stdout sink"),
            Problem::NotNdjson => write!(
                f,
                "{path} ends with something that is no part of an NDJSON record: give another path, or move the \
                 file away"
            ),
            #[cfg(feature = "csv")]
            Problem::OtherColumns => write!(
                f,
                "{path} does not begin with the header of these columns: give another path, or move the file away"
            ),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<FileError> for SinkError {
    fn from(error: FileError) -> Self {
        if error.is_misconfigured() { Self::misconfigured(error) } else { Self::unavailable(error) }
    }
}
