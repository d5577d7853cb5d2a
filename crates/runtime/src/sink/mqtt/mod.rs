//! The sink that publishes records to a broker. It is here and not among the other sinks since it needs this crate's
//! connections.
//!
//! | file | owns |
//! |---|---|
//! | `publication` | a record as a publication |
//! | `sink` | the connection, waiting for acknowledgements |

mod publication;
mod sink;

pub use sink::MqttSink;
