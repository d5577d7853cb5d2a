//! The stall watch (G11): a window that stays full because its oldest event does not finish is seen, reported and
//! resolved. Every further `after` that an event stays the oldest one while the window is full is one rung:
//! report, cut the attempt, dead-letter the event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::cut::{Cut, Demand};
use super::route::RouteRuntime;

/// An event that is on its ladder.
#[derive(Debug)]
struct Active {
    route: Arc<RouteRuntime>,
    cut: Arc<Cut>,
    rung: u32,
    /// It waits for a place: those that have one hold it up, not the other way round.
    waiting: bool,
}

/// The events of an instance that are on their ladders, oldest first.
#[derive(Debug)]
pub(crate) struct StallWatch {
    after: Duration,
    /// By the time of receipt, then in the order they began to wait.
    active: BTreeMap<(Instant, u64), Active>,
    next: u64,
    /// The oldest event, and since when it is that. Time before does not count: a queue that moves, however slowly, is
    /// no stall.
    head: Option<((Instant, u64), Instant)>,
}

impl StallWatch {
    /// A watch that acts when the oldest event is older than `after`; zero switches it off.
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, active: BTreeMap::new(), next: 0, head: None }
    }

    /// An event that was received at `since` has begun to wait. Gives the number to [`end`](Self::end) it with.
    pub(crate) fn begin(&mut self, route: &Arc<RouteRuntime>, cut: Arc<Cut>, since: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.active.insert((since, number), Active { route: Arc::clone(route), cut, rung: 0, waiting: false });
        self.find_head();
        number
    }

    pub(crate) fn end(&mut self, since: Instant, number: u64) {
        self.active.remove(&(since, number));
        self.find_head();
    }

    /// Says whether an event waits for a place to be tried again.
    pub(crate) fn set_waiting(&mut self, since: Instant, number: u64, waiting: bool) {
        if let Some(active) = self.active.get_mut(&(since, number))
            && std::mem::replace(&mut active.waiting, waiting) != waiting
        {
            self.find_head();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
        self.head = None;
    }

    fn find_head(&mut self) {
        let oldest = self.active.iter().find(|(_, active)| !active.waiting).map(|(key, _)| *key);
        if oldest != self.head.map(|(key, _)| key) {
            self.head = oldest.map(|key| (key, Instant::now()));
        }
    }

    /// When the oldest event was received.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.active.keys().next().map(|(since, _)| *since)
    }

    /// When to look again; `None` while there is nothing to watch.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        if self.after.is_zero() {
            return None;
        }
        let (key, since) = self.head?;
        let rung = self.active.get(&key)?.rung;
        let now = Instant::now();
        let due = since + self.after * (rung + 1);
        // Not at once again when the window has room: then there is nothing to do yet.
        Some(due.max(now + self.after / 10))
    }

    /// Looks at the oldest event. `full`: the window has no room.
    pub(crate) fn look(&mut self, now: Instant, full: bool) {
        if self.after.is_zero() || !full {
            return;
        }
        let Some((key, since)) = self.head else { return };
        let Some(oldest) = self.active.get_mut(&key) else { return };
        let age = now.saturating_duration_since(since);
        if age < self.after * (oldest.rung + 1) {
            return;
        }
        oldest.rung += 1;
        let scope = &oldest.route.scope;
        let topic = oldest.cut.topic();
        let topic = topic.as_ref().map_or("", |topic| topic.as_str());
        let (demand, next) = match oldest.rung {
            _ if oldest.cut.is_handed_over() => (Demand::None, "its records wait for room in their sink"),
            1 => (Demand::None, "its attempt is cut next"),
            2 => (Demand::Cut, "its attempt is cut; it goes to the dead letters next"),
            _ => (Demand::Bury, "it goes to the dead letters"),
        };
        oldest.route.metrics.stalls.inc();
        warn!(
            route = &*scope.route,
            instance = &*scope.instance,
            topic,
            ?age,
            "the window is full and its oldest event does not finish: {next}"
        );
        oldest.cut.demand(demand);
    }
}
