//! A client's session: its subscriptions, what waits for it, what it holds unacknowledged, and what its connection
//! has yet to write. It outlives the connection for as long as its expiry says.
//!
//! Nothing is handed to the connection beyond the client's Receive Maximum, nor, at QoS 0, beyond the outbox.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;
use tidemill_core::QoS;
use tokio::time::Instant;

use super::conn::Conn;
use super::encode;
use super::gate::Gate;
use super::ledger::Ledger;
use super::message::{Delivery, GroupId, Message, Outgoing, Pending, SessionId};
use super::trace::What;
use super::will::Will;
use super::window::{InFlight, Origin, Window};
use crate::wire::Version;

/// QoS 0 events that wait to be written, in events and bytes; more stay in the queue.
const OUTBOX_EVENTS: usize = 1024;
const OUTBOX_BYTES: usize = 256 * 1024;

/// A session expiry that never comes.
pub(super) const NEVER: u32 = u32::MAX;

/// What a subscription grants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) qos: QoS,
    pub(super) id: Option<u32>,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
}

/// One subscription of a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subscribed {
    Plain,
    Group(GroupId),
}

/// The connection that the session has now, and what its client asked for.
#[derive(Debug)]
pub(super) struct Online {
    pub(super) conn: Arc<Conn>,
    /// Unacknowledged events at most.
    pub(super) window: usize,
    pub(super) max_packet: usize,
    /// See [`Quirks::overshoot_receive_maximum`](super::quirks::Quirks::overshoot_receive_maximum).
    pub(super) overshoot: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) client: Arc<str>,
    pub(super) version: Version,
    /// Seconds to live without a connection; 0 ends with it, [`NEVER`] does not end.
    pub(super) expiry: u32,
    pub(super) online: Option<Online>,
    pub(super) subscriptions: HashMap<Box<str>, Subscribed>,
    pub(super) groups: SmallVec<[GroupId; 4]>,
    /// Which of `groups` is asked first the next time.
    pub(super) turn: usize,
    pub(super) queue: VecDeque<Pending>,
    pub(super) gate: Gate,
    pub(super) window: Window,
    /// Kept events to send again, oldest first, before anything new.
    pub(super) resend: VecDeque<u16>,
    /// QoS 2 identifiers between PUBLISH and PUBREL.
    pub(super) receiving: HashSet<u16>,
    pub(super) will: Option<Will>,
    /// Counts connections, so that a timer of an earlier one does nothing.
    pub(super) life: u64,
    pub(super) outbox: Vec<Outgoing>,
    outbox_bytes: usize,
    /// Answers in the outbox that no window bounds.
    pub(super) answers: usize,
    /// An event was held back because the outbox was full.
    pub(super) starved: bool,
    /// The connection task was told to look into the outbox, or is about to.
    pub(super) signalled: bool,
    /// In the list of sessions to serve at the end of this burst.
    pub(super) touched: bool,
}

impl Session {
    pub(super) fn new(id: SessionId, client: Arc<str>, version: Version) -> Self {
        Self {
            id,
            client,
            version,
            expiry: 0,
            online: None,
            subscriptions: HashMap::new(),
            groups: SmallVec::new(),
            turn: 0,
            queue: VecDeque::new(),
            gate: Gate::default(),
            window: Window::new(),
            resend: VecDeque::new(),
            receiving: HashSet::new(),
            will: None,
            life: 0,
            outbox: Vec::new(),
            outbox_bytes: 0,
            answers: 0,
            starved: false,
            signalled: false,
            touched: false,
        }
    }

    /// Whether the client can be given one more event at this QoS.
    pub(super) fn has_room(&mut self, qos: QoS) -> bool {
        let Some(online) = &self.online else { return false };
        if qos == QoS::AtMostOnce {
            let room = self.outbox.len() < OUTBOX_EVENTS && self.outbox_bytes < OUTBOX_BYTES;
            self.starved |= !room;
            return room;
        }
        self.resend.is_empty() && self.window.sent() < online.window && self.window.next_pkid().is_some()
    }

