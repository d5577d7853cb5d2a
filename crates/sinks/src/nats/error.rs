//! What an answer means. Never holds a server's address or a password.

use std::fmt;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::{ConnectError, ConnectErrorKind};
use tidemill_core::{BoxError, SinkError};

/// Why a message is refused that the client does not send at all.
pub(super) const TOO_LARGE: &str = "the message and its headers are larger than the server's max_payload";

#[derive(Debug)]
pub(super) enum Problem {
    BadServer,
    HasCredentials,
    BadCredentials,
    BadSubject,
    /// The subject has nothing fixed that a stream could be created for.
    NoFixedWord,
    Connect(ConnectError),
    Login,
    /// The stream does not exist.
    NoStream(String),
    /// The stream confirms nothing.
    NoAck(String),
    /// The stream does not take the subject.
    OtherSubject {
        stream: String,
        subject: String,
    },
    NoJetStream,
    Stream {
        stream: String,
        source: BoxError,
    },
    Publish(BoxError),
    /// The subject has no stream just now.
    NobodyAnswers,
    TimedOut,
    Refused(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadServer => {
                f.write_str("servers of the NATS sink must have one, each written as in nats://host:4222")
            }
            Self::HasCredentials => {
                f.write_str("servers of the NATS sink have credentials in them: put them into username and password")
            }
            Self::BadCredentials => f.write_str(
                "credentials of the NATS sink have no JWT and seed in them: name the .creds file that the server's tools \
                 have written",
            ),
            Self::BadSubject => {
                f.write_str("subject of the NATS sink must be words between dots without wildcards, as in plant.{line}")
            }
            Self::NoFixedWord => f.write_str(
                "subject of the NATS sink begins with a placeholder, so no stream can be created for it: begin it with a \
                 word, or create the stream and take create out",
            ),
            Self::Connect(_) => f.write_str("connect to the NATS server"),
            Self::Login => f.write_str("the NATS server refuses the login: set the right username and password"),
            Self::NoStream(stream) => {
                write!(f, "the NATS server has no stream {stream:?}: create it, or set create = true")
            }
            Self::NoAck(stream) => {
                write!(f, "stream {stream:?} confirms nothing (no_ack): switch that off, or use another stream")
            }
            Self::OtherSubject { stream, subject } => {
                write!(f, "stream {stream:?} does not take subject {subject:?}: add it to the stream's subjects")
            }
            Self::NoJetStream => f.write_str("the NATS server runs without JetStream: switch it on, or use mode core"),
            Self::Stream { stream, .. } => write!(f, "ask for stream {stream:?}"),
            Self::Publish(_) => f.write_str("publish to the NATS server"),
            Self::NobodyAnswers => f.write_str("no stream answers for the subject just now"),
            Self::TimedOut => f.write_str("the NATS server did not answer in time"),
            Self::Refused(why) => write!(f, "the NATS server refuses it: {why}"),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(source) => Some(source),
            Self::Stream { source, .. } | Self::Publish(source) => Some(&**source),
            _ => None,
        }
    }
}

/// Why there is no connection.
pub(super) fn no_connection(error: ConnectError) -> SinkError {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            SinkError::misconfigured(Problem::Login)
        }
        _ => SinkError::unavailable(Problem::Connect(error)),
    }
}

/// What the server says to one message.
pub(super) enum Answer {
    /// The message is refused for what it is.
    Refused(String),
    /// Nobody takes its subject, just now or at all.
    NobodyAnswers,
    /// The same batch may be taken later, or never.
    Failed(SinkError),
}

pub(super) fn answer(error: PublishError) -> Answer {
    match error.kind() {
        PublishErrorKind::StreamNotFound => Answer::NobodyAnswers,
        PublishErrorKind::MaxPayloadExceeded => Answer::Refused(TOO_LARGE.to_owned()),
        PublishErrorKind::TimedOut => Answer::Failed(SinkError::unavailable(Problem::TimedOut)),
        _ => {
            let said = std::error::Error::source(&error)
                .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>())
                .map(|said| (said.error_code(), said.to_string()));
            match said {
                Some((code, why)) => by_code(code, why, error),
                None => Answer::Failed(SinkError::unavailable(Problem::Publish(error.into()))),
            }
        }
    }
}

fn by_code(code: ErrorCode, why: String, error: PublishError) -> Answer {
    match code {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
        | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM
        | ErrorCode::STREAM_NOT_MATCH => Answer::Refused(Problem::Refused(why).to_string()),
        ErrorCode::STREAM_SEALED | ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            Answer::Failed(SinkError::misconfigured(Problem::Refused(why)))
        }
        _ => Answer::Failed(SinkError::unavailable(Problem::Publish(error.into()))),
    }
}
