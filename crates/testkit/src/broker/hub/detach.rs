//! A connection ends, and perhaps its session with it: what it held unacknowledged finds its way back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Hub, Who};
use crate::broker::conn::Close;
use crate::broker::message::{GroupId, Message, SessionId};
use crate::broker::session::NEVER;
use crate::broker::timers::{Due, Timer};
use crate::broker::trace::What;
use crate::broker::window::{InFlight, Origin};

impl Hub {
    /// Ends a session's connection. Does nothing when the session has another one by now.
    ///
    /// Unacknowledged events of groups go back to their groups at once, also when the session lives on; the broker MAY
    /// do so at the loss of the connection `[MQTT-4.8.2-5]`, and it is what loses the least time.
    pub(in crate::broker) fn detach(&mut self, who: Who, why: Close, now: Instant) {
        self.detach_one(who, why, now);
        self.settle(None, now);
    }

    /// The same, without handing on what came back: for when more connections end at the same time.
    pub(super) fn detach_one(&mut self, who: Who, why: Close, now: Instant) {
        let Some(session) = self.attached(who) else { return };
        session.online = None;
        let lost = session.drop_outbox();
        let groups = session.groups.clone();
        if why == Close::Client(0) {
            session.will = None;
        }
        self.ledger.counters.dropped += lost;
        if let Some(session) = self.sessions.get(&who.session) {
            self.ledger.trace.record(&session.client, || What::Disconnected { why });
        }
        for group in groups {
            if let Some(group) = self.groups.get_mut(&group) {
                group.member_offline(who.session);
            }
        }
        if self.config.quirks.redeliver_on_member_loss
            && let Some(session) = self.sessions.get_mut(&who.session)
        {
            let held = session.window.take_shared();
            let waiting = session.take_pushed();
            self.return_to_groups(held, waiting, now);
        }
        self.after_connection(who.session, now);
    }

    /// Gives what a member held unacknowledged, and what waited for it alone, to its groups.
    fn return_to_groups(&mut self, held: Vec<InFlight>, waiting: Vec<(GroupId, Arc<Message>)>, now: Instant) {
        for InFlight { delivery, origin, .. } in held {
            let (id, seq) = match origin {
                Origin::Plain => continue,
                Origin::Group { group, seq } => (group, seq),
                Origin::Pushed { group } => {
                    self.push_to_member(group, &delivery.message, now);
                    continue;
                }
            };
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.in_flight -= 1;
            group.put_back(seq, delivery.message, delivery.dup);
            if group.has_members() {
                self.touch_group(id);
            } else {
                self.settle_group(id);
            }
        }
        for (group, message) in waiting {
            self.push_to_member(group, &message, now);
        }
    }

    /// Ends the session, or sees to it that it ends in time.
    fn after_connection(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (expiry, life) = (session.expiry, session.life);
        if expiry == 0 {
            return self.end_session(id, now);
        }
        if expiry != NEVER {
            self.set_timer(Due::SessionEnd, id, life, expiry, now);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match &session.will {
            Some(will) if will.delay > 0 => {
                let delay = will.delay;
                self.set_timer(Due::Will, id, life, delay, now);
            }
            Some(_) => {
                if let Some(will) = session.will.take() {
                    self.publish_will(&will, now);
                }
            }
            None => {}
        }
    }

    fn set_timer(&mut self, due: Due, session: SessionId, life: u64, seconds: u32, now: Instant) {
        let at = now + Duration::from_secs(seconds.into());
        self.timers.set(Timer { at, due, session, life });
        self.timer_set = true;
        let sessions = &self.sessions;
        let is_live = |timer: &Timer| sessions.get(&timer.session).is_some_and(|session| session.life == timer.life);
        self.timers.prune(4 * sessions.len() + 1024, is_live);
    }

    /// Ends a session without a connection: its subscriptions, queue and will with it.
    pub(super) fn end_session(&mut self, id: SessionId, now: Instant) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        self.clients.remove(&session.client);
        session.gate.open();
        for (text, subscribed) in std::mem::take(&mut session.subscriptions) {
            self.drop_subscription(id, &text, subscribed);
        }
        if self.config.quirks.redeliver_on_session_end {
            let (held, waiting) = (session.window.take_shared(), session.take_pushed());
            self.return_to_groups(held, waiting, now);
        }
        self.ledger.counters.dropped += session.queue.len() as u64;
        // What it held of groups and was not returned: only with a quirk.
        for entry in session.window.take_shared() {
            self.ledger.counters.dropped += 1;
            if let Origin::Group { group: id, .. } = entry.origin
                && let Some(group) = self.groups.get_mut(&id)
            {
                group.in_flight -= 1;
                if !group.has_members() {
                    self.settle_group(id);
                }
            }
        }
        self.ledger.counters.dropped += session.window.live() as u64;
        if let Some(will) = session.will.take() {
            self.publish_will(&will, now);
        }
    }
}
