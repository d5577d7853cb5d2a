//! Batch handlers: handlers that take many events at once, for bulk inserts, bulk requests and aggregates.
//!
//! ```text
//! attempt ─┐                     ┌ max_events or max_bytes reached ┐
//! attempt ─┼─> gathering batch ──┤                                 ├─> BatchHandler::handle, in a task of its own
//! attempt ─┘                     └ linger is over                  ┘       └─> each attempt gets its own result
//! second and further attempts of an event ──────────────────────────────> BatchHandler::handle, alone
//! ```
//!
//! An event is an event for all that: it keeps its own attempts, timeout, records, outcome and acknowledgement. Only the
//! call of the handler is shared. An event whose first attempt failed is tried again alone, so that one that makes every
//! batch panic or hang fails by itself and not again and again with its neighbours.
//!
//! **Order.** On a keyed route the next event of a key is handed out when the one before is finished, so a batch holds at
//! most one event of a key; a hot key fills no batches there. On an `unordered` route it does, and nothing is promised
//! about the order in which batches are handled: they run side by side.
//!
//! **Waiting.** A batch fills from the events that wait in it, at most `dispatch.concurrency` of each instance. With
//! fewer than `max_events` of them no batch is ever full, and each is handled when its linger is over. The linger is
//! part of the route's timeout.
//!
//! **What belongs to all.** A record is emitted by one event, and only that one's acknowledgement waits until it is
//! written. Let each event emit what must not be lost with it, or write it in the handler before giving the results.

mod batched;
mod gathering;
mod handler;
mod settings;

pub use batched::Batched;
pub use handler::{BatchHandler, BatchItem};
pub use settings::BatchSettings;
