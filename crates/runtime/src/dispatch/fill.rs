//! What a record lacks is filled in from the event that it came from: key, topic, captures, time, idempotency key.
//!
//! INVARIANT: what is filled in comes from the event, its route, the sink's name and the record's place among those that
//! its event emitted to that sink. So a redelivery, on whatever replica, fills in the same, as long as the handler emits
//! the same in the same order; and no two records get the same idempotency key, also in a target that sinks share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use smallvec::SmallVec;
use tidemill_core::{Emitted, Event, Record, SinkId};
use tracing::error;

use super::route::RouteRuntime;
use crate::dedup::{DedupKey, IdempotencyKey};

/// The idempotency key that a route gives its records.
#[derive(Debug)]
pub(crate) struct RecordKey {
    key: IdempotencyKey,
    failed: AtomicBool,
}

impl RecordKey {
    pub(crate) fn new(key: IdempotencyKey) -> Self {
        Self { key, failed: AtomicBool::new(false) }
    }

    fn of(&self, route: &str, event: &Event) -> Option<DedupKey> {
        // A function of the user's: a panic here would take the whole instance down, again and again.
        catch_unwind(AssertUnwindSafe(|| self.key.of(route, event))).unwrap_or_else(|_| {
            // Said once: it may happen with every event.
            if !self.failed.swap(true, Ordering::Relaxed) {
                error!(route, "the function of the idempotency key panicked; such records have no key");
            }
            None
        })
    }
}

/// Fills in the records that an event emitted, in the order in which it did.
pub(crate) fn fill_in(route: &RouteRuntime, event: &Event, arrived: SystemTime, emitted: &mut [Emitted]) {
    let mut filler = None;
    // A publication says all by itself.
    for Emitted { sink, record } in emitted.iter_mut().filter(|emitted| emitted.sink != SinkId::PUBLISH) {
        filler.get_or_insert_with(|| Filler::new(route, event, arrived)).fill(*sink, record);
    }
}

/// Fills in the records of one event.
struct Filler<'a> {
    route: &'a RouteRuntime,
    event: &'a Event,
    arrived: SystemTime,
    key: Bytes,
    idempotency: Option<DedupKey>,
    time: Option<SystemTime>,
    /// The sinks that records went to so far.
    emitted: SmallVec<[ToSink; 4]>,
}

/// What one event has emitted to one sink.
struct ToSink {
    sink: SinkId,
    /// The key that the first record got, or would have.
    key: Option<DedupKey>,
    records: u32,
}

impl<'a> Filler<'a> {
    fn new(route: &'a RouteRuntime, event: &'a Event, arrived: SystemTime) -> Self {
        let idempotency = route.record_key.as_ref().and_then(|key| key.of(&route.scope.route, event));
        Self { route, event, arrived, key: route.key.of(event), idempotency, time: None, emitted: SmallVec::new() }
    }

    fn fill(&mut self, sink: SinkId, record: &mut Record) {
        let (idempotency, place) = self.idempotency(sink);
        record.key.get_or_insert_with(|| self.key.clone());
        let own = self.event.topic_name();
        // Captures are places in the topic.
        if record.topic.get_or_insert_with(|| own.clone()) == own {
            record.captures = self.event.captured().clone();
        }
        if record.time.is_none() {
            record.time = Some(self.time());
        }
        // One that the handler gave is an identity that others know, and may be the row's own: it stays as it is.
        if let (None, Some(key)) = (&record.idempotency_key, idempotency) {
            record.idempotency_key = Some(match place {
                // The first record of an event has the same key whether others follow or not.
                0 => key.to_string(),
                place => format!("{key}-{place}"),
            });
        }
    }

    /// The key of the event's records in this sink, and how many went there before.
    fn idempotency(&mut self, sink: SinkId) -> (Option<DedupKey>, u32) {
        if let Some(to) = self.emitted.iter_mut().find(|to| to.sink == sink) {
            to.records += 1;
            return (to.key, to.records - 1);
        }
        let name = sink.index().and_then(|at| self.route.scope.sinks.get(at));
        let key = self.idempotency.zip(name).map(|(key, name)| key.in_sink(name));
        self.emitted.push(ToSink { sink, key, records: 1 });
        (key, 0)
    }

    /// Read once per event: the stamp may stand inside the payload.
    fn time(&mut self) -> SystemTime {
        let stamp = || self.route.age.stamp.as_ref().and_then(|stamp| stamp.of(self.event)).unwrap_or(self.arrived);
        *self.time.get_or_insert_with(stamp)
    }
}
