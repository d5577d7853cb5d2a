//! Tickets: which records an event still waits for.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidemill_core::{Event, Record};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::dispatch::{Climb, Death, RouteRuntime, dead_letter_record};
use crate::observe::Outcome;
use crate::session::link::{Finished, Link};

/// A record on its way to a sink, and the event that waits for it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) record: Record,
    pub(crate) ticket: Arc<Ticket>,
    /// What the record counts for in the queue.
    pub(crate) bytes: u32,
    /// When the event arrived: here, so that nobody reaches for the ticket before its record is written.
    pub(crate) received: Instant,
    /// How often the dead-letter destination has refused it.
    pub(super) refusals: u32,
}

impl Item {
    pub(crate) fn new(record: Record, ticket: Arc<Ticket>) -> Self {
        let bytes = u32::try_from(record.size_bytes()).unwrap_or(u32::MAX);
        let received = ticket.climb.received;
        Self { record, ticket, bytes, received, refusals: 0 }
    }
}

/// The event is its ladder's: it counts it when it is cut, and is told the outcome when it hands the event over (G9).
const LADDER: u8 = 0;
/// The ladder is over, and the event is its ticket's.
const SINKS: u8 = 1;
/// All records were written before the ladder handed the event over: it was handled...
const HANDLED: u8 = 2;
/// ... or dead-lettered.
const DEAD_LETTERED: u8 = 3;

/// Shared by all records of one event.
#[derive(Debug)]
pub(crate) struct Ticket {
    remaining: AtomicUsize,
    climb: Climb,
    event: Event,
    /// How many attempts it took.
    attempts: u32,
    dead_lettered: AtomicBool,
    /// Whose the event is to count and to report: one of [`LADDER`], [`SINKS`] and an outcome.
    owner: AtomicU8,
    /// Told the outcome instead of the session and the metrics: the event's ladder still has something to do.
    waiter: Mutex<Option<oneshot::Sender<Outcome>>>,
}

impl Ticket {
    /// A ticket for an event that emitted so many records.
    pub(crate) fn new(
        records: usize,
        climb: Climb,
        outcome: Outcome,
        event: Event,
        attempts: u32,
        waiter: Option<oneshot::Sender<Outcome>>,
    ) -> Self {
        climb.link.enter_sinks();
        Self {
            remaining: AtomicUsize::new(records),
            climb,
            event,
            attempts,
            dead_lettered: AtomicBool::new(outcome == Outcome::DeadLettered),
            owner: AtomicU8::new(LADDER),
            waiter: Mutex::new(waiter),
        }
    }

    /// The ladder is over and all records are handed in: from now on the event is this ticket's to count, unless they
    /// were written by now. Then this is the outcome, which the ladder counts and reports.
    pub(crate) fn take_over(&self) -> Option<Outcome> {
        match self.owner.compare_exchange(LADDER, SINKS, Ordering::AcqRel, Ordering::Acquire) {
            Err(HANDLED) => Some(Outcome::Handled),
            Err(DEAD_LETTERED) => Some(Outcome::DeadLettered),
            _ => None,
        }
    }

    /// The event on its ladder.
    pub(crate) fn climb(&self) -> &Climb {
        &self.climb
    }

    /// The event.
    pub(crate) fn event(&self) -> &Event {
        &self.event
    }

    /// One record is written; when it was the last, the event is finished, which `reports` will say.
    pub(super) fn record_written(&self, reports: &mut Reports) {
        if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            let dead_lettered = self.dead_lettered.load(Ordering::Acquire);
            let outcome = if dead_lettered { Outcome::DeadLettered } else { Outcome::Handled };
            self.finish(outcome, reports);
        }
    }

    /// A sink refuses a record for what it is: the event goes to the dead letters in its place. `None` when it is on its
    /// way there already, for another record.
    pub(crate) fn dead_letter(&self, reason: &str) -> Option<Record> {
        if self.dead_lettered.swap(true, Ordering::AcqRel) {
            return None;
        }
        let death = Death {
            reason: "rejected",
            error: reason.to_owned(),
            attempts: self.attempts,
            first_seen: self.climb.received_wall,
        };
        Some(dead_letter_record(&self.event, &self.climb.route.scope, &death))
    }

    fn finish(&self, outcome: Outcome, reports: &mut Reports) {
        if let Some(waiter) = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A ladder that is gone was abandoned, and counted as such.
            let _ = waiter.send(outcome);
            return;
        }
        let over = if outcome == Outcome::DeadLettered { DEAD_LETTERED } else { HANDLED };
        if self.owner.compare_exchange(LADDER, over, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return;
        }
        // What is written is written, but the broker will deliver the event again.
        let outcome = if self.climb.link.is_stale(self.climb.ack) { Outcome::Abandoned } else { outcome };
        reports.add(&self.climb, outcome);
    }
}

/// Reports to the sessions, many events at a time: a session that is woken for each of them does little else.
///
/// Dropping it reports what is left. It must not outlive the tickets: with the last of them an instance may leave.
pub(super) struct Reports {
    now: Instant,
    link: Option<Arc<Link>>,
    done: Finished,
    /// The last events, whose metrics are counted together: alike in all that metrics tell.
    alike: Option<Alike>,
}

/// Events of one route that came with one read and ended in the same way.
struct Alike {
    route: Arc<RouteRuntime>,
    received: Instant,
    outcome: Outcome,
    events: u64,
}

impl Reports {
    /// For events that end now.
    pub(super) fn new() -> Self {
        Self { now: Instant::now(), link: None, done: Finished::default(), alike: None }
    }

    fn add(&mut self, climb: &Climb, outcome: Outcome) {
        match &mut self.alike {
            Some(alike)
                if Arc::ptr_eq(&alike.route, &climb.route)
                    && alike.received == climb.received
                    && alike.outcome == outcome =>
            {
                alike.events += 1;
            }
            _ => {
                self.count();
                let (route, received) = (Arc::clone(&climb.route), climb.received);
                self.alike = Some(Alike { route, received, outcome, events: 1 });
            }
        }
        if self.link.as_ref().is_none_or(|current| !Arc::ptr_eq(current, &climb.link)) {
            self.flush();
            self.link = Some(Arc::clone(&climb.link));
        }
        self.done.push(climb.ack);
    }

    fn count(&mut self) {
        if let Some(Alike { route, received, outcome, events }) = self.alike.take() {
            route.metrics.finished(outcome, events);
            route.metrics.age.observe(self.now.saturating_duration_since(received), events);
        }
    }

    /// Counted before it is reported: whoever sees that nothing is unfinished finds the outcomes counted.
    fn flush(&mut self) {
        self.count();
        if let Some(link) = &self.link {
            link.finish(&mut self.done);
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A waiter is told by the loss of its sender.
        if *self.remaining.get_mut() > 0 && *self.owner.get_mut() == SINKS {
            // Counted, but not reported to the session: nothing of it may be acknowledged.
            self.climb.route.metrics.finished(Outcome::Abandoned, 1);
        }
        self.climb.link.leave_sinks();
    }
}
