//! The sink that publishes records to a broker. It is here and not among the other sinks since it needs this crate's
//! connections.
//!
//! | file | owns |
//! |---|---|
//! | `handed` | batches that wait for the broker, also when their write was given up |
//! | `publication` | a record as a publication |
//! | `sink` | the connection, and what its answers mean |

mod handed;
mod publication;
mod sink;

pub use sink::MqttSink;
