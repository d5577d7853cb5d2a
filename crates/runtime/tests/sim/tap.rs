//! Reads along on a wire and writes what arrives into the log; and, where a mutation says so, stands in for a session that
//! is broken in a certain way, so that the broker sees what it would see from such a build.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tidemill_testkit::fault::{Onward, Tap, Way};

use crate::log::{Log, SessionId, What};

/// A way in which a session could be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    None,
    /// Events are acknowledged as soon as they come.
    AckBeforeHandle,
    /// What a lost connection left unacknowledged is acknowledged on the next one.
    AckAcrossEpochs,
    /// A member that is to leave goes at once.
    LeaveWithoutDrain,
}

/// Unacknowledged packet identifiers of lost connections, by client.
pub(crate) type Leftovers = Arc<Mutex<HashMap<Arc<str>, Vec<u16>>>>;

pub(crate) struct WireTap {
    log: Log,
    session: SessionId,
    client: Arc<str>,
    mutation: Mutation,
    owed: VecDeque<u16>,
    leftovers: Leftovers,
}

impl WireTap {
    pub(crate) fn new(log: &Log, mutation: Mutation, leftovers: &Leftovers) -> Self {
        Self {
            log: log.clone(),
            session: log.next_session(),
            client: "".into(),
            mutation,
            owed: VecDeque::new(),
            leftovers: Arc::clone(leftovers),
        }
    }

    fn acked(&mut self, pkid: u16) {
        self.owed.retain(|other| *other != pkid);
        self.log.add(What::Acked { session: self.session, pkid });
    }

    fn ack(&mut self, pkid: u16, onward: &mut Onward<'_>) {
        self.acked(pkid);
        let [high, low] = pkid.to_be_bytes();
        onward.pass(Way::Up, &[0x40, 2, high, low]);
    }

    fn delivered(&mut self, packet: &[u8]) -> u16 {
        let (topic, pkid) = publish(packet);
        let Some(event) = topic.rsplit('/').next().and_then(|text| text.parse().ok()) else {
            self.log.wrong(format!("an event of nobody's came on {topic}"));
            return 0;
        };
        if pkid != 0 {
            self.owed.push_back(pkid);
        }
        self.log.add(What::Delivered { session: self.session, pkid, event, dup: packet[0] & 0x08 != 0 });
        pkid
    }
}

impl Drop for WireTap {
    fn drop(&mut self) {
        if self.mutation == Mutation::AckAcrossEpochs && !self.owed.is_empty() {
            self.leftovers.lock().unwrap().insert(Arc::clone(&self.client), self.owed.drain(..).collect());
        }
    }
}

impl Tap for WireTap {
    fn packet(&mut self, way: Way, packet: &[u8], onward: &mut Onward<'_>) {
        match (way, packet[0] >> 4) {
            (Way::Up, 1) => {
                self.client = connect(packet);
                self.log.add(What::Began { session: self.session, client: Arc::clone(&self.client) });
            }
            (Way::Down, 2) if self.mutation == Mutation::AckAcrossEpochs => {
                let left = self.leftovers.lock().unwrap().remove(&self.client);
                left.into_iter().flatten().for_each(|pkid| self.ack(pkid, onward));
            }
            (Way::Down, 3) => {
                let pkid = self.delivered(packet);
                if pkid != 0 && self.mutation == Mutation::AckBeforeHandle {
                    self.ack(pkid, onward);
                }
            }
            (Way::Up, 4) if self.mutation == Mutation::AckBeforeHandle => return,
            (Way::Up, 4) => self.acked(u16::from_be_bytes([packet[2], packet[3]])),
            (Way::Up, 10) if self.mutation == Mutation::LeaveWithoutDrain => {
                onward.pass(Way::Up, &[0xE0, 0]);
                onward.close();
                return;
            }
            _ => {}
        }
        onward.pass(way, packet);
    }
}

/// A variable byte integer, and where it ends.
fn varint(bytes: &[u8]) -> (usize, usize) {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return (value, at + 1);
        }
    }
    (value, bytes.len())
}

fn text(bytes: &[u8]) -> &str {
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    std::str::from_utf8(&bytes[2..2 + length]).unwrap()
}

/// Topic and packet identifier of a PUBLISH.
fn publish(packet: &[u8]) -> (&str, u16) {
    let body = &packet[1 + varint(&packet[1..]).1..];
    let topic = text(body);
    let pkid = match packet[0] & 0x06 {
        0 => 0,
        _ => u16::from_be_bytes([body[2 + topic.len()], body[3 + topic.len()]]),
    };
    (topic, pkid)
}

/// Client identifier of a CONNECT.
fn connect(packet: &[u8]) -> Arc<str> {
    let body = &packet[1 + varint(&packet[1..]).1..];
    let mut rest = &body[10..];
    // MQTT 5 has properties in front of it.
    if body[6] == 5 {
        let (length, ends) = varint(rest);
        rest = &rest[ends + length..];
    }
    text(rest).into()
}
