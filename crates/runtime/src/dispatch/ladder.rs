//! The ladder of an event that did not end at once: wait for its handler, try again, hand its records to their sinks,
//! or send it to the dead letters. It keeps its lane until it is over, and its place of a handler but for the rests
//! between attempts.
//!
//! A ladder comes to exactly one [`Step`] at a time. It never acknowledges an event that was neither handled nor dead-lettered: if
//! there is nowhere to send a failing event to, it goes on trying, and the event stays unfinished and visible (G1).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidemill_core::{Disposition, Emitted, Event, HandlerError, SinkId, report};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

use super::age::is_expired;
use super::attempt::{Attempted, Slot, Work, deadline};
use super::cut::Demand;
use super::dead_letter::{self, Death};
use super::fill::fill_in;
use super::lanes::LaneKey;
use super::route::RouteRuntime;
use crate::config::Expired;
use crate::dedup::{Check, DedupKey};
use crate::observe::Outcome;
use crate::session::Backoff;
use crate::session::link::{Ack, Link};
use crate::sink::{Debt, Item, Origin, Shared, SinkHandle, Ticket, Tried};

/// An event on its ladder, without what its attempt holds.
#[derive(Clone, Debug)]
pub(crate) struct Climb {
    pub(crate) route: Arc<RouteRuntime>,
    pub(crate) ack: Ack,
    pub(crate) received: Instant,
    pub(crate) received_wall: SystemTime,
    pub(crate) lane: Option<LaneKey>,
    pub(crate) link: Arc<Link>,
    /// Its number in the stall watch.
    pub(crate) watched: u64,
}

/// Where a ladder has come to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Finished here: the dispatcher reports it.
    Finished(Outcome),
    /// The sinks have it; they report when its last record is written. Without a ticket they had taken it over before.
    InSinks(Option<Arc<Shared>>),
    /// The attempt failed. The next one is due after a rest, which takes no place of a handler.
    Resting(Box<Rest>),
    /// The rest is over: the next attempt begins as soon as there is a place for it.
    Rested(Box<Rest>),
}

/// What a ladder gives back.
#[derive(Debug)]
pub(crate) struct Climbed {
    pub(crate) climb: Climb,
    pub(crate) step: Step,
    /// Whether it had a place of a handler.
    pub(crate) placed: bool,
}

/// Where an event enters its ladder.
pub(crate) enum Entry {
    /// Its handler waits.
    Running(Slot),
    /// Its first attempt has ended.
    Ended(Attempted),
    /// It may have been handled before.
    Check(Box<Work>),
    /// It is too old for an attempt.
    Expired(Box<Work>),
    /// It has rested, and is tried again.
    Again(Box<Rest>),
    /// Records wait for room in their sinks. The event is theirs already.
    Full(Vec<(SinkId, Item)>),
}

/// What stays the same over the attempts at an event.
#[derive(Debug)]
struct Tries {
    started: Instant,
    backoff: Backoff,
    /// What dedup is told when the event is handled.
    confirm: Option<DedupKey>,
}

/// An event between two attempts.
#[derive(Debug)]
pub(crate) struct Rest {
    work: Box<Work>,
    tries: Tries,
    failure: HandlerError,
    delay: Duration,
}

impl Climb {
    /// Climbs to the end, or to the next rest.
    pub(crate) async fn run(self, entry: Entry) -> Climbed {
        let step = self.climb(entry).await;
        Climbed { climb: self, step, placed: true }
    }

    /// Waits until the next attempt is due.
    pub(crate) async fn rest(self, rest: Box<Rest>) -> Climbed {
        let step = self.wait(rest).await;
        Climbed { climb: self, step, placed: false }
    }

