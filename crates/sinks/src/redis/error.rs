//! What an answer means. Never holds the URL or a password.

use std::fmt;
use std::io;
use std::path::PathBuf;

use redis::{ErrorKind, RedisError};
use tidemill_core::SinkError;

#[derive(Debug)]
pub(super) enum Problem {
    BadUrl,
    HasCredentials,
    CaFile { path: PathBuf, error: io::Error },
    Connect(RedisError),
    Login(RedisError),
    Write(RedisError),
    TimedOut,
    Answer { code: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl => f.write_str("url of the Redis sink is none: write it as in redis://host:6379/0"),
            Self::HasCredentials => {
                f.write_str("url of the Redis sink has credentials in it: put them into username and password")
            }
            Self::CaFile { path, .. } => {
                write!(f, "{} cannot be read: set ca_file to a file that the worker may read", path.display())
            }
            Self::Connect(_) => f.write_str("connect to the Redis server"),
            Self::Login(_) => f.write_str("the Redis server refuses the login: set the right username and password"),
            Self::Write(_) => f.write_str("write to the Redis server"),
            Self::TimedOut => f.write_str("the Redis server did not answer in time"),
            Self::Answer { code } => {
                write!(f, "the Redis server answered {code}")?;
                f.write_str(match code.as_str() {
                    "NOPERM" => ": allow the user this command and key",
                    "NOAUTH" | "WRONGPASS" => ": set the right username and password",
                    "WRONGTYPE" => ": the key holds something else; set another key",
                    "MOVED" | "CROSSSLOT" => ": a cluster is not supported; set the URL of a single server",
                    _ => "",
                })
            }
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CaFile { error, .. } => Some(error),
            Self::Connect(source) | Self::Login(source) | Self::Write(source) => Some(source),
            Self::BadUrl | Self::HasCredentials | Self::TimedOut | Self::Answer { .. } => None,
        }
    }
}

/// Why there is no connection.
pub(super) fn no_connection(error: RedisError) -> SinkError {
    let refused = matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"));
    if refused || error.kind() == ErrorKind::AuthenticationFailed {
        SinkError::misconfigured(Problem::Login(error))
    } else {
        SinkError::unavailable(Problem::Connect(error))
    }
}

/// What a command's error means; `Ok` is why its record is refused. `is_fixed` says that all records go to one key.
pub(super) fn refused(code: &str, is_fixed: bool) -> Result<String, SinkError> {
    let problem = Problem::Answer { code: code.to_owned() };
    match code {
        "NOPERM" | "NOAUTH" | "WRONGPASS" | "MOVED" | "CROSSSLOT" => Err(SinkError::misconfigured(problem)),
        "WRONGTYPE" if is_fixed => Err(SinkError::misconfigured(problem)),
        "OOM" | "LOADING" | "BUSY" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MISCONF"
        | "NOREPLICAS" | "ASK" => Err(SinkError::unavailable(problem)),
        _ => Ok(problem.to_string()),
    }
}
