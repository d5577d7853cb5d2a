//! What is checked where the log speaks of the wire: acknowledgements (G1, G2, G3), and events that come twice (G7).

use super::{Checker, Delivery, Session};
use crate::log::{EventId, SessionId};

impl Checker<'_> {
    pub(super) fn began(&mut self, session: SessionId, client: &str) {
        self.sessions.insert(session, Session { client: client.to_owned(), over: false, owed: Default::default() });
        let instance = self.instances.entry(client.to_owned()).or_default();
        instance.sessions += 1;
        if instance.sessions > 1 && !self.rules.cuts {
            self.violation(format!("{client} connected again although nobody cut its connection"));
        }
    }

    pub(super) fn over(&mut self, session: SessionId) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        session.over = true;
        let left: Vec<usize> = session.owed.iter().map(|(_, delivery)| *delivery).collect();
        for delivery in left {
            // What still runs counts until it returns.
            if !self.is_running(delivery) {
                self.close(delivery);
            }
        }
    }

    pub(super) fn delivered(&mut self, session: SessionId, pkid: u16, event: EventId, dup: bool) {
        let number = self.deliveries.len();
        let Some(on) = self.sessions.get_mut(&session) else {
            return self.violation(format!("event {event} came over session {session}, which never began"));
        };
        let client = on.client.clone();
        let again = self.deliveries.iter().any(|other| other.event == event);
        if pkid != 0 {
            on.owed.push_back((pkid, number));
        }
        let wrong_qos = (pkid != 0) != self.rules.acks;
        self.instances.entry(client.clone()).or_default().latest.insert(event, number);
        self.deliveries.push(Delivery {
            event,
            client,
            session,
            acked: false,
            attempts: Vec::new(),
            buried: false,
            open: false,
        });
        if wrong_qos {
            self.violation(format!("event {event} came at the wrong QoS"));
        }
        if (dup || again) && !self.rules.cuts {
            self.violation(format!("G7: event {event} came twice although nobody cut a connection"));
        }
    }

    pub(super) fn acked(&mut self, session: SessionId, pkid: u16) {
        let Some(on) = self.sessions.get_mut(&session) else {
            return self.violation(format!("G3: PUBACK {pkid} on session {session}, which never began"));
        };
        let over = on.over;
        let Some(place) = on.owed.iter().position(|(other, _)| *other == pkid) else {
            return self.violation(format!("G3: PUBACK {pkid} on session {session} is for no event of that session"));
        };
        let Some((_, delivery)) = on.owed.remove(place) else { return };
        if over {
            self.violation(format!("G3: PUBACK {pkid} on session {session} comes after its end"));
        }
        if place != 0 {
            self.violation(format!("G2: PUBACK {pkid} on session {session} overtakes {place} other(s)"));
        }
        if self.outcome(delivery).is_none() {
            let event = self.deliveries[delivery].event;
            let text = format!("G1: event {event} is acknowledged and neither handled with all its records nor buried");
            self.violation(text);
        }
        self.deliveries[delivery].acked = true;
        self.close(delivery);
    }
}