    async fn climb(&self, entry: Entry) -> Step {
        let route = &self.route;
        let retry = &route.retry;
        let backoff = Backoff::new(retry.min_delay, retry.max_delay);
        let mut tries = Tries { started: Instant::now(), backoff, confirm: None };
        let attempted = match entry {
            Entry::Ended(attempted) => attempted,
            Entry::Running(slot) => self.timed(slot).await,
            Entry::Check(mut work) => {
                let check = match &route.dedup {
                    Some(dedup) => dedup.is_duplicate(&route.scope.route, &work.event).await,
                    None => Check::NoKey,
                };
                if check.is_duplicate() {
                    route.metrics.duplicates.inc();
                    return Step::Finished(Outcome::Handled);
                }
                tries.confirm = check.to_confirm();
                work.cx.set_deadline(self.deadline());
                self.timed(Slot::new(work)).await
            }
            Entry::Expired(work) => return self.expired(&work.event, 0).await,
            Entry::Full(waiting) => {
                self.wait_for_room(waiting).await;
                return Step::InSinks(None);
            }
            Entry::Again(rest) => {
                let mut work = rest.work;
                tries = rest.tries;
                if is_expired(&work.event, self.received) {
                    return self.expired(&work.event, work.cx.attempt()).await;
                }
                route.metrics.retries.inc();
                work.cut.next_attempt();
                work.cx.next_attempt(self.received_wall);
                work.cx.set_deadline(self.deadline());
                self.timed(Slot::new(work)).await
            }
        };
        let Attempted { result, work } = attempted;
        let failure = match result {
            Ok(()) => return self.emit(*work, tries.confirm).await,
            Err(failure) => failure,
        };
        route.metrics.failed_attempts.inc();
        if self.link.is_stale(self.ack) {
            return Step::Finished(Outcome::Abandoned);
        }
        let attempt = work.cx.attempt();
        let decision = match work.cut.demanded() {
            Demand::Bury => Decision::Bury("stalled"),
            _ => self.decide(&failure, attempt, &mut tries),
        };
        let delay = match decision {
            Decision::Retry(delay) => delay,
            Decision::Bury(reason) => match &route.dead_letters {
                Some(destination) => return self.give_up(destination, &work, reason, &failure).await,
                None => {
                    let delay = tries.backoff.longest();
                    error!(
                        route = &*route.scope.route,
                        instance = &*route.scope.instance,
                        topic = work.event.topic(),
                        attempt,
                        error = report(failure.source()),
                        ?delay,
                        "event fails for good but there are no dead letters to send it to; it stays unfinished"
                    );
                    delay
                }
            },
        };
        debug!(
            route = &*route.scope.route,
            attempt,
            error = report(failure.source()),
            ?delay,
            "attempt failed, trying again"
        );
        Step::Resting(Box::new(Rest { work, tries, failure, delay }))
    }

    async fn wait(&self, rest: Box<Rest>) -> Step {
        let Rest { work, delay, .. } = &*rest;
        let dead_letters = self.route.dead_letters.as_ref();
        // Created before the check, so that a session that ends in between is not missed.
        let lost = self.link.session_lost();
        tokio::pin!(lost);
        if !self.link.is_stale(self.ack) {
            tokio::select! {
                () = sleep(*delay) => {}
                () = &mut lost => {}
                () = work.cut.buried(), if dead_letters.is_some() => {}
            }
        }
        if self.link.is_stale(self.ack) {
            return Step::Finished(Outcome::Abandoned);
        }
        match dead_letters {
            Some(destination) if work.cut.demanded() == Demand::Bury => {
                self.give_up(destination, work, "stalled", &rest.failure).await
            }
            _ => Step::Rested(rest),
        }
    }

    /// When an attempt that begins now is cut.
    fn deadline(&self) -> Option<std::time::Instant> {
        self.route.timeout.and_then(deadline)
    }

    async fn timed(&self, slot: Slot) -> Attempted {
        let started = Instant::now();
        let attempted = slot.await;
        self.route.metrics.duration.observe(started.elapsed(), 1);
        attempted
    }

    fn decide(&self, failure: &HandlerError, attempt: u32, tries: &mut Tries) -> Decision {
        let retry = &self.route.retry;
        let delay = match failure.disposition() {
            Disposition::Permanent => return Decision::Bury("permanent"),
            Disposition::RetryAfter(delay) => delay,
            _ => tries.backoff.next(),
        };
        if retry.max_attempts > 0 && attempt >= retry.max_attempts {
            return Decision::Bury("attempts");
        }
        if !retry.max_elapsed.is_zero() && tries.started.elapsed().saturating_add(delay) > retry.max_elapsed {
            return Decision::Bury("elapsed");
        }
        Decision::Retry(delay)
    }

