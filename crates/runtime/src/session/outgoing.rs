//! Outgoing PUBLISHes of a connection: queued, numbered, sent within the server's Receive Maximum, kept until their
//! PUBACK, and sent again in order on the next session.
//!
//! INVARIANT (G11): no publication holds up the others for good. Some brokers answer one that they do not like by closing
//! the connection, without a word. One that was on its way when connections ended is sent alone after the second time,
//! which shows whose fault it is, and is given up after the fifth.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use tidemill_core::{Properties, Publication, QoS};
use tokio::sync::mpsc;

use super::codec;
use super::done::Done;
use super::reason::Reason;
use crate::config::MqttVersion;

/// Why a publication was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker answered with a failure.
    Refused(Reason),
    /// It is larger than the broker takes.
    TooLarge {
        /// Size of the packet.
        bytes: usize,
        /// What the broker announced.
        limit: u32,
    },
    /// It cannot be written as an MQTT packet; the text says which part.
    Invalid(&'static str),
    /// So many connections in a row have ended before the broker answered it, the last ones with nothing else on its way:
    /// some brokers close the connection over what they do not like. Whether the broker has it is not known.
    Unanswered {
        /// How many.
        connections: u32,
    },
    /// The connection has ended for good; whether the broker has the publication is not known.
    Closed,
}

impl PublishError {
    /// Whether the same publication may be taken later: the broker has answered that the client has used up its quota, or
    /// the connection has ended. Whoever publishes for an event tries these again and gives the others up.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Closed | Self::Refused(Reason::QUOTA_EXCEEDED))
    }

    /// Whether the reason is, or seems to be, what is in the publication, so that another one in its place may do.
    pub(crate) fn is_about_content(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Invalid(_) | Self::Unanswered { .. })
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "the broker refused the publication: {reason}"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "publication of {bytes} bytes exceeds the broker's limit of {limit}")
            }
            Self::Invalid(part) => {
                write!(f, "{part} of the publication is longer than 65535 bytes or contains the null character")
            }
            Self::Unanswered { connections } => {
                write!(f, "{connections} connections in a row ended before the broker answered the publication")
            }
            Self::Closed => f.write_str("the publishing connection is closed"),
        }
    }
}

impl std::error::Error for PublishError {}

/// What the broker says of a publication that it has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Nobody is subscribed to its topic, so that the broker has thrown it away. Only MQTT 5 brokers say so, not all do,
    /// and only at QoS 1.
    pub no_subscribers: bool,
}

/// A publication and who waits for it.
#[derive(Debug)]
pub(crate) struct Request {
    publication: Publication,
    done: Done,
    /// How many connections have ended while it was on its way.
    cut: u32,
}

impl Request {
    pub(crate) fn new(publication: Publication, done: Done) -> Self {
        Self { publication, done, cut: 0 }
    }

    fn is_suspect(&self) -> bool {
        self.cut >= SUSPECT
    }
}

/// One that so many connections have ended with is sent alone.
const SUSPECT: u32 = 2;
/// One that so many connections have ended with is given up. All but the first ones had nothing else on its way, and
/// the waits between them have grown to seconds: a broker that is merely restarted does not come here.
const GIVEN_UP: u32 = 5;

/// See the module's description. Lives as long as its connection, over all sessions.
#[derive(Debug)]
pub(crate) struct Outgoing {
    requests: Option<mpsc::Receiver<Request>>,
    /// Sent on this session and unacknowledged, by packet ID, each with its place in the order they were sent. The IDs are
    /// our own, so the hash need not be one that others cannot foresee.
    in_flight: HashMap<u16, (u64, Request), foldhash::fast::FixedState>,
    next_order: u64,
    /// From earlier sessions: to be sent before anything new.
    again: VecDeque<Request>,
    next_pkid: u16,
    limit: usize,
    max_packet_bytes: u32,
}

