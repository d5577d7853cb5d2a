//! Whether a log keeps the guarantees. The checker knows nothing of the worker: it follows each delivery from the wire
//! to its PUBACK, and says what must not have been.
//!
//! An attempt belongs to the latest delivery of its event to its instance: what came over a session that is over is not
//! begun any more once it has come again.

mod end;
mod tests;
mod wire;
mod work;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::log::{AttemptId, Ended, EventId, Line, SessionId, What};

/// What a log is held against.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The events must be acknowledged.
    pub(crate) acks: bool,
    /// The key of each event; `None` where no order is kept.
    pub(crate) keys: Option<Vec<u32>>,
    /// The topic of each published event.
    pub(crate) topics: Vec<String>,
    pub(crate) window: usize,
    /// Attempts of an instance at one time.
    pub(crate) places: usize,
    /// 0: no limit.
    pub(crate) max_attempts: u32,
    pub(crate) timeout: Option<Duration>,
    /// Connections were cut, so events may come again.
    pub(crate) cuts: bool,
    /// Every published event had to be finished.
    pub(crate) complete: bool,
}

/// How many deliveries came, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) delivered: u64,
    pub(crate) acked: u64,
    pub(crate) handled: u64,
    pub(crate) dead_lettered: u64,
}

#[derive(Debug)]
struct Delivery {
    event: EventId,
    client: String,
    session: SessionId,
    acked: bool,
    attempts: Vec<AttemptId>,
    buried: bool,
    /// Counts against the window: begun, and not over.
    open: bool,
}

#[derive(Debug)]
struct Attempt {
    delivery: usize,
    began: Duration,
    ended: Option<Ended>,
    written: HashSet<u32>,
    refused: HashSet<u32>,
}

#[derive(Debug)]
struct Session {
    client: String,
    over: bool,
    /// What is to be acknowledged, in order: packet identifier and delivery.
    owed: VecDeque<(u16, usize)>,
}

#[derive(Debug, Default)]
struct Instance {
    sessions: u32,
    /// The latest delivery of each event.
    latest: HashMap<EventId, usize>,
    running: usize,
    open: usize,
    /// By key: the attempt that runs, and the delivery that was begun last.
    lanes: HashMap<u32, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    running: Option<AttemptId>,
    last: Option<usize>,
}

/// Reads a log line by line.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    rules: &'a Rules,
    deliveries: Vec<Delivery>,
    attempts: HashMap<AttemptId, Attempt>,
    sessions: HashMap<SessionId, Session>,
    instances: HashMap<String, Instance>,
    violations: Vec<String>,
    at: Duration,
    line: usize,
}

/// The violations in a log, and what it counts to.
pub(crate) fn check(lines: &[Line], rules: &Rules) -> (Vec<String>, Counts) {
    let mut checker = Checker {
        rules,
        deliveries: Vec::new(),
        attempts: HashMap::new(),
        sessions: HashMap::new(),
        instances: HashMap::new(),
        violations: Vec::new(),
        at: Duration::ZERO,
        line: 0,
    };
    for (at, line) in lines.iter().enumerate() {
        checker.line = at;
        checker.at = line.at;
        checker.take(&line.what);
    }
    checker.end();
    (std::mem::take(&mut checker.violations), checker.counts())
}

impl Checker<'_> {
    fn violation(&mut self, text: impl AsRef<str>) {
        self.violations.push(format!("line {} at {:?}: {}", self.line, self.at, text.as_ref()));
    }

    fn take(&mut self, what: &What) {
        match what {
            What::Began { session, client } => self.began(*session, client),
            What::Over { session } => self.over(*session),
            What::Delivered { session, pkid, event, dup } => self.delivered(*session, *pkid, *event, *dup),
            What::Acked { session, pkid } => self.acked(*session, *pkid),
            What::Started { attempt, instance, event, number } => self.started(*attempt, instance, *event, *number),
            What::Returned { attempt, how } => self.returned(*attempt, *how),
            What::Written(effect) => self.written(*effect, false),
            What::Published(effect) => self.written(*effect, true),
            What::Refused(effect) => self.refused(*effect),
            What::Buried(letter) => self.buried(letter),
            What::Wrong(text) => self.violation(text),
        }
    }

    /// Whether a delivery is handled or dead-lettered, and how.
    fn outcome(&self, delivery: usize) -> Option<Outcome> {
        let delivery = &self.deliveries[delivery];
        let ok =
            delivery.attempts.iter().map(|attempt| &self.attempts[attempt]).find_map(|attempt| match attempt.ended {
                Some(Ended::Ok(effects)) => Some((attempt, effects)),
                _ => None,
            });
        match ok {
            Some((attempt, effects)) => {
                let all = (0..effects).all(|at| attempt.written.contains(&at) || attempt.refused.contains(&at));
                match (all, attempt.refused.is_empty(), delivery.buried) {
                    (true, true, _) => Some(Outcome::Handled),
                    (true, false, true) => Some(Outcome::DeadLettered),
                    _ => None,
                }
            }
            None => delivery.buried.then_some(Outcome::DeadLettered),
        }
    }

    /// A delivery no longer counts against the window.
    fn close(&mut self, delivery: usize) {
        let delivery = &mut self.deliveries[delivery];
        if std::mem::take(&mut delivery.open)
            && let Some(instance) = self.instances.get_mut(&delivery.client)
        {
            instance.open -= 1;
        }
    }

    fn is_running(&self, delivery: usize) -> bool {
        self.deliveries[delivery].attempts.iter().any(|attempt| self.attempts[attempt].ended.is_none())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Handled,
    DeadLettered,
}
