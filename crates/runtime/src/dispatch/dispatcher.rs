//! The dispatcher's loop. Its fast path, an event whose handler neither waits nor fails nor emits, takes no task, no
//! timer, no lock and no lane. One that emits takes no ladder as long as its sinks have room.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use smallvec::SmallVec;
use tidemill_core::Emitted;
use tidemill_core::topic::TopicName;
use tokio::task::consume_budget;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::age::is_expired;
use super::attempt::{Attempted, Slot, Work, deadline};
use super::cut::Cut;
use super::fill::fill_in;
use super::ladder::{Climb, Climbed, Entry, Rest, Step, hand_in};
use super::lanes::{LaneKey, Lanes};
use super::route::{Execution, RouteRuntime};
use super::stall::StallWatch;
use crate::observe::{InstanceMetrics, Outcome, Tally};
use crate::router::Router;
use crate::session::Status;
use crate::session::link::{Ack, Burst, Delivery, Finished, Inbound, Link};
use crate::sink::{Debt, Origin, Shared, Ticket};
use crate::wake::Dormant;

/// One of so many inline events is timed, so that the histogram of handler times costs little.
const SAMPLE_EVERY: u64 = 64;

type Ladders = FuturesUnordered<Pin<Box<dyn Future<Output = Climbed> + Send>>>;

/// An event that has a route, without the event itself.
#[derive(Clone, Copy, Debug)]
struct Ready {
    route: usize,
    ack: Ack,
    burst: Burst,
}

/// An event that waits for its lane or for a free place.
struct Waiting {
    ready: Ready,
    work: Box<Work>,
}

/// What a dispatcher is made of.
pub(crate) struct Setup {
    pub(crate) link: Arc<Link>,
    pub(crate) status: Arc<Status>,
    pub(crate) router: Arc<Router>,
    pub(crate) routes: Vec<Arc<RouteRuntime>>,
    /// How many handlers may wait at a time.
    pub(crate) concurrency: usize,
    /// When the stall watch acts; zero switches it off.
    pub(crate) stall_after: Duration,
    pub(crate) metrics: InstanceMetrics,
    pub(crate) force: CancellationToken,
}

/// See the module's description.
pub(crate) struct Dispatcher {
    link: Arc<Link>,
    router: Arc<Router>,
    routes: Vec<Arc<RouteRuntime>>,
    /// Per route, what the last event worked on, to be used again.
    spare: Vec<Option<(Box<Work>, Arc<Cut>)>>,
    lanes: Lanes<Waiting>,
    ladders: Ladders,
    /// Have rested, and wait for a place to be tried again.
    rested: VecDeque<(Climb, Box<Rest>)>,
    /// So many of them, from the front, are known to the stall watch as waiting.
    known_waiting: usize,
    slot: Slot,
    /// What an event emitted, for the time that it takes to hand it in.
    emitted: Vec<Emitted>,
    /// Per route, what its events of the current burst have in common that emit.
    origins: Vec<Option<Arc<Origin>>>,
    done: Finished,
    tally: Tally,
    metrics: InstanceMetrics,
    inline: u64,
    stall: StallWatch,
    status: Arc<Status>,
    force: CancellationToken,
}

#[cold]
fn new_work(route: &Arc<RouteRuntime>, topic: &TopicName) -> (Box<Work>, Arc<Cut>) {
    let work = Box::new(Work::new(Arc::clone(route), topic.clone()));
    let cut = Arc::clone(&work.cut);
    (work, cut)
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("routes", &self.routes).finish_non_exhaustive()
    }
}

impl Dispatcher {
    pub(crate) fn new(setup: Setup) -> Self {
        let Setup { link, status, router, routes, concurrency, stall_after, metrics, force } = setup;
        Self {
            spare: routes.iter().map(|_| None).collect(),
            origins: routes.iter().map(|_| None).collect(),
            tally: Tally::new(routes.len()),
            link,
            router,
            routes,
            lanes: Lanes::new(concurrency),
            ladders: FuturesUnordered::new(),
            rested: VecDeque::new(),
            known_waiting: 0,
            slot: Slot::empty(),
            emitted: Vec::new(),
            done: Finished::default(),
            metrics,
            inline: 0,
            stall: StallWatch::new(stall_after),
            status,
            force,
        }
    }

