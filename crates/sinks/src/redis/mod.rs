//! Records into a Redis server: streams, lists, values and channels.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `command` | a record as a command, once per idempotency key |
//! | `sink` | the connection, pipelines |
//! | `error` | what an answer means |

mod command;
mod config;
mod error;
mod sink;
#[cfg(test)]
mod tests;

pub use config::{RedisConfig, RedisInto};
pub use sink::Redis;
