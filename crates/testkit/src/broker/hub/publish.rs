//! From a publisher to the queues, and what happens when they are full.

use std::sync::Arc;

use tidemill_core::QoS;
use tokio::time::Instant;

use super::Hub;
use crate::broker::config::{QueueFull, QueueLimits};
use crate::broker::gate::Gate;
use crate::broker::message::{Expiry, GroupId, Message, Pending, SessionId};
use crate::broker::routes::Terms;
use crate::broker::will::Will;

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
                self.queue_for_session(target.session, message, terms, now);
            }
        }
        reached
    }

    fn queue_for_group(&mut self, id: GroupId, message: &Arc<Message>, now: Instant) {
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

    fn queue_for_session(&mut self, id: SessionId, message: &Arc<Message>, terms: &Terms, now: Instant) {
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
        session.queue.push_back(Pending { message: Arc::clone(message), qos, retain, ids: terms.ids.clone() });
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