    /// Hands the records of a successful attempt to their sinks. An event with a key to `confirm` waits until they are
    /// written: only then may the event count as handled before.
    async fn emit(&self, work: Work, confirm: Option<DedupKey>) -> Step {
        let Work { event, mut cx, cut, .. } = work;
        let attempts = cx.attempt();
        let mut emitted = cx.take_emitted();
        let confirm = confirm.and_then(|key| Some((self.route.dedup.as_ref()?, key)));
        if emitted.is_empty() {
            if let Some((dedup, key)) = confirm {
                dedup.confirm(key).await;
            }
            return Step::Finished(Outcome::Handled);
        }
        let (waiter, written) = match confirm {
            Some(_) => Some(oneshot::channel()).unzip(),
            None => (None, None),
        };
        cut.hand_over();
        fill_in(&self.route, &event, self.received_wall, &mut emitted);
        let ticket = self.ticket(emitted.len(), Outcome::Handled, event, attempts, waiter);
        let waiting = hand_in(&self.route, self.received, &mut emitted, || Ticket::Shared(Arc::clone(&ticket)));
        self.wait_for_room(waiting).await;
        let (Some(written), Some((dedup, key))) = (written, confirm) else { return Step::InSinks(Some(ticket)) };
        drop(ticket);
        let outcome = written.await.unwrap_or(Outcome::Abandoned);
        if outcome == Outcome::Handled {
            dedup.confirm(key).await;
        }
        Step::Finished(outcome)
    }

    async fn wait_for_room(&self, waiting: Vec<(SinkId, Item)>) {
        for (sink, item) in waiting {
            if self.route.sink(sink).send(item).await.is_err() {
                // The engine ends only when the worker is forced to stop. The ticket reports the event as abandoned.
                return;
            }
        }
    }

    async fn expired(&self, event: &Event, attempts: u32) -> Step {
        match (&self.route.dead_letters, self.route.on_expired) {
            (Some(destination), Expired::DeadLetter) => {
                let death = Death {
                    reason: "expired",
                    error: "the event is too old to be handled".to_owned(),
                    attempts,
                    first_seen: self.received_wall,
                };
                self.bury(destination, event, death).await
            }
            _ => Step::Finished(Outcome::Dropped),
        }
    }

    async fn give_up(&self, destination: &SinkHandle, work: &Work, reason: &'static str, why: &HandlerError) -> Step {
        let error = report(why.source());
        work.cut.hand_over();
        let death = Death { reason, error, attempts: work.cx.attempt(), first_seen: self.received_wall };
        self.bury(destination, &work.event, death).await
    }

    async fn bury(&self, destination: &SinkHandle, event: &Event, death: Death) -> Step {
        warn!(
            route = &*self.route.scope.route,
            topic = event.topic(),
            reason = death.reason,
            attempts = death.attempts,
            error = death.error,
            "event goes to the dead letters"
        );
        let record = dead_letter::record(event, &self.route.scope, &death);
        let ticket = self.ticket(1, Outcome::DeadLettered, event.clone(), death.attempts, None);
        // An ended engine drops the item, and its ticket reports the event as abandoned.
        let _ = destination.send(Item::new(record, Ticket::Shared(Arc::clone(&ticket)))).await;
        Step::InSinks(Some(ticket))
    }

    fn ticket(
        &self,
        records: usize,
        outcome: Outcome,
        event: Event,
        attempts: u32,
        waiter: Option<oneshot::Sender<Outcome>>,
    ) -> Arc<Shared> {
        let (route, link) = (Arc::clone(&self.route), Arc::clone(&self.link));
        let origin = Origin::new(route, link, self.received, self.received_wall);
        Shared::of_ladder(records, Debt { origin, ack: self.ack, event, attempts }, outcome, waiter)
    }
}

/// Hands the records of an attempt in, in their order, as far as there is room for them. Those that have to wait for it
/// come back. The event arrived then; `ticket` gives each of them its ticket.
#[inline]
pub(crate) fn hand_in(
    route: &RouteRuntime,
    received: Instant,
    emitted: &mut Vec<Emitted>,
    mut ticket: impl FnMut() -> Ticket,
) -> Vec<(SinkId, Item)> {
    let mut waiting = Vec::new();
    let mut emitted = emitted.drain(..);
    while let Some(Emitted { sink, record }) = emitted.as_slice().first() {
        let (sink, handle) = (*sink, route.sink(*sink));
        let place = handle.place(record);
        let mut record = || emitted.next().map(|emitted| emitted.record).unwrap_or_default();
        // Behind one that waits all wait.
        let tried = match waiting.is_empty() {
            true => handle.try_send(place, received, &mut record, &mut ticket),
            false => Tried::Full,
        };
        match tried {
            Tried::In => {}
            Tried::Full => waiting.push((sink, Item::new(record(), ticket()))),
            Tried::Closed => {
                // Abandoned with its ticket.
                drop(ticket());
                break;
            }
        }
    }
    waiting
}

enum Decision {
    Retry(Duration),
    Bury(&'static str),
}