    /// Runs until the link is closed and everything is finished, or until it is forced to stop.
    pub(crate) async fn run(mut self) {
        let mut inbound = Inbound::default();
        let force = self.force.clone();
        let mut forced = Dormant::new(force.cancelled());
        let look = sleep(Duration::ZERO);
        tokio::pin!(look);
        loop {
            self.link.take_inbound(&mut inbound);
            // Before what is new: it came earlier.
            self.try_again();
            self.take(&mut inbound);
            self.start_waiting();
            self.report();
            if inbound.closed && self.lanes.is_idle() && !self.link.has_inbound() {
                return;
            }
            let watching = self.stall.next_look();
            if let Some(next) = watching
                && (look.is_elapsed() || look.deadline() > next)
            {
                look.as_mut().reset(next);
            }
            tokio::select! {
                biased;
                () = &mut forced => break,
                () = &mut look, if watching.is_some() => {
                    self.stall.look(Instant::now(), self.status.is_full());
                }
                Some(climbed) = self.ladders.next(), if !self.ladders.is_empty() => self.climbed(climbed),
                // A session on another thread may have something as often as it is asked.
                () = self.link.inbound_ready() => consume_budget().await,
            }
        }
        self.abandon(&mut inbound);
    }

    /// Starts or queues everything that came.
    fn take(&mut self, inbound: &mut Inbound) {
        self.tally.dropped(inbound.dropped);
        for (burst, deliveries) in &mut inbound.bursts {
            for delivery in deliveries.drain(..) {
                self.dispatch(delivery, burst);
            }
            self.tally.end_burst(burst.at, &self.routes);
        }
    }

    #[inline(always)]
    fn dispatch(&mut self, delivery: Delivery, burst: &Burst) {
        let mut spans = SmallVec::new();
        let Some(id) = self.router.route(delivery.arrival.topic.as_str(), &mut spans) else {
            self.not_matched(&delivery);
            return;
        };
        let at = usize::from(id.0);
        let route = &self.routes[at];
        self.tally.received(at);
        if self.link.is_stale(delivery.ack) {
            self.tally.finished(at, Outcome::Abandoned);
            self.done.push(delivery.ack);
            return;
        }
        let (mut work, cut) = self.spare[at].take().unwrap_or_else(|| new_work(route, &delivery.arrival.topic));
        work.event.renew(delivery.arrival, spans, burst.wall);
        work.lane = None;
        if !self.lanes.is_idle() {
            let ready = Ready { route: at, ack: delivery.ack, burst: *burst };
            work.lane = work.lane();
            match self.lanes.admit(work.lane, Waiting { ready, work }) {
                Some(admitted) => work = admitted.work,
                None => return,
            }
        }
        self.start(at, delivery.ack, burst, work, cut);
    }

    /// Makes the first attempt on the spot, and sets up a ladder for whatever does not end there.
    #[inline(always)]
    fn start(&mut self, at: usize, ack: Ack, burst: &Burst, mut work: Box<Work>, cut: Arc<Cut>) {
        let ready = || Ready { route: at, ack, burst: *burst };
        let route = &self.routes[at];
        if let Some(limit) = route.timeout {
            work.cx.set_deadline(deadline(limit));
        }
        if !route.age.is_off() {
            let (age, too_old) = route.age.look(&work.event, burst.at);
            if let Some(age) = age {
                route.metrics.publish_to_handle.observe(age, 1);
            }
            if too_old {
                self.climb(ready(), cut, Entry::Expired(work));
                return;
            }
        }
        if route.execution == Execution::Spawn {
            self.spawn(ready(), work, cut);
            return;
        }
        if route.dedup.is_some() {
            self.climb(ready(), cut, Entry::Check(work));
            return;
        }
        let sampled = self.inline.is_multiple_of(SAMPLE_EVERY).then(Instant::now);
        self.inline += 1;
        // No waker: a future that waits is polled again, with one, as soon as its ladder is set up.
        match self.slot.attempt(work, &mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(Attempted { result: Ok(()), mut work }) => {
                if let Some(started) = sampled {
                    route.metrics.duration.observe(started.elapsed(), 1);
                }
                if work.cx.is_outbox_empty() {
                    work.cx.reuse();
                    self.keep(at, work, cut);
                    self.tally.finished(at, Outcome::Handled);
                    self.done.push(ack);
                } else {
                    self.emit(ready(), work, cut);
                }
            }
            Poll::Ready(attempted) => self.climb(ready(), cut, Entry::Ended(attempted)),
            Poll::Pending => {
                let slot = mem::replace(&mut self.slot, Slot::empty());
                self.climb(ready(), cut, Entry::Running(slot));
            }
        }
    }

    /// What an event worked on is there for the next one of its route.
    #[inline(always)]
    fn keep(&mut self, route: usize, work: Box<Work>, cut: Arc<Cut>) {
        let spare = &mut self.spare[route];
        if spare.is_none() {
            // Nothing is forgotten: the compiler would look once more whether there is something to drop.
            mem::forget(spare.replace((work, cut)));
        }
    }

