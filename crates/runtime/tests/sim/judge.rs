//! The guarantees, checked against the log of a run and against what the broker saw.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tidemill_core::QoS;
use tidemill_testkit::broker::ack_order_violations;

use crate::log::{AttemptId, EventId, SessionId, What, WorkerId};
use crate::oracle::{self, Fates, Place};
use crate::replica::{DRAIN, Ended};
use crate::scenario::Scenario;
use crate::world::{Published, Seen, World};

/// What a run that went well was like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) published: usize,
    pub(crate) handed_out_again: u32,
    pub(crate) lost: usize,
    pub(crate) lost_connections: u32,
}

/// Violations to show at most.
const SHOWN: usize = 12;

pub(crate) fn judge(world: &World, ended: &[Ended]) -> Result<Record, String> {
    let scenario = &world.scenario;
    let (published, seen, log) = (world.published(), world.seen(), world.log.take());
    let fates = oracle::replay(scenario, &published, &seen);
    let mut judge =
        Judge { scenario, events: &published, violations: fates.violations.clone(), ..Judge::new(scenario) };
    judge.read(&log);
    judge.order_of_acks(&seen);
    judge.fates(&fates);
    judge.ends(ended, fates.lost_connections);
    if !judge.violations.is_empty() {
        let count = judge.violations.len();
        judge.violations.truncate(SHOWN);
        return Err(format!("{count} violation(s):\n  {}", judge.violations.join("\n  ")));
    }
    let lost = |place: &&Place| matches!(place, Place::Unclaimed | Place::LostWithMember);
    Ok(Record {
        published: published.len(),
        handed_out_again: fates.handed_out.iter().map(|times| times.saturating_sub(1)).sum(),
        lost: fates.places.iter().filter(lost).count(),
        lost_connections: fates.lost_connections,
    })
}

/// One event's life in one attempt.
#[derive(Debug)]
struct Attempt {
    worker: WorkerId,
    instance: Arc<str>,
    started: usize,
    /// When it counts as done: it returned `Ok`, and its record is written.
    done: Option<usize>,
    waits_for_record: bool,
    ok: bool,
}

struct Session {
    client: Arc<str>,
    /// Unacknowledged: packet identifier, event, place in the log.
    owed: VecDeque<(u16, EventId, usize)>,
}

struct Judge<'a> {
    scenario: &'a Scenario,
    events: &'a [Published],
    violations: Vec<String>,
    sessions: HashMap<SessionId, Session>,
    attempts: HashMap<AttemptId, Attempt>,
    by_event: HashMap<EventId, Vec<AttemptId>>,
    /// Places in the log.
    buried: HashMap<EventId, Vec<usize>>,
    delivered_events: u64,
    /// First attempts by event.
    first_attempts: HashMap<EventId, u32>,
}

