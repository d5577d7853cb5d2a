//! Records as messages of RabbitMQ and others that speak AMQP 0.9.1.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `connection` | a connection and its channel |
//! | `message` | a record as a message |
//! | `sink` | publishing, waiting for confirmations |
//! | `error` | what an answer means |

mod config;
mod connection;
mod error;
mod message;
mod sink;
#[cfg(test)]
mod tests;

pub use config::AmqpConfig;
pub use sink::Amqp;
