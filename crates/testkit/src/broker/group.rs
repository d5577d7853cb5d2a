//! A sharing group: one queue that its members draw from, each as far as its window has room.
//!
//! Members with room stand in a ring and take turns, so equal members get about equal shares and a slow one gets less
//! rather than a backlog of its own. The invariant: while the queue is not empty, no member in the ring has room.
//! Events keep the number that they were queued with; what a lost member returns goes back to its old place.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::gate::Gate;
use super::ledger::Ledger;
use super::message::{GroupId, Ids, Message, Pending, SessionId};
use super::session::{Given, Grant, Session};
use super::window::Origin;

/// How many events a member takes in one turn when many wait.
const TURN: usize = 64;

#[derive(Debug)]
struct Member {
    grant: Grant,
    /// Stands in the ring.
    ready: bool,
}

#[derive(Debug)]
struct Returned {
    message: Arc<Message>,
    dup: bool,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: GroupId,
    /// Share name and filter.
    pub(super) key: (Box<str>, Box<str>),
    members: HashMap<SessionId, Member, foldhash::fast::RandomState>,
    ring: VecDeque<SessionId>,
    /// All members in the order in which they are given events, where they have no queue in common.
    rota: VecDeque<SessionId>,
    /// Came back from lost members. Their numbers are lower than those of all `fresh` ones.
    returned: BTreeMap<u64, Returned>,
    fresh: VecDeque<Arc<Message>>,
    /// The number of `fresh[0]`.
    first: u64,
    /// Members that have a connection.
    online: usize,
    /// Events that a member, or a former member, holds unacknowledged.
    pub(super) in_flight: usize,
    pub(super) gate: Gate,
    /// In the list of groups to serve at the end of this burst.
    pub(super) touched: bool,
}

impl Group {
    pub(super) fn new(id: GroupId, key: (Box<str>, Box<str>)) -> Self {
        Self {
            id,
            key,
            members: HashMap::default(),
            ring: VecDeque::new(),
            rota: VecDeque::new(),
            returned: BTreeMap::new(),
            fresh: VecDeque::new(),
            first: 0,
            online: 0,
            in_flight: 0,
            gate: Gate::default(),
            touched: false,
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.gate.events()
    }

    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    pub(super) fn has_online_members(&self) -> bool {
        self.online > 0
    }

    /// Adds a member, or changes its terms.
    pub(super) fn join(&mut self, session: SessionId, grant: Grant) {
        if let Some(member) = self.members.get_mut(&session) {
            member.grant = grant;
        } else {
            self.members.insert(session, Member { grant, ready: false });
            self.rota.push_back(session);
            self.member_online(session);
        }
    }

    /// Removes a member that may or may not have a connection.
    pub(super) fn leave(&mut self, session: SessionId, online: bool) {
        if online && self.members.contains_key(&session) {
            self.member_offline(session);
        }
        self.members.remove(&session);
        self.rota.retain(|other| *other != session);
    }

    pub(super) fn member_online(&mut self, session: SessionId) {
        self.online += 1;
        self.make_ready(session);
    }

    pub(super) fn member_offline(&mut self, session: SessionId) {
        self.online -= 1;
        if let Some(member) = self.members.get_mut(&session)
            && std::mem::take(&mut member.ready)
        {
            self.ring.retain(|other| *other != session);
        }
    }

    fn make_ready(&mut self, session: SessionId) {
        if let Some(member) = self.members.get_mut(&session)
            && !std::mem::replace(&mut member.ready, true)
        {
            self.ring.push_back(session);
        }
    }

    /// The next member in turn that `may` have an event, with its terms.
    pub(super) fn next_in_rota(&mut self, may: impl Fn(SessionId) -> bool) -> Option<(SessionId, Grant)> {
        let at = self.rota.iter().position(|session| may(*session))?;
        let session = self.rota.remove(at)?;
        self.rota.push_back(session);
        self.members.get(&session).map(|member| (session, member.grant))
    }

    pub(super) fn push(&mut self, message: Arc<Message>) {
        self.gate.add(message.size());
        self.fresh.push_back(message);
    }

    /// Puts an event that was handed out back to its place.
    pub(super) fn put_back(&mut self, seq: u64, message: Arc<Message>, dup: bool) {
        self.gate.add(message.size());
        self.returned.insert(seq, Returned { message, dup });
    }

    /// Takes the oldest event out.
    pub(super) fn pop(&mut self) -> Option<(u64, Arc<Message>, bool)> {
        let (seq, message, dup) = match self.returned.pop_first() {
            Some((seq, Returned { message, dup })) => (seq, message, dup),
            None => {
                let message = self.fresh.pop_front()?;
                self.first += 1;
                (self.first - 1, message, false)
            }
        };
        self.gate.remove(message.size());
        Some((seq, message, dup))
    }

    fn front(&self) -> Option<&Arc<Message>> {
        self.returned.first_key_value().map(|(_, returned)| &returned.message).or_else(|| self.fresh.front())
    }

    /// How many events each member of the ring may take in one turn. Rounded down: what is left over goes to whose turn
    /// is next, which is another one each time. Rounded up, the last of the ring would always get less.
    pub(super) fn share(&self) -> usize {
        (self.queued() / self.ring.len().max(1)).clamp(1, TURN)
    }

    /// Whose turn it is, if something waits.
    pub(super) fn next_turn(&mut self) -> Option<SessionId> {
        if self.queued() == 0 {
            return None;
        }
        let session = self.ring.pop_front()?;
        if let Some(member) = self.members.get_mut(&session) {
            member.ready = false;
        }
        Some(session)
    }

    /// Hands a member up to `most` events. The member stands in the ring afterwards if it has room left.
    pub(super) fn serve(&mut self, session: &mut Session, most: usize, ledger: &mut Ledger, now: Instant) -> usize {
        let Some(member) = self.members.get(&session.id) else { return 0 };
        let grant = member.grant;
        let mut served = 0;
        while let Some(front) = self.front() {
            let expired = front.expired(now);
            let qos = front.qos.min(grant.qos);
            if !expired && (served == most || !session.has_room(qos)) {
                break;
            }
            let Some((seq, message, dup)) = self.pop() else { break };
            if expired {
                ledger.counters.expired += 1;
                continue;
            }
            let retain = message.retain && grant.retain_as_published;
            let origin = Origin::Group { group: self.id, seq };
            let pending = Pending { message, qos, retain, ids: grant.id.into_iter().collect::<Ids>(), origin };
            if session.give(pending, dup, ledger, now) == Given::Unacknowledged {
                self.in_flight += 1;
            }
            served += 1;
        }
        if served == most || self.queued() == 0 {
            self.make_ready(session.id);
        }
        served
    }

    /// Drops all that waits; answers how many events.
    pub(super) fn clear(&mut self) -> u64 {
        let mut dropped = 0;
        while self.pop().is_some() {
            dropped += 1;
        }
        self.gate.open();
        dropped
    }
}
