//! The context of one attempt: what the handler may know beyond the event, and where its records wait until the
//! attempt has succeeded. Records of a failed attempt are discarded by the runtime, never written.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use crate::{BoxError, IntoRecord, Record};

/// A sink's place in its worker, assigned at build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SinkId(pub u16);

/// What stays the same for all events of a route on one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The route's name.
    pub route: Box<str>,
    /// The ID of the instance that received the event.
    pub instance: Box<str>,
    /// Names of the worker's sinks; the index is the [`SinkId`].
    pub sinks: Arc<[Box<str>]>,
}

/// A record and the sink it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Where it goes.
    pub sink: SinkId,
    /// What goes there.
    pub record: Record,
}

#[derive(Debug)]
enum Outbox {
    Own(Vec<Emitted>),
    /// Lent to a closure that takes its context by value; the lender takes the records back afterwards.
    Shared(Arc<Mutex<Vec<Emitted>>>),
}

/// The context of one attempt to handle one event.
#[derive(Debug)]
pub struct Context {
    scope: Arc<Scope>,
    outbox: Outbox,
    attempt: u32,
    first_seen: Option<SystemTime>,
    deadline: Option<Instant>,
}

impl Context {
    /// A context for the first attempt, without a deadline. The runtime makes these; tests of handlers may.
    #[must_use]
    pub fn new(scope: Arc<Scope>) -> Self {
        Self { scope, outbox: Outbox::Own(Vec::new()), attempt: 1, first_seen: None, deadline: None }
    }

    /// The name of the route that the event came through.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.scope.route
    }

    /// The ID of the instance that received the event.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.scope.instance
    }

    /// Which attempt this is; the first is 1. Counts this worker's attempts since the event was last delivered.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When this worker first tried to handle the event; `None` on the first attempt.
    #[must_use]
    pub fn first_seen(&self) -> Option<SystemTime> {
        self.first_seen
    }

    /// When this attempt is cut; `None` when the route sets no limit.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Emits a record to a sink of the worker. It is written after the handler returned `Ok`, and the event is
    /// acknowledged after that; when the handler fails, it is discarded. Never waits.
    ///
    /// # Errors
    /// [`EmitError`] when the worker has no sink of that name or the value cannot be serialized.
    pub fn emit(&mut self, sink: &str, value: impl IntoRecord) -> Result<(), EmitError> {
        let Some(at) = self.scope.sinks.iter().position(|name| **name == *sink) else {
            return Err(EmitError::UnknownSink { sink: sink.into(), known: Arc::clone(&self.scope.sinks) });
        };
        let record = value.into_record().map_err(|source| EmitError::Serialize { sink: sink.into(), source })?;
        let emitted = Emitted { sink: SinkId(u16::try_from(at).unwrap_or(u16::MAX)), record };
        match &mut self.outbox {
            Outbox::Own(records) => records.push(emitted),
            Outbox::Shared(records) => records.lock().unwrap_or_else(PoisonError::into_inner).push(emitted),
        }
        Ok(())
    }

    /// Whether nothing was emitted in this attempt.
    #[must_use]
    pub fn is_outbox_empty(&self) -> bool {
        match &self.outbox {
            Outbox::Own(records) => records.is_empty(),
            Outbox::Shared(records) => records.lock().unwrap_or_else(PoisonError::into_inner).is_empty(),
        }
    }

    /// Takes what was emitted in this attempt. For the runtime and for tests of handlers.
    pub fn take_emitted(&mut self) -> Vec<Emitted> {
        match &mut self.outbox {
            Outbox::Own(records) => std::mem::take(records),
            Outbox::Shared(records) => std::mem::take(&mut *records.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Makes the context ready for the next attempt of the same event: discards what was emitted, counts the attempt.
    pub fn next_attempt(&mut self, first_seen: SystemTime) {
        self.outbox = Outbox::Own(Vec::new());
        self.attempt += 1;
        self.first_seen = Some(first_seen);
        self.deadline = None;
    }

    /// Makes the context ready for the first attempt of another event of the same route.
    pub fn reuse(&mut self) {
        match &mut self.outbox {
            Outbox::Own(records) => records.clear(),
            // The closure it was lent to may still hold it.
            Outbox::Shared(_) => self.outbox = Outbox::Own(Vec::new()),
        }
        self.attempt = 1;
        self.first_seen = None;
        self.deadline = None;
    }

    /// Sets when the attempt is cut.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Makes a second context whose records end up in this one, for code that must own its context.
    pub(crate) fn lend(&mut self) -> Self {
        let records = Arc::new(Mutex::new(self.take_emitted()));
        self.outbox = Outbox::Shared(Arc::clone(&records));
        Self {
            scope: Arc::clone(&self.scope),
            outbox: Outbox::Shared(records),
            attempt: self.attempt,
            first_seen: self.first_seen,
            deadline: self.deadline,
        }
    }
}

/// Why a record could not be emitted.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The worker has no sink of that name.
    UnknownSink {
        /// The name that was asked for.
        sink: Box<str>,
        /// The names that exist.
        known: Arc<[Box<str>]>,
    },
    /// The value could not be serialized.
    Serialize {
        /// The sink it was for.
        sink: Box<str>,
        /// What the serializer says.
        source: BoxError,
    },
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSink { sink, known } if known.is_empty() => {
                write!(f, "emit to {sink:?}: the worker has no sinks; add one with `.sink({sink:?}, ..)`")
            }
            Self::UnknownSink { sink, known } => {
                write!(f, "emit to {sink:?}: no such sink; the worker has {}", known.join(", "))
            }
            Self::Serialize { sink, .. } => write!(f, "emit to {sink:?}: serialize the record"),
        }
    }
}

impl std::error::Error for EmitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnknownSink { .. } => None,
            Self::Serialize { source, .. } => Some(&**source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context::new(Arc::new(Scope {
            route: "r".into(),
            instance: "i".into(),
            sinks: Arc::from(["alerts".into(), "raw".into()]),
        }))
    }

    #[test]
    fn emitted_records_wait_in_order_with_their_sink() {
        let mut cx = context();
        cx.emit("raw", Record::new("1")).unwrap();
        cx.emit("alerts", Record::new("2")).unwrap();
        let emitted = cx.take_emitted();
        assert_eq!(emitted.iter().map(|e| e.sink.0).collect::<Vec<_>>(), [1, 0]);
        assert!(cx.is_outbox_empty());
    }

    #[test]
    fn an_unknown_sink_is_named_with_the_known_ones() {
        let text = context().emit("alarms", Record::new("1")).unwrap_err().to_string();
        assert_eq!(text, "emit to \"alarms\": no such sink; the worker has alerts, raw");
    }

    #[test]
    fn the_next_attempt_discards_what_was_emitted() {
        let mut cx = context();
        cx.emit("raw", Record::new("1")).unwrap();
        cx.next_attempt(SystemTime::UNIX_EPOCH);
        assert!(cx.is_outbox_empty());
        assert_eq!(cx.attempt(), 2);
    }
}
