//! What happened in a run, in the one order in which it happened: what went over the wires at the worker's end, what the
//! handler did, what the sinks wrote. Everything runs on one thread, so a place in the log is a point in time.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

/// Number of a published event; stands in its payload.
pub(crate) type EventId = u32;
/// Number of an attempt, over all events.
pub(crate) type AttemptId = u32;
/// Number of a connection, over all clients.
pub(crate) type SessionId = u32;

/// A record that an attempt emitted, or what it published: the attempt, and which of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Effect {
    pub(crate) attempt: AttemptId,
    pub(crate) index: u32,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.attempt, self.index)
    }
}

impl Effect {
    /// From what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (attempt, index) = std::str::from_utf8(text).ok()?.split_once('.')?;
        Some(Self { attempt: attempt.parse().ok()?, index: index.parse().ok()? })
    }
}

/// A dead letter, from any destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    /// `None` when the payload is not that of an event.
    pub(crate) event: Option<EventId>,
    pub(crate) instance: String,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) topic: String,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With that many effects, which come true later.
    Ok(u32),
    Failed,
    Panicked,
    /// Its future was dropped.
    Cut,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// CONNECT was written.
    Began { session: SessionId, client: String },
    /// The stream is over.
    Over { session: SessionId },
    /// An event was read.
    Delivered { session: SessionId, pkid: u16, event: EventId, dup: bool },
    /// A PUBACK was written.
    Acked { session: SessionId, pkid: u16 },
    /// The handler was called.
    Started { attempt: AttemptId, instance: String, event: EventId, number: u32 },
    /// It returned, or was cut.
    Returned { attempt: AttemptId, how: Ended },
    /// A sink has the record.
    Written(Effect),
    /// A sink refuses the record.
    Refused(Effect),
    /// The broker has the publication; at QoS 0, the broker was sent it.
    Published(Effect),
    /// The dead-letter destination has it.
    Buried(Letter),
    /// Something that must not be, seen while it happened.
    Wrong(String),
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Since the run began.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    attempts: AttemptId,
    sessions: SessionId,
    /// Clients with a connection.
    clients: Vec<(SessionId, String)>,
}

/// The log, shared by all that write to it.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    state: Arc<Mutex<State>>,
    start: Instant,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), start: Instant::now() }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn add(&self, what: What) {
        let at = self.now();
        self.with(|state| state.lines.push(Line { at, what }));
    }

    /// Notes something that must not be.
    pub(crate) fn wrong(&self, text: impl Into<String>) {
        self.add(What::Wrong(text.into()));
    }

    /// A number for a connection.
    pub(crate) fn next_session(&self) -> SessionId {
        self.with(|state| {
            state.sessions += 1;
            state.sessions
        })
    }

    pub(crate) fn began(&self, session: SessionId, client: &str) {
        self.with(|state| state.clients.push((session, client.to_owned())));
        self.add(What::Began { session, client: client.to_owned() });
    }

    pub(crate) fn over(&self, session: SessionId) {
        self.with(|state| state.clients.retain(|(other, _)| *other != session));
        self.add(What::Over { session });
    }

    /// Notes that the handler was called, and numbers the attempt.
    pub(crate) fn started(&self, instance: &str, event: EventId, number: u32) -> AttemptId {
        let attempt = self.with(|state| {
            state.attempts += 1;
            state.attempts
        });
        self.add(What::Started { attempt, instance: instance.to_owned(), event, number });
        attempt
    }

    /// Clients with a connection, in the order they connected.
    pub(crate) fn clients(&self) -> Vec<String> {
        self.with(|state| state.clients.iter().map(|(_, client)| client.clone()).collect())
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.with(|state| state.lines.clone())
    }
}
