//! Records as messages on NATS: JetStream, or the core alone.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `client` | one connection, that is never made again |
//! | `message` | a record as a message |
//! | `sink` | streams, publishing, waiting for what the server says |
//! | `error` | what an answer means |

mod client;
mod config;
mod error;
mod message;
mod sink;
#[cfg(test)]
mod tests;

pub use config::{NatsConfig, NatsMode};
pub use sink::Nats;
