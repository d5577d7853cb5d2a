//! The engine in front of every sink: it batches records, writes them until the sink has them, and then reports the
//! events that they came from. Users' own sinks and the dead-letter destination go through the same engine.
//!
//! ```text
//! events ── queue (bounded): batcher ── flight: rate, breaker, write ── written ── tickets ── acks
//!                              ^            │ refused: halves, dead letter
//!                              └── landed ──┘
//! ```
//!
//! One task per sink and none per record; a flight is one batch under way, a future of that task.
//!
//! INVARIANT (G1): an event is reported as finished only when its last record was written. A ticket that is dropped
//! before that reports its event as abandoned and acknowledges nothing.

mod batch;
mod batcher;
mod breaker;
mod engine;
mod flight;
mod mqtt;
mod open;
mod queue;
mod rig;
mod state;
mod ticket;

pub(crate) use engine::SinkEngine;
pub use mqtt::MqttSink;
pub(crate) use open::{close, open, promises};
pub(crate) use queue::{SinkHandle, Tried};
pub use rig::SinkRig;
pub(crate) use state::SinkState;
pub use state::SinkStatus;
pub(crate) use ticket::{Debt, Item, Origin, Shared, Ticket};
