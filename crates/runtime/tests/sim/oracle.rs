//! Where every event is, replayed from what the broker saw: waiting, in the hands of a member, acknowledged, or lost; and
//! whether a loss has an excuse.
//!
//! Excuses: nobody was in the group, or a member was lost whose events this broker does not hand on. That a member left in
//! good order is none.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tidemill_core::QoS;
use tidemill_testkit::broker::{Close, What};

use crate::log::EventId;
use crate::scenario::Scenario;
use crate::world::{Published, Seen};

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not seen by the broker.
    Nowhere,
    Waits,
    Held,
    Acked,
    /// The group had no members.
    Unclaimed,
    /// Its member was lost.
    LostWithMember,
}

/// What became of the events.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) places: Vec<Place>,
    /// How often each was handed out.
    pub(crate) handed_out: Vec<u32>,
    pub(crate) violations: Vec<String>,
    /// Connections of members, or of clients that held events, that ended without a DISCONNECT of the client's.
    pub(crate) lost_connections: u32,
    /// Most events that a lost connection held.
    pub(crate) most_held: usize,
    /// Whether the group was ever without members after the first one joined.
    pub(crate) deserted: bool,
}

#[derive(Default)]
struct Oracle<'a> {
    durable: bool,
    moves: bool,
    comes_back: bool,
    published: &'a [Published],
    fates: Fates,
    members: HashSet<Arc<str>>,
    connected: HashSet<Arc<str>>,
    held: HashMap<Arc<str>, BTreeMap<u16, EventId>>,
    someone_joined: bool,
}

/// Replays what the broker saw of events that were published like this.
pub(crate) fn replay(scenario: &Scenario, published: &[Published], seen: &[Seen]) -> Fates {
    let fates = Fates {
        places: vec![Place::Nowhere; published.len()],
        handed_out: vec![0; published.len()],
        ..Fates::default()
    };
    let mut oracle = Oracle {
        durable: scenario.durable,
        moves: scenario.moves,
        comes_back: scenario.comes_back(),
        published,
        fates,
        ..Oracle::default()
    };
    for entry in seen {
        match entry {
            Seen::Line(line) => oracle.line(&line.client, &line.what),
            Seen::Restarted => {
                for client in std::mem::take(&mut oracle.connected) {
                    oracle.disconnected(&client, Close::Lost);
                }
            }
        }
    }
    oracle.fates
}

fn event(topic: &str) -> Option<EventId> {
    topic.strip_prefix("t/")?.split('/').nth(1)?.parse().ok()
}

impl Oracle<'_> {
    fn wrong(&mut self, text: String) {
        self.fates.violations.push(text);
    }

    fn place(&mut self, event: EventId) -> &mut Place {
        &mut self.fates.places[event as usize]
    }

    fn line(&mut self, client: &Arc<str>, what: &What) {
        match what {
            What::Connected { .. } => drop(self.connected.insert(Arc::clone(client))),
            What::Disconnected { why } => self.disconnected(client, *why),
            What::Subscribed { code, .. } if *code < 0x80 => {
                self.members.insert(Arc::clone(client));
                self.someone_joined = true;
            }
            What::Unsubscribed { .. } => self.gave_up(client),
            What::Published { topic, .. } => {
                let Some(event) = event(topic) else { return };
                let nobody = self.members.is_empty()
                    || (self.published[event as usize].qos == QoS::AtMostOnce
                        && self.members.is_disjoint(&self.connected));
                *self.place(event) = if nobody { Place::Unclaimed } else { Place::Waits };
            }
            What::Sent { topic, pkid, .. } => {
                let Some(event) = event(topic) else { return };
                self.fates.handed_out[event as usize] += 1;
                let before = *self.place(event);
                let resent = before == Place::Held && self.held[client].get(pkid) == Some(&event);
                if before != Place::Waits && !resent {
                    self.wrong(format!("event {event} is handed to {client} while it is {before:?}"));
                }
                if *pkid == 0 {
                    *self.place(event) = Place::Acked;
                } else {
                    *self.place(event) = Place::Held;
                    self.held.entry(Arc::clone(client)).or_default().insert(*pkid, event);
                }
            }
            What::Acked { pkid, .. } => match self.held.entry(Arc::clone(client)).or_default().remove(pkid) {
                Some(event) => *self.place(event) = Place::Acked,
                None => self.wrong(format!("G3: {client} acknowledges {pkid}, which it does not hold")),
            },
            _ => {}
        }
    }

    fn gave_up(&mut self, client: &Arc<str>) {
        self.members.remove(client);
        self.clear_if_deserted();
    }

    fn clear_if_deserted(&mut self) {
        if !self.members.is_empty() {
            return;
        }
        self.fates.deserted |= self.someone_joined;
        for place in &mut self.fates.places {
            if *place == Place::Waits {
                *place = Place::Unclaimed;
            }
        }
    }

    fn disconnected(&mut self, client: &Arc<str>, why: Close) {
        self.connected.remove(client);
        if &**client == "publisher" {
            return;
        }
        let left = why == Close::Client(0);
        let held = self.held.get(client).map_or(0, BTreeMap::len);
        if left && held > 0 && !self.comes_back {
            self.wrong(format!("G7: {client} leaves with {held} events unacknowledged"));
        }
        if left && self.members.contains(client) && !self.comes_back {
            self.wrong(format!("G7: {client} leaves without giving up its subscription"));
        }
        // Whoever is told to leave before it has joined just goes.
        if !left && (held > 0 || self.members.contains(client)) {
            self.fates.lost_connections += 1;
            self.fates.most_held = self.fates.most_held.max(held);
        }
        // First what it held, then its membership: the broker gives the events back before it ends the session.
        if self.moves || !self.durable {
            let after = if self.moves { Place::Waits } else { Place::LostWithMember };
            for event in self.held.remove(client).unwrap_or_default().into_values() {
                *self.place(event) = after;
            }
        }
        if !self.durable {
            self.members.remove(client);
        }
        self.clear_if_deserted();
    }
}