impl<'a> Judge<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            events: &[],
            violations: Vec::new(),
            sessions: HashMap::new(),
            attempts: HashMap::new(),
            by_event: HashMap::new(),
            buried: HashMap::new(),
            delivered_events: 0,
            first_attempts: HashMap::new(),
        }
    }

    fn wrong(&mut self, text: String) {
        self.violations.push(text);
    }

    fn read(&mut self, log: &[What]) {
        let mut order = Order { events: self.events, came: HashMap::new() };
        for (at, line) in log.iter().enumerate() {
            match line {
                What::Wrong(text) => self.wrong(text.clone()),
                What::Began { session, client } => {
                    let known = Session { client: Arc::clone(client), owed: VecDeque::new() };
                    self.sessions.insert(*session, known);
                }
                What::Delivered { session, pkid, event, dup } => {
                    self.delivered(at, *session, *pkid, *event, *dup);
                    if let Some(session) = self.sessions.get(session) {
                        order.delivered(&session.client, *event);
                    }
                }
                What::Acked { session, pkid } => self.acked(at, *session, *pkid),
                What::Started { attempt, worker, instance, event, number } => {
                    if *number == 1 {
                        *self.first_attempts.entry(*event).or_default() += 1;
                        if let Err(text) = order.started(instance, *event) {
                            self.wrong(text);
                        }
                    }
                    self.by_event.entry(*event).or_default().push(*attempt);
                    let known = Attempt {
                        worker: *worker,
                        instance: Arc::clone(instance),
                        started: at,
                        done: None,
                        waits_for_record: false,
                        ok: false,
                    };
                    self.attempts.insert(*attempt, known);
                }
                What::Returned { attempt, ok, emitted } => {
                    if let Some(attempt) = self.attempts.get_mut(attempt) {
                        attempt.ok = *ok;
                        attempt.waits_for_record = *emitted;
                        attempt.done = (*ok && !emitted).then_some(at);
                    }
                }
                What::Written { attempt } => match self.attempts.get_mut(attempt) {
                    Some(attempt) if attempt.ok && attempt.waits_for_record => {
                        attempt.done.get_or_insert(at);
                    }
                    _ => self.wrong(format!("a record of attempt {attempt} is written, which emitted none")),
                },
                What::Buried { event, .. } => self.buried.entry(*event).or_default().push(at),
            }
        }
    }

    fn delivered(&mut self, at: usize, session: SessionId, pkid: u16, event: EventId, dup: bool) {
        self.delivered_events += 1;
        let Some(known) = self.sessions.get_mut(&session) else {
            return self.wrong(format!("event {event} came before CONNECT"));
        };
        if pkid != 0 {
            known.owed.push_back((pkid, event, at));
        }
        if dup && self.scenario.calm && !self.scenario.comes_back() {
            self.wrong(format!("G7: event {event} came with DUP although nothing was lost"));
        }
    }

    /// G1, G2, G3.
    fn acked(&mut self, at: usize, session: SessionId, pkid: u16) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return self.wrong(format!("an acknowledgement of {pkid} came before CONNECT"));
        };
        let client = Arc::clone(&known.client);
        let Some(place) = known.owed.iter().position(|(owed, ..)| *owed == pkid) else {
            return self.wrong(format!("G3: {client} acknowledges {pkid}, which came on no event of this session"));
        };
        let (_, event, since) = known.owed.remove(place).unwrap_or_default();
        if place > 0 {
            self.wrong(format!("G2: {client} acknowledges event {event} before {place} earlier one(s)"));
        }
        let attempts = self.by_event.get(&event).map_or(&[][..], Vec::as_slice);
        let handled = attempts.iter().filter_map(|attempt| self.attempts.get(attempt)).any(|attempt| {
            attempt.instance == client && attempt.started > since && attempt.done.is_some_and(|done| done < at)
        });
        let buried = self.buried.get(&event).is_some_and(|buried| buried.iter().any(|place| *place > since));
        if !handled && !buried {
            self.wrong(format!("G1: {client} acknowledges event {event}, which is neither handled nor dead-lettered"));
        }
    }

    /// G2 again, as the broker sees it.
    fn order_of_acks(&mut self, seen: &[Seen]) {
        let lives = seen.split(|entry| matches!(entry, Seen::Restarted));
        for life in lives {
            let lines: Vec<_> = life
                .iter()
                .filter_map(|entry| match entry {
                    Seen::Line(line) => Some(line.clone()),
                    Seen::Restarted => None,
                })
                .collect();
            for violation in ack_order_violations(&lines) {
                self.wrong(format!("G2: the broker saw out of order: {violation:?}"));
            }
        }
    }

    /// No loss but with an excuse, and no more repetitions than losses of connections allow.
    fn fates(&mut self, fates: &Fates) {
        let scenario = self.scenario;
        for (event, place) in fates.places.iter().enumerate() {
            let id = EventId::try_from(event).unwrap_or_default();
            let reliable = self.events[event].qos.min(scenario.qos) == QoS::AtLeastOnce;
            let done = self.buried.contains_key(&id)
                || self.by_event.get(&id).is_some_and(|all| {
                    all.iter().filter_map(|attempt| self.attempts.get(attempt)).any(|attempt| attempt.done.is_some())
                });
            // A durable member keeps its place; only what is at QoS 0 does not wait for it.
            let may_be_unclaimed = if scenario.durable { !reliable } else { !scenario.calm };
            let wrong = match place {
                Place::Nowhere => Some("never reached the broker"),
                Place::Waits | Place::Held if reliable => Some("is still there at the end"),
                Place::Acked if !done && (reliable || (scenario.calm && !scenario.comes_back())) => {
                    Some("is acknowledged and was not handled")
                }
                Place::Unclaimed if !may_be_unclaimed => Some("was lost in a group that had no members"),
                Place::LostWithMember if scenario.calm => Some("was lost with a member although none was lost"),
                _ => None,
            };
            if let Some(wrong) = wrong {
                self.wrong(format!("G1: event {id} {wrong} ({place:?})"));
            }
            if scenario.calm && fates.handed_out[event] > 1 && !scenario.comes_back() {
                self.wrong(format!("G7: event {id} was handed out {} times", fates.handed_out[event]));
            }
        }
        if scenario.calm && fates.lost_connections > 0 {
            self.wrong(format!("G7: {} connection(s) were lost although none was cut", fates.lost_connections));
        }
        let repeated: u32 = self.first_attempts.values().map(|times| times - 1).sum();
        if scenario.calm && repeated > 0 {
            self.wrong(format!("G7: {repeated} events were handled again although nothing was lost"));
        }
        let allowed = fates.lost_connections * u32::from(scenario.window);
        if repeated > allowed && !scenario.exceeds_window() {
            let lost = fates.lost_connections;
            self.wrong(format!("G8: {repeated} events were repeated after {lost} lost connections, {allowed} allowed"));
        }
        if fates.most_held > usize::from(scenario.window) && !scenario.exceeds_window() {
            self.wrong(format!("a member held {} events", fates.most_held));
        }
    }

    /// G9 and G10.
    fn ends(&mut self, ended: &[Ended], lost_connections: u32) {
        let mut received = 0;
        for Ended { worker, result, took } in ended {
            let summary = match result {
                Ok(summary) => *summary,
                Err(error) => {
                    let error = tidemill_core::report(error);
                    self.wrong(format!("worker {worker} ended badly after {took:?}: {error}"));
                    continue;
                }
            };
            if *took > DRAIN + std::time::Duration::from_secs(10) {
                self.wrong(format!("G10: worker {worker} took {took:?} to leave"));
            }
            let finished = summary.handled + summary.dead_lettered + summary.dropped + summary.abandoned;
            if summary.received != finished {
                self.wrong(format!("G9: worker {worker}: {summary:?}"));
            }
            let done = self.attempts.values().filter(|attempt| attempt.worker == *worker && attempt.done.is_some());
            if summary.handled > done.count() as u64 {
                self.wrong(format!("G9: worker {worker} counts more than it handled: {summary:?}"));
            }
            if lost_connections == 0 && (summary.abandoned > 0 || summary.dropped > 0) {
                self.wrong(format!("G7: worker {worker} gave events up although nothing was lost: {summary:?}"));
            }
            received += summary.received;
        }
        let all_read = !self.scenario.comes_back();
        if self.scenario.calm && (received > self.delivered_events || (all_read && received < self.delivered_events)) {
            let delivered = self.delivered_events;
            self.wrong(format!("G9: {delivered} events were delivered and {received} counted"));
        }
    }
}

/// G4: in an instance, events of a key are handled in the order in which they came.
struct Order<'a> {
    events: &'a [Published],
    /// By instance and key: what came and is not behind what was started last, over all sessions.
    came: HashMap<(Arc<str>, u32), VecDeque<EventId>>,
}

impl Order<'_> {
    fn lane(&mut self, instance: &Arc<str>, event: EventId) -> &mut VecDeque<EventId> {
        let key = self.events[event as usize].key;
        self.came.entry((Arc::clone(instance), key)).or_default()
    }

    fn delivered(&mut self, instance: &Arc<str>, event: EventId) {
        self.lane(instance, event).push_back(event);
    }

    fn started(&mut self, instance: &Arc<str>, event: EventId) -> Result<(), String> {
        let lane = self.lane(instance, event);
        // What is skipped was given up with its session.
        match lane.iter().position(|other| *other == event) {
            Some(at) => drop(lane.drain(..=at)),
            None => return Err(format!("G4: {instance} starts event {event} out of order")),
        }
        Ok(())
    }
}

impl Record {
    pub(crate) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.handed_out_again += other.handed_out_again;
        self.lost += other.lost;
        self.lost_connections += other.lost_connections;
    }
}
