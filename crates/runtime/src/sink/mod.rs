//! The engine in front of every sink: it batches records, writes them until the sink has them, and then reports the
//! events that they came from. Users' own sinks and the dead-letter destination go through the same engine.
//!
//! INVARIANT (G1): an event is reported as finished only when its last record was written. A ticket that is dropped
//! before that reports its event as abandoned and acknowledges nothing.

mod engine;
mod ticket;

pub(crate) use engine::{SinkEngine, SinkHandle, SinkSettings};
pub(crate) use ticket::{Item, Ticket};
