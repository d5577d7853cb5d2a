//! What a delivery report means. Never holds a password.

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tidemill_core::SinkError;

#[derive(Debug)]
pub(super) enum Problem {
    BadBrokers,
    BadTopic,
    NoTls,
    OwnProperty(String),
    SecretProperty(String),
    BadProperties(String),
    Login,
    NoTopic(String),
    Metadata(KafkaError),
    Delivery(KafkaError),
    TimedOut,
    Stopped,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadBrokers => f.write_str("brokers of the Kafka sink must have one, each written as in host:9092"),
            Self::BadTopic => f.write_str(
                "topic of the Kafka sink has other characters than letters, digits, `.`, `_` and `-`: name another one",
            ),
            Self::NoTls => f.write_str("TLS and SCRAM need a build with the feature kafka-tls: add it"),
            Self::OwnProperty(name) => {
                write!(
                    f,
                    "property {name} of the Kafka sink cannot be set: take it out, it has a setting of its own or \
                           no order would be kept without it"
                )
            }
            Self::SecretProperty(name) => write!(
                f,
                "property {name} of the Kafka sink may be a secret: put it into secret_properties, as a file or an \
                 environment variable"
            ),
            Self::BadProperties(why) => write!(f, "properties of the Kafka sink: {why}"),
            Self::Login => f.write_str("Kafka refuses the login: set the right username, password and mechanism"),
            Self::NoTopic(topic) => {
                write!(f, "Kafka has no topic {topic:?} for this user: create it, and allow writing to it")
            }
            Self::Metadata(_) => f.write_str("ask Kafka for its topics"),
            Self::Delivery(_) => f.write_str("deliver to Kafka"),
            Self::TimedOut => f.write_str("Kafka did not take the batch in time"),
            Self::Stopped => f.write_str("the Kafka client has ended"),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Metadata(source) | Self::Delivery(source) => Some(source),
            _ => None,
        }
    }
}

/// What a delivery report, or the refusal to take a message, means.
#[derive(Debug)]
pub(super) enum Report {
    /// The message is refused for what it is.
    Refused(String),
    /// The broker refuses a request in which the message was, perhaps for another one's sake.
    RequestRefused(KafkaError),
    /// All of the batch may be taken later, or never.
    Failed(SinkError),
}

/// `is_local` says that the client library refused it by itself; `topic` is the topic where all records go to one.
pub(super) fn report(error: KafkaError, is_local: bool, topic: Option<&str>) -> Report {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    match code {
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            // Refused for the sake of another one in its request, where a broker says which.
            | Code::InvalidDifferentRecord,
        ) => {
            if is_local {
                Report::Refused(format!("Kafka's client refuses the message: {error}"))
            } else {
                Report::RequestRefused(error)
            }
        }
        Some(
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::InvalidTopic | Code::TopicAuthorizationFailed,
        ) => match topic {
            Some(topic) => Report::Failed(SinkError::misconfigured(Problem::NoTopic(topic.to_owned()))),
            None => Report::Refused(format!("{}: {error}", "Kafka has no such topic for this user")),
        },
        Some(Code::ClusterAuthorizationFailed | Code::SaslAuthenticationFailed | Code::Authentication) => {
            Report::Failed(SinkError::misconfigured(Problem::Login))
        }
        _ => Report::Failed(SinkError::unavailable(Problem::Delivery(error))),
    }
}
