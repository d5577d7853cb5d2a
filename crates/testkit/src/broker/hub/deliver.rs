//! From queues to outboxes, whenever an event came in or room came free.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{Hub, Who};
use crate::broker::conn::Conn;
use crate::broker::message::{GroupId, Outgoing, SessionId};
use crate::broker::session::Session;
use crate::broker::window::Origin;

/// Events that a session draws from one of its groups before the next group has its turn.
const TURN: usize = 64;

impl Hub {
    /// Takes what a connection has to write. `false` when the session has another connection by now.
    pub(in crate::broker) fn take(&mut self, who: Who, into: &mut Vec<Outgoing>, now: Instant) -> bool {
        let Some(session) = self.attached(who) else { return false };
        session.take_outbox(into);
        if std::mem::take(&mut session.starved) {
            self.refill(who.session, now);
        }
        true
    }

    pub(super) fn attached(&mut self, who: Who) -> Option<&mut Session> {
        let session = self.sessions.get_mut(&who.session)?;
        let attached = session.online.as_ref().is_some_and(|online| online.conn.id == who.conn);
        attached.then_some(session)
    }

    /// Ends an event that the client acknowledged. The room it leaves is used at the end of the burst.
    pub(super) fn acked(&mut self, id: SessionId, pkid: u16) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let entry = session.window.ack(pkid);
        let known = entry.is_some();
        self.ledger.trace.record(&session.client, || crate::broker::trace::What::Acked { pkid, known });
        let Some(entry) = entry else { return };
        self.ledger.counters.acked += 1;
        if let Some(online) = &mut session.online
            && let Some(more) = online.overshoot
        {
            online.window += more;
        }
        self.touch_session(id);
        if let Origin::Group { group, .. } = entry.origin {
            self.release(group);
        }
    }

    /// An event of this group is over.
    fn release(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.in_flight -= 1;
            if !group.has_members() {
                self.settle_group(id);
            }
        }
    }

    pub(super) fn touch_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && !std::mem::replace(&mut session.touched, true)
        {
            self.touched_sessions.push(id);
        }
    }

    pub(super) fn touch_group(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(&id)
            && !std::mem::replace(&mut group.touched, true)
        {
            self.touched_groups.push(id);
        }
    }

    /// Serves all that changed in this burst. `publisher` is made to wait where a queue is still full.
    pub(super) fn settle(&mut self, publisher: Option<&Arc<Conn>>, now: Instant) {
        while let Some(id) = self.touched_sessions.pop() {
            self.refill(id, now);
            if let Some(session) = self.sessions.get_mut(&id) {
                session.touched = false;
                if let Some(publisher) = publisher
                    && session.gate.is_full(&self.config.session_queue)
                {
                    session.gate.wait(publisher);
                }
            }
        }
        while let Some(id) = self.touched_groups.pop() {
            self.distribute(id, now);
            if let Some(group) = self.groups.get_mut(&id) {
                group.touched = false;
                if let Some(publisher) = publisher
                    && group.gate.is_full(&self.config.group_queue)
                {
                    group.gate.wait(publisher);
                }
            }
        }
    }

    /// Gives a session what waits for it, as far as it has room: its own queue first, then its groups in turn.
    pub(super) fn refill(&mut self, id: SessionId, now: Instant) {
        let Self { sessions, groups, ledger, config, wakes, .. } = self;
        let Some(session) = sessions.get_mut(&id) else { return };
        if session.online.is_none() {
            return;
        }
        session.fill(ledger, now);
        session.gate.let_on(&config.session_queue);
        let count = session.groups.len();
        let mut more = count > 0;
        while more {
            more = false;
            for place in 0..count {
                let Some(group) = groups.get_mut(&session.groups[(session.turn + place) % count]) else { continue };
                more |= group.serve(session, TURN, ledger, now) == TURN && group.queued() > 0;
                group.gate.let_on(&config.group_queue);
            }
            session.turn = (session.turn + 1) % count;
        }
        signal(session, wakes);
    }

    /// Gives the members of a group what waits, in turn, as far as they have room.
    pub(super) fn distribute(&mut self, id: GroupId, now: Instant) {
        let Self { sessions, groups, ledger, config, wakes, .. } = self;
        let Some(group) = groups.get_mut(&id) else { return };
        let share = group.share();
        while let Some(member) = group.next_turn() {
            let Some(session) = sessions.get_mut(&member) else { continue };
            group.serve(session, share, ledger, now);
            signal(session, wakes);
        }
        group.gate.let_on(&config.group_queue);
    }
}

/// Has the connection woken, once, when it has something to write.
pub(super) fn signal(session: &mut Session, wakes: &mut SmallVec<[Arc<Conn>; 8]>) {
    if session.has_mail()
        && !session.signalled
        && let Some(online) = &session.online
    {
        session.signalled = true;
        wakes.push(Arc::clone(&online.conn));
    }
}
