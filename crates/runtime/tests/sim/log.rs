//! What happened in a run, in the one order in which it happened: what arrived at the ends of the wires, what the handlers
//! and sinks did. Everything runs on one thread, so a place in the log is a point in time.

use std::sync::{Arc, Mutex};

/// Number of a published event; stands in its topic and payload.
pub(crate) type EventId = u32;
/// Number of a connection, over all clients.
pub(crate) type SessionId = u32;
/// Number of an attempt, over all events.
pub(crate) type AttemptId = u32;
/// Number of a worker; one that joins again has another.
pub(crate) type WorkerId = u32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A client's CONNECT arrived.
    Began { session: SessionId, client: Arc<str> },
    /// An event arrived at the client; `pkid` is 0 at QoS 0.
    Delivered { session: SessionId, pkid: u16, event: EventId, dup: bool },
    /// A PUBACK arrived at the broker.
    Acked { session: SessionId, pkid: u16 },
    /// The handler was called.
    Started { attempt: AttemptId, worker: WorkerId, instance: Arc<str>, event: EventId, number: u32 },
    /// It returned; `emitted` says whether a record must be written before it counts.
    Returned { attempt: AttemptId, ok: bool, emitted: bool },
    /// The sink has the record of that attempt.
    Written { attempt: AttemptId },
    /// The dead letters have the event.
    Buried { worker: WorkerId, event: EventId },
    /// Something that must not be, seen while it happened.
    Wrong(String),
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<What>,
    sessions: SessionId,
    attempts: AttemptId,
}

/// The log, shared by all that write to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<State>>);

impl Log {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub(crate) fn add(&self, what: What) {
        self.with(|state| state.lines.push(what));
    }

    pub(crate) fn wrong(&self, text: impl Into<String>) {
        self.add(What::Wrong(text.into()));
    }

    pub(crate) fn next_session(&self) -> SessionId {
        self.with(|state| {
            state.sessions += 1;
            state.sessions
        })
    }

    /// Notes that the handler was called, and numbers the attempt.
    pub(crate) fn started(&self, worker: WorkerId, instance: &str, event: EventId, number: u32) -> AttemptId {
        let instance = instance.into();
        self.with(|state| {
            state.attempts += 1;
            let attempt = state.attempts;
            state.lines.push(What::Started { attempt, worker, instance, event, number });
            attempt
        })
    }

    pub(crate) fn take(&self) -> Vec<What> {
        self.with(|state| std::mem::take(&mut state.lines))
    }
}
