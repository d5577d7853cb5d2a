//! The publisher for real brokers: QoS 1, pre-encoded, at a rate or as fast as the broker confirms. A rate is an open
//! loop: each event is sent when it is due and carries that time, so that a publisher that is late counts as latency.

#![expect(clippy::disallowed_methods, reason = "paces real time, on a thread of its own")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and times of a short run")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Connect, Packet, PubAckReason, Publish};

use super::Error;

/// Unconfirmed events at most.
const IN_FLIGHT: u64 = 512;
/// Bytes of the payload, whatever the time is.
pub(super) const PAYLOAD: usize = 128;

/// A payload of always the same length.
pub(super) fn payload(sent_ns: u64) -> Vec<u8> {
    let mut text = format!("{{\"sent_ns\":{sent_ns:019},\"celsius\":21.5,\"pad\":\"");
    // JSON has no numbers that begin with a zero.
    if sent_ns == 0 {
        text = text.replace("0000000000000000000", "                  0");
    }
    let missing = PAYLOAD - text.len() - 2;
    text.push_str(&"x".repeat(missing));
    text.push_str("\"}");
    text.into_bytes()
}

/// A connected publisher.
#[derive(Debug)]
pub(super) struct Source {
    socket: TcpStream,
    input: BytesMut,
    next_id: u16,
    unconfirmed: u64,
}

impl Source {
    pub(super) fn connect(port: u16) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::new(format!("the publisher cannot connect: {error}"));
        let socket = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.set_read_timeout(Some(Duration::from_secs(20))).map_err(failed)?;
        let mut source = Self { socket, input: BytesMut::new(), next_id: 1, unconfirmed: 0 };
        let connect = Connect { keep_alive: 0, client_id: "peers-source".into(), clean_start: true, properties: None };
        let mut bytes = BytesMut::new();
        Packet::Connect(connect, None, None).write(&mut bytes, None).map_err(|error| Error::new(error.to_string()))?;
        source.send(&bytes)?;
        match source.packet()? {
            Packet::ConnAck(_) => Ok(source),
            other => Err(Error::new(format!("the broker answered CONNECT with {other:?}"))),
        }
    }

    /// Publishes one event; whether somebody is subscribed.
    pub(super) fn reaches_somebody(&mut self, topic: &str) -> Result<bool, Error> {
        let mut bytes = BytesMut::new();
        self.encode(topic, &mut bytes, 0)?;
        self.send(&bytes)?;
        Ok(self.confirmation()? != PubAckReason::NoMatchingSubscribers)
    }

    /// Publishes so many events and waits until all are confirmed.
    pub(super) fn publish(&mut self, topics: &[String], events: u64, rate: Option<f64>) -> Result<(), Error> {
        let began = Instant::now();
        let began_ns = now_ns();
        let mut sent = 0_u64;
        let mut bytes = BytesMut::new();
        while sent < events {
            let due = match rate {
                Some(rate) => ((began.elapsed().as_secs_f64() * rate) as u64 + 1).min(events),
                None => events,
            };
            if due == sent {
                let next = rate.map_or(0.0, |rate| sent as f64 / rate);
                thread::sleep(Duration::from_secs_f64(next).saturating_sub(began.elapsed()));
                continue;
            }
            bytes.clear();
            let room = IN_FLIGHT.saturating_sub(self.unconfirmed);
            for _ in 0..room.min(due - sent) {
                // 0: flat out a latency would say how long the queues are.
                let when = rate.map_or(0, |rate| began_ns + (sent as f64 / rate * 1e9) as u64);
                self.encode(&topics[sent as usize % topics.len()], &mut bytes, when)?;
                sent += 1;
            }
            self.send(&bytes)?;
            while self.unconfirmed > IN_FLIGHT / 2 || (room == 0 && self.unconfirmed > 0) {
                self.confirmation()?;
            }
        }
        while self.unconfirmed > 0 {
            self.confirmation()?;
        }
        Ok(())
    }

    fn encode(&mut self, topic: &str, bytes: &mut BytesMut, sent_ns: u64) -> Result<(), Error> {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload(sent_ns), None);
        publish.pkid = self.next_id;
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.unconfirmed += 1;
        publish.write(bytes).map_err(|error| Error::new(error.to_string()))?;
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.write_all(bytes).map_err(|error| Error::new(format!("the publisher lost the broker: {error}")))
    }

    fn confirmation(&mut self) -> Result<PubAckReason, Error> {
        match self.packet()? {
            Packet::PubAck(ack) => {
                self.unconfirmed -= 1;
                Ok(ack.reason)
            }
            other => Err(Error::new(format!("the broker sent {other:?} to the publisher"))),
        }
    }

    fn packet(&mut self) -> Result<Packet, Error> {
        loop {
            match Packet::read(&mut self.input, Some(1 << 20)) {
                Ok(packet) => return Ok(packet),
                Err(rumqttc::v5::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(Error::new(format!("the broker broke the protocol: {error}"))),
            }
            let mut chunk = [0; 16 * 1024];
            match self.socket.read(&mut chunk) {
                Ok(0) => return Err(Error::new("the broker closed the publisher's connection")),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::new(format!("the broker does not answer the publisher: {error}"))),
            }
        }
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_of_one_length() {
        for sent_ns in [0, now_ns()] {
            let payload = payload(sent_ns);
            assert_eq!(payload.len(), PAYLOAD);
            let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            assert_eq!(value["sent_ns"], sent_ns);
        }
    }
}
