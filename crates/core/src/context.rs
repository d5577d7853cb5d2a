//! The context of one attempt: what the handler may know beyond the event, and where its records wait until the
//! attempt has succeeded. Records of a failed attempt are discarded by the runtime, never written.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use crate::topic::TopicName;
use crate::{BoxError, Event, IntoRecord, Properties, Publication, Record};

/// A sink's place in its worker, assigned at build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SinkId(u16);

impl SinkId {
    /// Where publications go: the broker itself.
    pub const PUBLISH: Self = Self(u16::MAX);

    /// The sink at this place among [`Scope::sinks`].
    #[must_use]
    pub const fn new(at: u16) -> Self {
        Self(at)
    }

    /// Its place among [`Scope::sinks`]; `None` for [`PUBLISH`](Self::PUBLISH), which is no sink of theirs.
    #[must_use]
    pub const fn index(self) -> Option<usize> {
        if self.0 == u16::MAX { None } else { Some(self.0 as usize) }
    }
}

/// What stays the same for all events of a route on one instance.
///
/// The runtime makes these; tests of handlers may, with [`new`](Self::new).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The route's name.
    pub route: Box<str>,
    /// The ID of the instance that received the event.
    pub instance: Box<str>,
    /// Names of the worker's sinks; the index is the [`SinkId`].
    pub sinks: Arc<[Box<str>]>,
    /// What the broker takes from the worker.
    pub publishing: Publishing,
}

impl Scope {
    /// For events of this route on this instance, in a worker with sinks of these names. Nothing is known ahead of what the
    /// broker takes.
    #[must_use]
    pub fn new(route: impl Into<Box<str>>, instance: impl Into<Box<str>>, sinks: Arc<[Box<str>]>) -> Self {
        Self { route: route.into(), instance: instance.into(), sinks, publishing: Publishing::default() }
    }

    /// Says what the broker takes from the worker.
    #[must_use]
    pub fn with_publishing(mut self, publishing: Publishing) -> Self {
        self.publishing = publishing;
        self
    }
}

/// What is known ahead about the broker's rules for publications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Publishing {
    /// Nothing: the broker decides.
    #[default]
    Unknown,
    /// The rules of IBM Watson IoT Platform.
    Platform {
        /// Whether it is the sandbox, Quickstart.
        quickstart: bool,
        /// Whether the API key may publish events.
        events: bool,
        /// Whether the API key may publish commands.
        commands: bool,
    },
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

    /// What stays the same for all events of the route on this instance.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
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
        self.push(Emitted { sink: SinkId(u16::try_from(at).unwrap_or(u16::MAX)), record });
        Ok(())
    }

    /// Publishes an event to the broker, with the same promise as [`emit`](Self::emit): it is sent after the handler
    /// returned `Ok`, and at QoS 1 the event at hand is acknowledged after the broker has acknowledged this one. Publish
    /// to topics outside the worker's own routes, or the event comes back. Never waits.
    pub fn publish(&mut self, publication: Publication) {
        let key = Some(publication.topic.as_bytes().clone());
        let record = Record { key, publication: Some(Box::new(publication)), ..Record::default() };
        self.push(Emitted { sink: SinkId::PUBLISH, record });
    }

    /// Answers an event: publishes to its response topic, with its correlation data.
    ///
    /// # Errors
    /// [`EmitError::NoResponseTopic`] when the publisher of `event` awaits no answer, or named no valid topic.
    pub fn reply(&mut self, event: &Event, payload: impl Into<Bytes>) -> Result<(), EmitError> {
        let asked = event.properties().and_then(|properties| {
            let topic = TopicName::new(properties.response_topic.as_deref()?).ok()?;
            Some((topic, properties.correlation_data.clone()))
        });
        let Some((topic, correlation_data)) = asked else {
            return Err(EmitError::NoResponseTopic { topic: event.topic().into() });
        };
        let properties = Properties { correlation_data, ..Properties::default() };
        self.publish(Publication::new(topic, payload).with_properties(properties));
        Ok(())
    }

    fn push(&mut self, emitted: Emitted) {
        match &mut self.outbox {
            Outbox::Own(records) => records.push(emitted),
            Outbox::Shared(records) => records.lock().unwrap_or_else(PoisonError::into_inner).push(emitted),
        }
    }

    /// Whether nothing was emitted in this attempt.
    #[inline]
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

    /// The same, into a list whose room the context then uses for the next event. What the list held is discarded.
    pub fn take_emitted_into(&mut self, list: &mut Vec<Emitted>) {
        list.clear();
        match &mut self.outbox {
            Outbox::Own(records) => std::mem::swap(records, list),
            Outbox::Shared(records) => list.append(&mut records.lock().unwrap_or_else(PoisonError::into_inner)),
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
    #[inline(always)]
    pub fn reuse(&mut self) {
        match &mut self.outbox {
            Outbox::Own(records) if records.is_empty() => {}
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

    /// Gives a second owner a context whose records end up in this one, for code that must own its context: a closure, a
    /// layer, a task. It may be lent on; the records still end up in the first one. What is emitted after the first one
    /// has gone on to another attempt is lost.
    #[must_use]
    pub fn lend(&mut self) -> Self {
        let records = match &mut self.outbox {
            Outbox::Own(records) => Arc::new(Mutex::new(std::mem::take(records))),
            Outbox::Shared(records) => Arc::clone(records),
        };
        self.outbox = Outbox::Shared(Arc::clone(&records));
        self.with_outbox(Outbox::Shared(records))
    }

    /// A context for a part of the attempt that may fail without failing the whole. What is emitted to it counts once
    /// it is [merged](Self::merge), and is discarded otherwise.
    #[must_use]
    pub fn branch(&self) -> Self {
        self.with_outbox(Outbox::Own(Vec::new()))
    }

    /// Takes over what was emitted to a [branch](Self::branch).
    pub fn merge(&mut self, mut branch: Self) {
        for emitted in branch.take_emitted() {
            self.push(emitted);
        }
    }

    fn with_outbox(&self, outbox: Outbox) -> Self {
        Self {
            scope: Arc::clone(&self.scope),
            outbox,
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
    /// The publisher of the event awaits no answer, or named no valid topic for it.
    NoResponseTopic {
        /// The topic of the event.
        topic: Box<str>,
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
            Self::NoResponseTopic { topic } => {
                write!(f, "reply to {topic:?}: its publisher named no valid response topic (an MQTT 5 property)")
            }
            Self::Serialize { sink, .. } => write!(f, "emit to {sink:?}: serialize the record"),
        }
    }
}

impl std::error::Error for EmitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnknownSink { .. } | Self::NoResponseTopic { .. } => None,
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
            ..Scope::default()
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
    fn records_of_a_context_that_was_lent_on_end_up_in_the_first() {
        let mut cx = context();
        cx.emit("raw", Record::new("1")).unwrap();
        let mut second = cx.lend();
        let mut third = second.lend();
        third.emit("raw", Record::new("2")).unwrap();
        second.emit("raw", Record::new("3")).unwrap();
        let emitted: Vec<_> = cx.take_emitted().into_iter().map(|emitted| emitted.record.payload).collect();
        assert_eq!(emitted, ["1", "2", "3"]);
    }

    #[test]
    fn records_of_a_branch_count_once_it_is_merged() {
        let mut cx = context();
        cx.branch().emit("raw", Record::new("dropped")).unwrap();
        let mut branch = cx.branch();
        branch.emit("raw", Record::new("kept")).unwrap();
        assert!(cx.is_outbox_empty());
        cx.merge(branch);
        assert_eq!(cx.take_emitted()[0].record.payload, "kept");
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
