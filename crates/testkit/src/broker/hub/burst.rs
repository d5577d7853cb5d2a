//! What one connection said in one read, applied in order under one lock.

use std::sync::Arc;

use tidemill_core::QoS;
use tokio::time::Instant;

use super::{Hub, Who};
use crate::broker::config::QueueFull;
use crate::broker::conn::{Close, Conn};
use crate::broker::inbound::Inbound;
use crate::broker::message::{Ack, Message, Outgoing, SessionId};
use crate::broker::trace::What;
use crate::wire::Version;

const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;
const NOT_AUTHORIZED: u8 = 0x87;
const PACKET_IDENTIFIER_NOT_FOUND: u8 = 0x92;
const PROTOCOL_ERROR: u8 = 0x82;
const MESSAGE_RATE_TOO_HIGH: u8 = 0x96;

/// Answers that may wait for a client which asks but does not read.
const UNREAD_ANSWERS: usize = 10_000;

impl Hub {
    /// Applies a burst and adds the acknowledgements that it calls for to `acks`.
    ///
    /// # Errors
    /// When the connection is to end; what stands before the cause in the burst has been applied.
    pub(in crate::broker) fn apply(
        &mut self,
        who: Who,
        burst: &mut Vec<Inbound>,
        acks: &mut Vec<Ack>,
        now: Instant,
    ) -> Result<(), Close> {
        let Some(session) = self.attached(who) else { return Err(Close::Lost) };
        // The connection looks into the outbox itself after this.
        session.signalled = true;
        let publishes_only = session.subscriptions.is_empty();
        let conn = session.online.as_ref().map(|online| Arc::clone(&online.conn));
        let result = burst.drain(..).try_for_each(|packet| self.apply_one(who.session, packet, acks, now));
        let may_wait = publishes_only && self.config.queue_full == QueueFull::BlockPublisher;
        let publisher: Option<&Arc<Conn>> = if may_wait { conn.as_ref() } else { None };
        self.settle(publisher, now);
        result
    }

    fn apply_one(&mut self, id: SessionId, packet: Inbound, acks: &mut Vec<Ack>, now: Instant) -> Result<(), Close> {
        match packet {
            Inbound::Publish { message, pkid } => self.apply_publish(id, &message, pkid, acks, now),
            Inbound::Puback { pkid } => self.acked(id, pkid),
            Inbound::Pubrel { pkid } => {
                let known = self.sessions.get_mut(&id).is_some_and(|session| session.receiving.remove(&pkid));
                acks.push(Ack::Pubcomp { pkid, reason: if known { 0 } else { PACKET_IDENTIFIER_NOT_FOUND } });
            }
            Inbound::Subscribe(subscribe) => self.subscribe(id, subscribe, now)?,
            Inbound::Unsubscribe { pkid, filters } => self.unsubscribe(id, pkid, &filters),
            Inbound::Ping => self.ping(id, now)?,
            Inbound::Disconnect { reason, expiry } => return Err(self.said_goodbye(id, reason, expiry)),
        }
        Ok(())
    }

    fn apply_publish(&mut self, id: SessionId, message: &Arc<Message>, pkid: u16, acks: &mut Vec<Ack>, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let qos = message.qos;
        self.ledger.trace.record(&session.client, || What::Published {
            topic: message.topic.as_str().to_owned(),
            pkid,
            qos,
        });
        if qos == QoS::ExactlyOnce && !session.receiving.insert(pkid) {
            // Sent again; it was routed the first time [MQTT-4.3.3-10].
            acks.push(Ack::Pubrec { pkid, reason: 0 });
            return;
        }
        let reason = if !self.config.access.may_publish(&message.topic) {
            session.receiving.remove(&pkid);
            self.ledger.counters.refused += 1;
            NOT_AUTHORIZED
        } else {
            self.ledger.counters.published += 1;
            if self.route(message, now) { 0 } else { NO_MATCHING_SUBSCRIBERS }
        };
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => acks.push(Ack::Puback { pkid, reason }),
            QoS::ExactlyOnce => acks.push(Ack::Pubrec { pkid, reason }),
        }
    }

    fn ping(&mut self, id: SessionId, now: Instant) -> Result<(), Close> {
        // Room that acknowledgements before the PINGREQ made is used before the answer to it.
        self.refill(id, now);
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        self.ledger.trace.record(&session.client, || What::Pinged);
        if session.answers >= UNREAD_ANSWERS {
            return Err(Close::Broker(MESSAGE_RATE_TOO_HIGH));
        }
        session.answer(Outgoing::PingResp);
        Ok(())
    }

    fn said_goodbye(&mut self, id: SessionId, reason: u8, expiry: Option<u32>) -> Close {
        let limit = self.config.max_session_expiry;
        if let (Some(session), Some(expiry)) = (self.sessions.get_mut(&id), expiry) {
            // A session that was to end with the connection cannot be prolonged [MQTT-3.14.2-2].
            if session.expiry == 0 && expiry != 0 {
                return Close::Broker(PROTOCOL_ERROR);
            }
            session.expiry = expiry.min(limit);
        }
        Close::Client(reason)
    }

    /// The version that a session's client speaks.
    pub(super) fn version(&self, id: SessionId) -> Version {
        self.sessions.get(&id).map_or(Version::V5, |session| session.version)
    }
}
