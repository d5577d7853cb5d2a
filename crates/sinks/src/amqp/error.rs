//! What an answer means. Never holds the URL or a password.

use std::fmt;
use std::io;
use std::path::PathBuf;

use lapin::ErrorKind;
use tidemill_core::SinkError;

#[derive(Debug)]
pub(super) enum Problem {
    BadUrl,
    HasCredentials,
    CaFile {
        path: PathBuf,
        error: io::Error,
    },
    Connect(lapin::Error),
    Login,
    Vhost,
    Exchange {
        exchange: String,
        source: lapin::Error,
    },
    Publish(lapin::Error),
    /// The server could not store a message, or a queue is full and refuses more.
    Nack,
    /// Some message of several was given back, and which one is not known.
    Returned,
    TimedOut,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl => f.write_str("url of the AMQP sink is none: write it as in amqp://host:5672/vhost"),
            Self::HasCredentials => {
                f.write_str("url of the AMQP sink has credentials in it: put them into username and password")
            }
            Self::CaFile { path, .. } => {
                write!(f, "{} cannot be read: set ca_file to a file that the worker may read", path.display())
            }
            Self::Connect(_) => f.write_str("connect to the AMQP server"),
            Self::Login => f.write_str("the AMQP server refuses the login: set the right username and password"),
            Self::Vhost => f.write_str(
                "the AMQP server does not let this user into the virtual host: set the right one in url, or allow it",
            ),
            Self::Exchange { exchange, .. } => {
                write!(f, "exchange {exchange:?} cannot be published to: create it, and allow this user to write to it")
            }
            Self::Publish(_) => f.write_str("publish to the AMQP server"),
            Self::Nack => f.write_str("the AMQP server could not store a message, perhaps since a queue is full"),
            Self::Returned => f.write_str("the AMQP server gave a message back: bind a queue to its routing key"),
            Self::TimedOut => f.write_str("the AMQP server did not answer in time"),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CaFile { error, .. } => Some(error),
            Self::Connect(source) | Self::Publish(source) | Self::Exchange { source, .. } => Some(source),
            _ => None,
        }
    }
}

const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// Why there is no connection.
pub(super) fn no_connection(error: lapin::Error) -> SinkError {
    match code(&error) {
        Some(ACCESS_REFUSED) => SinkError::misconfigured(Problem::Login),
        Some(NOT_ALLOWED) => SinkError::misconfigured(Problem::Vhost),
        _ => SinkError::unavailable(Problem::Connect(error)),
    }
}

/// What it means that publishing failed, and with it the channel; `exchange` is the exchange where all records go to one.
pub(super) fn refused(error: lapin::Error, exchange: Option<&str>) -> SinkError {
    match (code(&error), exchange) {
        (Some(ACCESS_REFUSED | NOT_FOUND), Some(exchange)) => {
            SinkError::misconfigured(Problem::Exchange { exchange: exchange.to_owned(), source: error })
        }
        // For one message of the batch; the server does not say which. Those before it may have been taken.
        (Some(ACCESS_REFUSED | NOT_FOUND | PRECONDITION_FAILED), _) => {
            SinkError::batch_refused(Problem::Publish(error))
        }
        _ => SinkError::unavailable(Problem::Publish(error)),
    }
}
