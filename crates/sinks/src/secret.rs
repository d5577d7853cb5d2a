//! Secrets in the settings of a sink: where they are, and reading them.
//!
//! This is the place of a secret, where the `Secret` of the worker's configuration is the text: that one is read once,
//! when the configuration is loaded, and a sink's whenever it connects, so that a mounted file may be renewed while the
//! worker runs.
//!
//! Invariant: what a secret says shows in no `Debug`, no serialized settings and no error (G12).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// Larger files are no secrets but mistakes, such as a device that never ends.
const MAX_BYTES: u64 = 64 * 1024;

/// A password, token or key: the text itself, or where to find it. Read when a sink opens or connects, so that a mounted
/// file may be replaced while the worker runs.
///
/// In settings: `{ file = "/run/secrets/token" }`, `{ env = "TOKEN" }` or `{ text = "..." }`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Secret {
    /// The content of a file, without the one line break that most files end with. The way to go with mounted secrets.
    File(PathBuf),
    /// An environment variable of the worker.
    Env(String),
    /// The text itself. Only for tests: settings end up in version control.
    Text(
        #[serde(serialize_with = "redacted")]
        #[schemars(extend("writeOnly" = true))]
        String,
    ),
}

fn redacted<S: Serializer>(_: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("***")
}

impl Secret {
    /// The text. Do not log it.
    ///
    /// # Errors
    /// It is not where the settings say, empty, too long or not UTF-8. To be reported as
    /// [`Misconfigured`](tidemill_core::SinkErrorKind::Misconfigured).
    pub fn read(&self) -> Result<String, SecretError> {
        let fail = |problem| SecretError { secret: self.clone(), problem };
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Env(name) => std::env::var(name).map_err(|_| fail(Problem::NotSet))?,
            Self::File(path) => {
                let mut bytes = Vec::new();
                let file = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
                file.map_err(|error| fail(Problem::Unreadable(error)))?;
                if bytes.len() as u64 > MAX_BYTES {
                    return Err(fail(Problem::TooLong));
                }
                let text = String::from_utf8(bytes).map_err(|_| fail(Problem::NotText))?;
                let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
                line.map(str::to_owned).unwrap_or(text)
            }
        };
        if text.is_empty() { Err(fail(Problem::Empty)) } else { Ok(text) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::Text(_) => f.write_str("Text(***)"),
        }
    }
}

/// A secret that cannot be read.
#[derive(Debug)]
pub struct SecretError {
    secret: Secret,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    NotSet,
    Unreadable(io::Error),
    TooLong,
    NotText,
    Empty,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.secret {
            Secret::File(path) => write!(f, "secret file {} ", path.display())?,
            Secret::Env(name) => write!(f, "secret from environment variable {name} ")?,
            Secret::Text(_) => f.write_str("secret in the settings ")?,
        }
        f.write_str(match self.problem {
            Problem::NotSet => "is not set: set it for the worker, or name another one",
            Problem::Unreadable(_) => "cannot be read: name a file that the worker may read",
            Problem::TooLong => "is longer than 64 KiB: name the file that holds the secret alone",
            Problem::NotText => "is not UTF-8: write the secret as text",
            Problem::Empty => "is empty: write the secret into it, or leave the setting out",
        })
    }
}

impl std::error::Error for SecretError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Unreadable(error) => Some(error),
            Problem::NotSet | Problem::TooLong | Problem::NotText | Problem::Empty => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_without_its_last_line_break() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"s3cret \r\n").unwrap();
        assert_eq!(Secret::File(file.path().into()).read().unwrap(), "s3cret ");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_way_out() {
        let text = |secret: Secret| secret.read().unwrap_err().to_string();
        assert!(text(Secret::File("/no/such/file".into())).contains("name a file that the worker may read"));
        assert!(text(Secret::Env("TIDEMILL_NO_SUCH_VARIABLE".into())).contains("set it for the worker"));
        assert!(text(Secret::Text(String::new())).contains("is empty"));
    }

    #[test]
    fn a_secret_shows_nowhere() {
        let secret: Secret = serde_json::from_str(r#"{"text":"s3cret"}"#).unwrap();
        assert_eq!(secret.read().unwrap(), "s3cret");
        assert_eq!(format!("{secret:?}"), "Text(***)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#"{"text":"***"}"#);
        assert_eq!(serde_json::from_str::<Secret>(r#"{"env":"A"}"#).unwrap(), Secret::Env("A".into()));
    }
}