    /// Hands the records of an attempt that ended on the spot to their sinks, and with them the event. As long as the
    /// sinks have room, that takes no ladder.
    fn emit(&mut self, ready: Ready, mut work: Box<Work>, cut: Arc<Cut>) {
        let route = &self.routes[ready.route];
        self.tally.announce(ready.route, route);
        self.tally.handed_over(ready.route);
        work.cx.take_emitted_into(&mut self.emitted);
        let Burst { at, wall } = ready.burst;
        fill_in(route, &work.event, wall, &mut self.emitted);
        let origin = &mut self.origins[ready.route];
        origin.take_if(|origin| (origin.received, origin.received_wall) != (at, wall));
        let origin = origin.get_or_insert_with(|| Origin::new(Arc::clone(route), Arc::clone(&self.link), at, wall));
        let (ack, attempts) = (ready.ack, work.cx.attempt());
        let mut debt = || Debt { origin: Arc::clone(origin), ack, event: work.take_event(), attempts };
        let waiting = match self.emitted.len() {
            1 => hand_in(route, at, &mut self.emitted, || Ticket::only(debt())),
            several => {
                let shared = Shared::of_sinks(several, debt());
                hand_in(route, at, &mut self.emitted, || Ticket::Shared(Arc::clone(&shared)))
            }
        };
        if waiting.is_empty() {
            work.cx.reuse();
            self.keep(ready.route, work, cut);
            return;
        }
        let lane = work.lane.or_else(|| waiting.first().and_then(|(_, item)| route.lane(item.event())));
        cut.hand_over();
        let climb = self.new_climb(ready, lane, cut);
        self.lanes.occupy(lane);
        self.ladders.push(Box::pin(climb.run(Entry::Full(waiting))));
    }

    fn new_climb(&mut self, ready: Ready, lane: Option<LaneKey>, cut: Arc<Cut>) -> Climb {
        let route = &self.routes[ready.route];
        self.tally.announce(ready.route, route);
        let watched = self.stall.begin(route, cut, ready.burst.at);
        Climb {
            watched,
            route: Arc::clone(route),
            ack: ready.ack,
            received: ready.burst.at,
            received_wall: ready.burst.wall,
            lane,
            link: Arc::clone(&self.link),
        }
    }