impl Outgoing {
    pub(crate) fn new(requests: Option<mpsc::Receiver<Request>>) -> Self {
        Self {
            requests,
            in_flight: HashMap::default(),
            next_order: 0,
            again: VecDeque::new(),
            next_pkid: 0,
            limit: 1,
            max_packet_bytes: u32::MAX,
        }
    }

    /// A new session has begun, with what the server grants.
    pub(crate) fn begin_session(&mut self, receive_maximum: u16, max_packet_bytes: u32) {
        self.limit = usize::from(receive_maximum.max(1));
        self.max_packet_bytes = max_packet_bytes;
        self.next_pkid = 0;
    }

    /// The session has ended: everything unacknowledged is sent again, in its order.
    pub(crate) fn end_session(&mut self) {
        let mut unacked: Vec<(u64, Request)> = self.in_flight.drain().map(|(_, sent)| sent).collect();
        unacked.sort_unstable_by_key(|(order, _)| *order);
        for (_, mut request) in unacked.into_iter().rev() {
            request.cut += 1;
            if request.cut < GIVEN_UP {
                self.again.push_front(request);
            } else {
                request.done.send(Err(PublishError::Unanswered { connections: request.cut }));
            }
        }
    }

    /// The connection has ended for good: whoever waits is told.
    pub(crate) fn close(&mut self) {
        self.end_session();
        if let Some(requests) = &mut self.requests {
            requests.close();
            while let Ok(request) = requests.try_recv() {
                self.again.push_back(request);
            }
        }
        for request in self.again.drain(..) {
            request.done.send(Err(PublishError::Closed));
        }
    }

    /// Whether there is nothing left to send or to wait for, as far as it has arrived here.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
            && self.again.is_empty()
            && self.requests.as_ref().is_none_or(mpsc::Receiver::is_empty)
    }

    /// Whether a request may be taken off the queue, whose bound is the bound of everything that waits.
    pub(crate) fn has_room(&self) -> bool {
        self.requests.is_some() && self.again.is_empty() && self.may_send()
    }

    /// Whether the next one may go out: within the limit, and alone if either is suspect.
    fn may_send(&self) -> bool {
        // A suspect one is the only one on its way.
        let only = if self.in_flight.len() == 1 { self.in_flight.values().next() } else { None };
        let alone = self.again.front().is_some_and(Request::is_suspect)
            || only.is_some_and(|(_, request)| request.is_suspect());
        self.in_flight.len() < if alone { 1 } else { self.limit }
    }

    /// Whether something waits for nothing but the write buffer.
    pub(crate) fn awaits_flush(&self) -> bool {
        !self.again.is_empty() && self.may_send()
    }

    /// Waits for the next request. Cancel-safe. Never ready when there is nobody left to ask.
    pub(crate) async fn next_request(&mut self) -> Request {
        if let Some(requests) = &mut self.requests {
            if let Some(request) = requests.recv().await {
                return request;
            }
            self.requests = None;
        }
        std::future::pending().await
    }

    /// A packet ID that no unacknowledged publication uses; for SUBSCRIBE and UNSUBSCRIBE too `[MQTT-2.2.1-3]`.
    pub(crate) fn free_pkid(&mut self) -> u16 {
        loop {
            self.next_pkid = self.next_pkid.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.next_pkid) {
                return self.next_pkid;
            }
        }
    }

    /// Writes what waits for room: publications of earlier sessions first, then new ones.
    pub(crate) fn pump(&mut self, version: MqttVersion, out: &mut BytesMut, first: Option<Request>) {
        /// Enough for one system call; the rest waits for the next turn of the session.
        const ENOUGH: usize = 256 * 1024;
        self.again.extend(first);
        while self.may_send() && out.len() < ENOUGH {
            let next = self.again.pop_front().or_else(|| self.requests.as_mut()?.try_recv().ok());
            let Some(request) = next else { break };
            self.write(version, out, request);
        }
    }

    fn write(&mut self, version: MqttVersion, out: &mut BytesMut, request: Request) {
        let pkid = if request.publication.qos == QoS::AtMostOnce { 0 } else { self.free_pkid() };
        if let Err(error) = write_publish(version, out, &request.publication, pkid, self.max_packet_bytes) {
            request.done.send(Err(error));
        } else if pkid == 0 {
            request.done.send(Ok(Receipt::default()));
        } else {
            self.in_flight.insert(pkid, (self.next_order, request));
            self.next_order += 1;
        }
    }

    /// Takes in a PUBACK. An unknown ID answers a publication of an earlier session and is ignored.
    pub(crate) fn acknowledged(&mut self, pkid: u16, reason: Reason) {
        if let Some((_, request)) = self.in_flight.remove(&pkid) {
            let receipt = Receipt { no_subscribers: reason == Reason::NO_MATCHING_SUBSCRIBERS };
            let result = if reason.is_failure() { Err(PublishError::Refused(reason)) } else { Ok(receipt) };
            request.done.send(result);
        }
    }
}

