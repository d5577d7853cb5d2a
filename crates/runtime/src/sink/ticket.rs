//! Tickets: which event waits for a record. An event that emitted one record, as nearly all do, is in its record's
//! ticket: nobody shares it, so it costs no allocation and no counter. Several records share theirs.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tidemill_core::{Event, Record};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::dispatch::{Death, RouteRuntime, dead_letter_record};
use crate::observe::Outcome;
use crate::session::link::{Ack, Finished, Link};

/// A record on its way to a sink, and what is owed for it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) record: Record,
    pub(super) owed: Owed,
}

/// What is owed for a record.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) ticket: Ticket,
    /// What the record counts for in the queue.
    pub(super) bytes: u32,
    /// How often the dead-letter destination has refused it.
    pub(super) refusals: u32,
}

impl Item {
    #[inline]
    pub(crate) fn new(record: Record, ticket: Ticket) -> Self {
        let bytes = size(&record);
        Self { record, owed: Owed { ticket, bytes, refusals: 0 } }
    }

    /// The event that the record came from.
    pub(crate) fn event(&self) -> &Event {
        &self.owed.ticket.debt().event
    }
}

/// What a record counts for.
pub(super) fn size(record: &Record) -> u32 {
    u32::try_from(record.size_bytes()).unwrap_or(u32::MAX)
}

/// What events have in common that came through one route with one read. One pointer to it takes the place of many, and
/// the threads of a dispatcher and a sink rarely reach for the same one at a time.
///
/// As long as there is one, records of its instance wait to be written.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) route: Arc<RouteRuntime>,
    link: Arc<Link>,
    pub(crate) received: Instant,
    pub(crate) received_wall: SystemTime,
}

impl Origin {
    pub(crate) fn new(
        route: Arc<RouteRuntime>,
        link: Arc<Link>,
        received: Instant,
        received_wall: SystemTime,
    ) -> Arc<Self> {
        link.enter_sinks();
        Arc::new(Self { route, link, received, received_wall })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.link.leave_sinks();
    }
}

/// An event whose records are on their way to sinks.
#[derive(Debug)]
pub(crate) struct Debt {
    pub(crate) origin: Arc<Origin>,
    pub(crate) ack: Ack,
    pub(crate) event: Event,
    /// How many attempts it took.
    pub(crate) attempts: u32,
}

impl Debt {
    /// The letter that says that a sink refuses a record of the event for what it is.
    fn letter(&self, reason: &str) -> Record {
        let death = Death {
            reason: "rejected",
            error: reason.to_owned(),
            attempts: self.attempts,
            first_seen: self.origin.received_wall,
        };
        dead_letter_record(&self.event, &self.origin.route.scope, &death)
    }

    /// Counted, but not reported to the session: nothing of it may be acknowledged.
    fn abandon(&self) {
        self.origin.route.metrics.finished(Outcome::Abandoned, 1);
    }
}

/// A record's part in its event. Dropping it before the record is written abandons the event.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// The event has no other record, and is this ticket's to count and to report.
    Only(Only),
    /// The event has others too, or its ladder has still something to do.
    Shared(Arc<Shared>),
}

/// See [`Ticket::Only`].
#[derive(Debug)]
pub(crate) struct Only {
    debt: Debt,
    dead_lettered: bool,
    settled: bool,
}

impl Ticket {
    /// The ticket of an event with one record. From now on the event is the ticket's to count and to report.
    #[inline]
    pub(crate) fn only(debt: Debt) -> Self {
        Self::Only(Only { debt, dead_lettered: false, settled: false })
    }

    fn debt(&self) -> &Debt {
        match self {
            Self::Only(only) => &only.debt,
            Self::Shared(shared) => &shared.debt,
        }
    }

    /// When the event arrived.
    #[inline]
    pub(super) fn received(&self) -> Instant {
        self.debt().origin.received
    }

    /// The record is written; when it was the event's last, the event is finished, which `reports` will say.
    pub(super) fn record_written(&mut self, reports: &mut Reports) {
        match self {
            Self::Only(only) => {
                only.settled = true;
                reports.add(&only.debt, outcome(only.dead_lettered));
            }
            Self::Shared(shared) => shared.record_written(reports),
        }
    }

    /// A sink refuses the record for what it is: the event goes to the dead letters in its place. `None` when it is on its
    /// way there already, for another record.
    pub(super) fn dead_letter(&mut self, reason: &str) -> Option<Record> {
        let (debt, before) = match self {
            Self::Only(only) => (&only.debt, std::mem::replace(&mut only.dead_lettered, true)),
            Self::Shared(shared) => (&shared.debt, shared.dead_lettered.swap(true, Ordering::AcqRel)),
        };
        (!before).then(|| debt.letter(reason))
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        if !self.settled {
            self.debt.abandon();
        }
    }
}

fn outcome(dead_lettered: bool) -> Outcome {
    if dead_lettered { Outcome::DeadLettered } else { Outcome::Handled }
}