    /// Hands an event to the connection. The caller has asked [`has_room`](Self::has_room).
    pub(super) fn give(&mut self, pending: Pending, dup: bool, ledger: &mut Ledger, now: Instant) -> Given {
        let Some(online) = &self.online else { return Given::Discarded };
        if online.max_packet < usize::MAX && encode::publish_len(self.version, &pending, now) > online.max_packet {
            // As if it had been sent and acknowledged [MQTT-3.1.2-25].
            ledger.counters.too_large += 1;
            return Given::Discarded;
        }
        let Pending { message, qos, retain, ids, origin } = pending;
        let mut delivery = Delivery { message, ids, pkid: 0, qos, dup, retain };
        let mut given = Given::Final;
        if qos != QoS::AtMostOnce {
            let Some(pkid) = self.window.next_pkid() else { return Given::Discarded };
            delivery.pkid = pkid;
            self.window.push(InFlight { delivery: delivery.clone(), origin, sent: true });
            given = Given::Unacknowledged;
        }
        ledger.delivered(self, &delivery, origin);
        self.post(delivery);
        given
    }

    fn post(&mut self, delivery: Delivery) {
        self.outbox_bytes += delivery.message.size();
        self.outbox.push(Outgoing::Publish(delivery));
    }

    /// Puts an answer behind the events that were handed out before it, so that a PINGRESP or UNSUBACK says: what
    /// was on its way is in front of me.
    pub(super) fn answer(&mut self, answer: Outgoing) {
        self.answers += 1;
        self.outbox.push(answer);
    }

    /// Hands the connection what waits in the session's own queue, as far as there is room.
    pub(super) fn fill(&mut self, ledger: &mut Ledger, now: Instant) {
        let Some(online) = &self.online else { return };
        while self.window.sent() < online.window {
            let Some(pkid) = self.resend.pop_front() else { break };
            // Acknowledged late, by the connection before this one, if it is not there.
            if let Some(delivery) = self.window.resend(pkid) {
                ledger.counters.redelivered += u64::from(delivery.dup);
                ledger.trace.record(&self.client, || What::sent(&delivery, false));
                self.outbox_bytes += delivery.message.size();
                self.outbox.push(Outgoing::Publish(delivery));
            }
        }
        while let Some(front) = self.queue.front() {
            let expired = front.message.expired(now);
            let qos = front.qos;
            if !expired && !self.has_room(qos) {
                break;
            }
            let Some(pending) = self.queue.pop_front() else { break };
            self.gate.remove(pending.message.size());
            if expired {
                ledger.counters.expired += 1;
            } else {
                self.give(pending, false, ledger, now);
            }
        }
    }

    /// Takes out of the queue what was given to this member of a group, oldest first.
    pub(super) fn take_pushed(&mut self) -> Vec<(GroupId, Arc<Message>)> {
        let mut pushed = Vec::new();
        for pending in std::mem::take(&mut self.queue) {
            match pending.origin {
                Origin::Pushed { group } => {
                    self.gate.remove(pending.message.size());
                    pushed.push((group, pending.message));
                }
                Origin::Plain | Origin::Group { .. } => self.queue.push_back(pending),
            }
        }
        pushed
    }

    /// Empties the outbox into `into`, which must be empty.
    pub(super) fn take_outbox(&mut self, into: &mut Vec<Outgoing>) {
        std::mem::swap(&mut self.outbox, into);
        self.outbox_bytes = 0;
        self.answers = 0;
        self.signalled = false;
    }

    /// Forgets what was not written yet; answers how many QoS 0 events are lost with it.
    pub(super) fn drop_outbox(&mut self) -> u64 {
        let unsent: HashSet<u16> = self.outbox.iter().filter_map(publish_pkid).collect();
        self.window.connection_lost(|pkid| unsent.contains(&pkid));
        let lost = self.outbox.drain(..).filter(|item| publish_pkid(item) == Some(0)).count();
        (self.outbox_bytes, self.answers, self.signalled, self.starved) = (0, 0, false, false);
        lost as u64
    }

    /// Whether the connection has something to write.
    pub(super) fn has_mail(&self) -> bool {
        !self.outbox.is_empty()
    }
}

fn publish_pkid(item: &Outgoing) -> Option<u16> {
    match item {
        Outgoing::Publish(delivery) => Some(delivery.pkid),
        Outgoing::SubAck { .. } | Outgoing::UnsubAck { .. } | Outgoing::PingResp => None,
    }
}

/// What became of an event that was handed to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// The client owes an acknowledgement.
    Unacknowledged,
    /// Nothing is owed.
    Final,
    /// The client cannot take it; it is over.
    Discarded,
}