/// Writes a PUBLISH, at QoS 1 where it has a packet ID.
pub(super) fn write_publish(
    version: MqttVersion,
    out: &mut BytesMut,
    publication: &Publication,
    pkid: u16,
    limit: u32,
) -> Result<(), PublishError> {
    let at_least_once = pkid != 0;
    let start = out.len();
    if version == MqttVersion::V5
        && let Some(part) = publication.properties.as_deref().and_then(unwritable)
    {
        return Err(PublishError::Invalid(part));
    }
    let size = match version {
        MqttVersion::V5 => {
            let packet = v5::Publish {
                dup: false,
                qos: if at_least_once { rumqttc::v5::mqttbytes::QoS::AtLeastOnce } else { Default::default() },
                retain: publication.retain,
                topic: publication.topic.as_bytes().clone(),
                pkid,
                payload: publication.payload.clone(),
                properties: publication.properties.as_deref().map(v5_properties),
            };
            packet.write(out)
        }
        MqttVersion::V3_1_1 => {
            let qos = if at_least_once { rumqttc::QoS::AtLeastOnce } else { rumqttc::QoS::AtMostOnce };
            let mut packet = v4::Publish::from_bytes(publication.topic.as_str(), qos, publication.payload.clone());
            packet.pkid = pkid;
            packet.retain = publication.retain;
            return match packet.write(out) {
                Ok(_) => Ok(()),
                Err(_) => {
                    out.truncate(start);
                    Err(PublishError::TooLarge { bytes: publication.payload.len(), limit: 268_435_455 })
                }
            };
        }
    };
    let bytes = out.len() - start;
    match size {
        Ok(_) if bytes <= limit as usize => Ok(()),
        _ => {
            out.truncate(start);
            Err(PublishError::TooLarge { bytes, limit })
        }
    }
}

/// The part that does not fit into the two bytes of a length, which the codec would cut off, or that no broker takes
/// `[MQTT-1.5.4-2]`.
fn unwritable(from: &Properties) -> Option<&'static str> {
    let wrong = |text: &String| text.len() > usize::from(u16::MAX) || text.contains('\0');
    let user = from.user.iter().any(|(name, value)| wrong(name) || wrong(value));
    let correlation = from.correlation_data.as_ref().is_some_and(|data| data.len() > usize::from(u16::MAX));
    [
        (from.content_type.as_ref().is_some_and(wrong), "the content type"),
        (from.response_topic.as_ref().is_some_and(wrong), "the response topic"),
        (correlation, "the correlation data"),
        (user, "a user property"),
    ]
    .into_iter()
    .find_map(|(wrong, part)| wrong.then_some(part))
}

fn v5_properties(from: &Properties) -> v5::PublishProperties {
    v5::PublishProperties {
        payload_format_indicator: from.utf8_payload.then_some(1),
        message_expiry_interval: from.message_expiry.map(codec::whole_seconds),
        topic_alias: None,
        response_topic: from.response_topic.clone(),
        correlation_data: from.correlation_data.clone(),
        user_properties: from.user.clone(),
        subscription_identifiers: Vec::new(),
        content_type: from.content_type.clone(),
    }
}

#[cfg(test)]
mod tests;