/// The event is its ladder's: it counts it when it is cut, and is told the outcome when it hands the event over (G9).
const LADDER: u8 = 0;
/// The ladder is over, or there was none, and the event is its tickets'.
const SINKS: u8 = 1;
/// All records were written before the ladder handed the event over: it was handled...
const HANDLED: u8 = 2;
/// ... or dead-lettered.
const DEAD_LETTERED: u8 = 3;

/// Shared by all records of one event.
#[derive(Debug)]
pub(crate) struct Shared {
    remaining: AtomicUsize,
    debt: Debt,
    dead_lettered: AtomicBool,
    /// Whose the event is to count and to report: one of [`LADDER`], [`SINKS`] and an outcome.
    owner: AtomicU8,
    /// Told the outcome instead of the session and the metrics: the event's ladder still has something to do.
    waiter: Mutex<Option<oneshot::Sender<Outcome>>>,
}

impl Shared {
    /// For an event with so many records. From now on it is their tickets' to count and to report.
    pub(crate) fn of_sinks(records: usize, debt: Debt) -> Arc<Self> {
        Arc::new(Self::new(records, debt, Outcome::Handled, SINKS, None))
    }

    /// For an event on its ladder that emitted so many records, or goes to the dead letters.
    pub(crate) fn of_ladder(
        records: usize,
        debt: Debt,
        outcome: Outcome,
        waiter: Option<oneshot::Sender<Outcome>>,
    ) -> Arc<Self> {
        Arc::new(Self::new(records, debt, outcome, LADDER, waiter))
    }

    fn new(records: usize, debt: Debt, outcome: Outcome, owner: u8, waiter: Option<oneshot::Sender<Outcome>>) -> Self {
        Self {
            remaining: AtomicUsize::new(records),
            debt,
            dead_lettered: AtomicBool::new(outcome == Outcome::DeadLettered),
            owner: AtomicU8::new(owner),
            waiter: Mutex::new(waiter),
        }
    }

    /// The ladder is over and all records are handed in: from now on the event is its tickets' to count, unless they
    /// were written by now. Then this is the outcome, which the ladder counts and reports.
    pub(crate) fn take_over(&self) -> Option<Outcome> {
        match self.owner.compare_exchange(LADDER, SINKS, Ordering::AcqRel, Ordering::Acquire) {
            Err(HANDLED) => Some(Outcome::Handled),
            Err(DEAD_LETTERED) => Some(Outcome::DeadLettered),
            _ => None,
        }
    }

    fn record_written(&self, reports: &mut Reports) {
        if self.remaining.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let outcome = outcome(self.dead_lettered.load(Ordering::Acquire));
        if let Some(waiter) = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A ladder that is gone was abandoned, and counted as such.
            let _ = waiter.send(outcome);
            return;
        }
        let over = if outcome == Outcome::DeadLettered { DEAD_LETTERED } else { HANDLED };
        if self.owner.compare_exchange(LADDER, over, Ordering::AcqRel, Ordering::Acquire).is_err() {
            reports.add(&self.debt, outcome);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A waiter is told by the loss of its sender.
        if *self.remaining.get_mut() > 0 && *self.owner.get_mut() == SINKS {
            self.debt.abandon();
        }
    }
}

/// Reports to the sessions, many events at a time: a session that is woken for each of them does little else.
///
/// Dropping it reports what is left. It holds an origin of the instance that it has something to say to, which does not
/// leave before.
pub(super) struct Reports {
    now: Instant,
    done: Finished,
    /// The last events, whose metrics are counted together: alike in all that metrics tell.
    alike: Option<Alike>,
}

/// Events of one origin that ended in the same way.
struct Alike {
    origin: Arc<Origin>,
    outcome: Outcome,
    events: u64,
}

impl Reports {
    /// For events that end now.
    pub(super) fn new() -> Self {
        Self { now: Instant::now(), done: Finished::default(), alike: None }
    }

    #[inline]
    fn add(&mut self, debt: &Debt, outcome: Outcome) {
        let origin = &debt.origin;
        // What is written is written, but the broker will deliver the event again.
        let outcome = if origin.link.is_stale(debt.ack) { Outcome::Abandoned } else { outcome };
        match &mut self.alike {
            Some(alike) if Arc::ptr_eq(&alike.origin, origin) && alike.outcome == outcome => alike.events += 1,
            _ => self.other(Alike { origin: Arc::clone(origin), outcome, events: 1 }),
        }
        self.done.push(debt.ack);
    }

    /// Begins with others. Counted before it is reported: whoever sees that nothing is unfinished finds the outcomes counted.
    fn other(&mut self, other: Alike) {
        let link = Arc::clone(&other.origin.link);
        if let Some(Alike { origin, outcome, events }) = self.alike.replace(other) {
            self.count(&origin, outcome, events);
            if !Arc::ptr_eq(&origin.link, &link) {
                origin.link.finish(&mut self.done);
            }
        }
    }

    fn count(&self, origin: &Origin, outcome: Outcome, events: u64) {
        let metrics = &origin.route.metrics;
        metrics.finished(outcome, events);
        metrics.age.observe(self.now.saturating_duration_since(origin.received), events);
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        if let Some(Alike { origin, outcome, events }) = self.alike.take() {
            self.count(&origin, outcome, events);
            origin.link.finish(&mut self.done);
        }
    }
}
