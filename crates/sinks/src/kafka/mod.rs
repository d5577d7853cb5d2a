//! Records as messages of Apache Kafka and what speaks its protocol.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `producer` | the client library: its settings, its log, its end |
//! | `message` | a record as a message |
//! | `sink` | sending, waiting for delivery reports |
//! | `error` | what a delivery report means |

mod config;
mod error;
mod message;
mod producer;
mod sink;
#[cfg(test)]
mod tests;

pub use config::{KafkaConfig, KafkaSasl};
pub use sink::Kafka;
