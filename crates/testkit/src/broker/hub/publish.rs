//! From a publisher to the queues, and what happens when they are full.

use std::sync::Arc;

use tidemill_core::QoS;
use tokio::time::Instant;

use super::Hub;
use crate::broker::config::{QueueFull, QueueLimits};
use crate::broker::gate::Gate;
use crate::broker::group::Group;
use crate::broker::message::{Expiry, GroupId, Message, Pending, SessionId};
use crate::broker::quirks::Distribution;
use crate::broker::routes::Terms;
use crate::broker::will::Will;
use crate::broker::window::Origin;

/// What to do with an event whose queue is full.
enum Full {
    Queue,
    MakeRoom,
    Drop,
}

impl Hub {
    /// Queues an event for everything that its topic reaches; `false` when that is nothing. The caller settles.
    pub(super) fn route(&mut self, message: &Arc<Message>, now: Instant) -> bool {
        if message.retain {
            self.retained.store(message, self.config.max_retained);
        }
        let route = self.routes.find(&message.topic);
        for group in &route.groups {
            self.queue_for_group(*group, message, now);
        }
        let mut reached = !route.groups.is_empty();
        for target in &route.plain {
            if let Some(terms) = target.terms(message.publisher) {
                reached = true;
                self.queue_for_session(target.session, message, terms, Origin::Plain, now);
            }
        }
        reached
    }

    /// Gives an event to the next member of a group, or drops it when no member may have it.
    pub(super) fn push_to_member(&mut self, id: GroupId, message: &Arc<Message>, now: Instant) {
        let Self { groups, sessions, config, ledger, .. } = self;
        let Some(group) = groups.get_mut(&id) else {
            ledger.counters.dropped += 1;
            return;
        };
        let is_online = |id: SessionId| sessions.get(&id).is_some_and(|session| session.online.is_some());
        let online = |group: &mut Group| group.next_in_rota(is_online);
        let chosen = match config.quirks.distribution {
            Distribution::GroupQueue | Distribution::Online => online(group),
            Distribution::OnlineFirst => online(group).or_else(|| group.next_in_rota(|_| true)),
            Distribution::Everyone => group.next_in_rota(|_| true),
        };
        let Some((member, grant)) = chosen else {
            ledger.counters.nobody += 1;
            return;
        };
        let terms = Terms {
            qos: grant.qos,
            retain_as_published: grant.retain_as_published,
            ids: grant.id.into_iter().collect(),
        };
        self.queue_for_session(member, message, &terms, Origin::Pushed { group: id }, now);
    }

    fn queue_for_group(&mut self, id: GroupId, message: &Arc<Message>, now: Instant) {
        if self.config.quirks.distribution != Distribution::GroupQueue {
            return self.push_to_member(id, message, now);
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        if message.qos == QoS::AtMostOnce && !group.has_online_members() {
            self.ledger.counters.nobody += 1;
            return;
        }
        if group.gate.is_full(&self.config.group_queue) {
            // What came before in this burst may not have been handed out yet.
            self.distribute(id, now);
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        match when_full(&group.gate, &self.config.group_queue, self.config.queue_full) {
            Full::Drop => {
                self.ledger.counters.dropped += 1;
                return;
            }
            Full::MakeRoom => self.ledger.counters.dropped += u64::from(group.pop().is_some()),
            Full::Queue => {}
        }
        group.push(Arc::clone(message));
        self.touch_group(id);
    }

    fn queue_for_session(
        &mut self,
        id: SessionId,
        message: &Arc<Message>,
        terms: &Terms,
        origin: Origin,
        now: Instant,
    ) {
        let qos = message.qos.min(terms.qos);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if qos == QoS::AtMostOnce && session.online.is_none() {
            self.ledger.counters.nobody += 1;
            return;
        }
        if session.gate.is_full(&self.config.session_queue) {
            self.refill(id, now);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match when_full(&session.gate, &self.config.session_queue, self.config.queue_full) {
            Full::Drop => {
                self.ledger.counters.dropped += 1;
                return;
            }
            Full::MakeRoom => {
                if let Some(oldest) = session.queue.pop_front() {
                    session.gate.remove(oldest.message.size());
                    self.ledger.counters.dropped += 1;
                }
            }
            Full::Queue => {}
        }
        session.gate.add(message.size());
        let retain = message.retain && terms.retain_as_published;
        let ids = terms.ids.clone();
        session.queue.push_back(Pending { message: Arc::clone(message), qos, retain, ids, origin });
        self.touch_session(id);
    }

    /// Publishes what a lost client left, and settles.
    pub(super) fn publish_will(&mut self, will: &Will, now: Instant) {
        let mut message = Arc::clone(&will.message);
        if let Some(Expiry { seconds, .. }) = message.expiry {
            // Its time starts now, not when the client connected.
            message = Arc::new(Message { expiry: Some(Expiry { seconds, since: now }), ..message.detached() });
        }
        self.ledger.counters.published += 1;
        self.route(&message, now);
        self.settle(None, now);
    }
}

fn when_full(gate: &Gate, limits: &QueueLimits, policy: QueueFull) -> Full {
    match policy {
        _ if !gate.is_full(limits) => Full::Queue,
        QueueFull::BlockPublisher if gate.is_overrun(limits) => Full::Drop,
        QueueFull::BlockPublisher => Full::Queue,
        QueueFull::DropOldest => Full::MakeRoom,
        QueueFull::DropNewest => Full::Drop,
    }
}