    fn climb(&mut self, ready: Ready, cut: Arc<Cut>, entry: Entry) {
        let waits = matches!(entry, Entry::Running(_));
        let lane = match &entry {
            Entry::Ended(Attempted { work, .. }) | Entry::Check(work) | Entry::Expired(work) => work.lane(),
            Entry::Running(_) | Entry::Again(_) | Entry::Full(_) => cut.lane(),
        };
        let mut ladder = Box::pin(self.new_climb(ready, lane, cut).run(entry));
        if !waits && let Poll::Ready(climbed) = ladder.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            match climbed.step {
                Step::Resting(rest) => {
                    self.lanes.occupy(lane);
                    self.rest(climbed.climb, rest);
                }
                step => self.settle(&climbed.climb, &step),
            }
            return;
        }
        self.lanes.occupy(lane);
        self.ladders.push(ladder);
    }

    fn spawn(&mut self, ready: Ready, work: Box<Work>, cut: Arc<Cut>) {
        let lane = work.lane();
        let climb = self.new_climb(ready, lane, cut);
        let entry = match climb.route.dedup {
            Some(_) => Entry::Check(work),
            None => Entry::Running(Slot::new(work)),
        };
        self.lanes.occupy(lane);
        self.spawn_ladder(climb, entry);
    }

    fn spawn_ladder(&mut self, climb: Climb, entry: Entry) {
        let task = AbortOnDropHandle::new(tokio::spawn(climb.clone().run(entry)));
        self.ladders.push(Box::pin(async move {
            task.await.unwrap_or(Climbed { climb, step: Step::Finished(Outcome::Abandoned), placed: true })
        }));
    }

    /// A ladder has come to its end, or to a rest. At its end its lane is free for the next of its key.
    fn climbed(&mut self, climbed: Climbed) {
        let Climbed { climb, step, placed } = climbed;
        match step {
            Step::Resting(rest) => self.rest(climb, rest),
            Step::Rested(rest) => self.rested.push_back((climb, rest)),
            step => {
                match placed {
                    true => self.lanes.release(climb.lane),
                    false => self.lanes.release_resting(climb.lane),
                }
                self.settle(&climb, &step);
            }
        }
    }

    /// An event that is to be tried again later gives its place to others.
    fn rest(&mut self, climb: Climb, rest: Box<Rest>) {
        self.lanes.rest();
        self.ladders.push(Box::pin(climb.rest(rest)));
    }

    /// Begins the next attempts that are due, as far as there are places.
    fn try_again(&mut self) {
        while !self.rested.is_empty() && self.lanes.resume() {
            let Some((climb, rest)) = self.rested.pop_front() else { return };
            self.known_waiting = self.known_waiting.saturating_sub(1);
            self.stall.set_waiting(climb.received, climb.watched, false);
            if self.link.is_stale(climb.ack) {
                self.lanes.release(climb.lane);
                self.settle(&climb, &Step::Finished(Outcome::Abandoned));
            } else if climb.route.execution == Execution::Spawn {
                self.spawn_ladder(climb, Entry::Again(rest));
            } else {
                self.ladders.push(Box::pin(climb.run(Entry::Again(rest))));
            }
        }
        for (climb, _) in self.rested.iter().skip(self.known_waiting) {
            self.stall.set_waiting(climb.received, climb.watched, true);
        }
        self.known_waiting = self.rested.len();
    }

    fn settle(&mut self, climb: &Climb, step: &Step) {
        self.stall.end(climb.received, climb.watched);
        match step {
            Step::Finished(outcome) => self.finished(climb, *outcome),
            Step::InSinks(None) => {}
            // It may be written by now.
            Step::InSinks(Some(ticket)) => match ticket.take_over() {
                Some(outcome) => self.finished(climb, outcome),
                None => self.tally.handed_over(usize::from(climb.route.id)),
            },
            Step::Resting(_) | Step::Rested(_) => debug_assert!(false, "it goes on"),
        }
    }

    fn finished(&mut self, climb: &Climb, outcome: Outcome) {
        // An event whose session ended while it was handled comes again: it counts as what the broker sees.
        let stale = self.link.is_stale(climb.ack);
        let outcome = if stale { Outcome::Abandoned } else { outcome };
        climb.route.metrics.age.observe(climb.received.elapsed(), 1);
        self.tally.finished_alone(usize::from(climb.route.id), outcome);
        if stale || outcome != Outcome::Abandoned {
            self.done.push(climb.ack);
        }
    }

    fn start_waiting(&mut self) {
        while let Some((_, waiting)) = self.lanes.next() {
            if self.link.is_stale(waiting.ready.ack) {
                self.tally.finished_alone(waiting.ready.route, Outcome::Abandoned);
                self.done.push(waiting.ready.ack);
            } else if is_expired(&waiting.work.event, waiting.ready.burst.at) {
                let cut = Arc::clone(&waiting.work.cut);
                self.climb(waiting.ready, cut, Entry::Expired(waiting.work));
            } else {
                let Ready { route, ack, burst } = waiting.ready;
                let cut = Arc::clone(&waiting.work.cut);
                self.start(route, ack, &burst, waiting.work, cut);
                self.tally.end_late(route, burst.at, &self.routes[route]);
            }
        }
    }

    fn not_matched(&mut self, delivery: &Delivery) {
        if self.metrics.unmatched() {
            warn!(
                instance = &*self.metrics.instance,
                topic = delivery.arrival.topic.as_str(),
                "no route matches this event; it is acknowledged and dropped (further ones are only counted)"
            );
        }
        self.done.push(delivery.ack);
    }

    /// Tells the session and the metrics what has happened since the last time.
    fn report(&mut self) {
        self.origins.fill(None);
        self.link.finish(&mut self.done);
        self.tally.flush(&self.routes, &self.metrics);
        self.metrics.set_busy(self.lanes.running(), self.lanes.queued(), self.stall.oldest());
    }

    /// Counts everything that is left as abandoned; nothing of it is acknowledged (G10).
    fn abandon(mut self, inbound: &mut Inbound) {
        self.link.take_inbound(inbound);
        self.tally.dropped(inbound.dropped);
        for delivery in inbound.bursts.drain(..).flat_map(|(_, deliveries)| deliveries) {
            let mut spans = SmallVec::new();
            match self.router.route(delivery.arrival.topic.as_str(), &mut spans) {
                Some(id) => self.tally.received(usize::from(id.0)),
                None => {
                    self.metrics.unmatched();
                }
            }
        }
        self.ladders.clear();
        self.rested.clear();
        self.stall.clear();
        self.tally.abandon_open();
        self.tally.flush(&self.routes, &self.metrics);
        self.metrics.set_busy(0, 0, None);
    }
}
