//! A client connects: its session is found or made, and an older connection of the same client gives way.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Hub, who};
use crate::broker::conn::{Close, Conn};
use crate::broker::session::{Online, Session};
use crate::broker::trace::What;
use crate::broker::will::Will;
use crate::wire::Version;

const SESSION_TAKEN_OVER: u8 = 0x8E;

/// What a CONNECT asks for, checked.
#[derive(Debug)]
pub(in crate::broker) struct Connecting {
    pub(in crate::broker) version: Version,
    /// Empty when the broker is to choose.
    pub(in crate::broker) client: String,
    pub(in crate::broker) clean_start: bool,
    pub(in crate::broker) expiry: u32,
    pub(in crate::broker) receive_maximum: u16,
    pub(in crate::broker) max_packet: usize,
    pub(in crate::broker) will: Option<Will>,
}

/// A connection that is attached to a session.
#[derive(Debug)]
pub(in crate::broker) struct Attached {
    pub(in crate::broker) who: super::Who,
    pub(in crate::broker) session_present: bool,
    pub(in crate::broker) client: Arc<str>,
    /// As granted.
    pub(in crate::broker) expiry: u32,
}

impl Hub {
    /// Attaches a connection; `None` when there are too many already.
    pub(in crate::broker) fn attach(
        &mut self,
        conn: &Arc<Conn>,
        request: Connecting,
        now: Instant,
    ) -> Option<Attached> {
        if self.closed || self.conns.len() > self.config.max_connections {
            return None;
        }
        let Connecting { version, client, clean_start, expiry, receive_maximum, max_packet, will } = request;
        let client: Arc<str> = if client.is_empty() { self.unused_client_id() } else { client.into() };
        if let Some(id) = self.clients.get(&client).copied() {
            self.take_over(id, clean_start, now);
        }
        let known = self.clients.get(&client).copied();
        let id = known.unwrap_or_else(|| self.new_session(&client, version));
        let quirks = &self.config.quirks;
        let wanted = if quirks.ignore_receive_maximum { u16::MAX } else { receive_maximum };
        let cap_v4 = quirks.inflight_cap_v4.filter(|_| version == Version::V4);
        let window = quirks.inflight_cap.into_iter().chain(cap_v4).fold(wanted, u16::min);
        let online = Online {
            conn: Arc::clone(conn),
            window: usize::from(window),
            max_packet,
            overshoot: quirks.overshoot_receive_maximum.then(|| usize::from(window.saturating_sub(1))),
        };
        let longest = if quirks.keeps_sessions { self.config.max_session_expiry } else { 0 };
        let expiry = expiry.min(longest);
        let session = self.sessions.get_mut(&id)?;
        session.version = version;
        session.life += 1;
        session.expiry = expiry;
        session.will = will;
        session.online = Some(online);
        session.resend = session.window.pkids().collect();
        // The connection looks into the outbox itself after this.
        session.signalled = true;
        let session_present = known.is_some();
        self.ledger.trace.record(&client, || What::Connected { session_present });
        for group in session.groups.clone() {
            if let Some(group) = self.groups.get_mut(&group) {
                group.member_online(id);
            }
            self.touch_group(group);
        }
        self.touch_session(id);
        self.settle(None, now);
        Some(Attached { who: super::Who { session: id, conn: conn.id }, session_present, client, expiry })
    }

    /// Ends the connection that the session has, and the session itself at a clean start.
    fn take_over(&mut self, id: u64, clean_start: bool, now: Instant) {
        if let Some(session) = self.sessions.get(&id)
            && let Some(online) = &session.online
            && let Some(old) = who(session)
        {
            online.conn.close(Close::Broker(SESSION_TAKEN_OVER));
            self.detach(old, Close::Broker(SESSION_TAKEN_OVER), now);
        }
        if clean_start {
            self.end_session(id, now);
        }
    }

    fn new_session(&mut self, client: &Arc<str>, version: Version) -> u64 {
        let id = self.next_id();
        self.clients.insert(Arc::clone(client), id);
        self.sessions.insert(id, Session::new(id, Arc::clone(client), version));
        id
    }

    fn unused_client_id(&mut self) -> Arc<str> {
        loop {
            let client: Arc<str> = format!("assigned-{}", self.next_id()).into();
            if !self.clients.contains_key(&client) {
                return client;
            }
        }
    }
}
