//! The feed against hand-written clients on a real socket. A PINGREQ is the barrier that shows that nothing more is
//! sent: its answer comes behind everything that the feed was allowed to send.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

use bytes::BytesMut;
use clap::Parser;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectProperties, Filter, Packet, PingReq, PubAck, Publish, Subscribe, Unsubscribe,
};

use super::*;
use crate::feed::FILTER;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: Load,
}

fn load(args: &[&str]) -> Load {
    Cli::parse_from(["feed"].iter().chain(args)).load
}

struct Client {
    socket: TcpStream,
    input: BytesMut,
    feed: JoinHandle<Result<Served, ServeError>>,
}

impl Client {
    /// Connects and subscribes to a new feed.
    fn of(load: &Load, receive_maximum: Option<u16>) -> Self {
        let feed = Feed::bind(load.clone(), Duration::from_secs(20)).unwrap();
        let addr = feed.addr().unwrap();
        let feed = std::thread::spawn(move || feed.serve(&AtomicBool::new(false)));
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self { socket, input: BytesMut::new(), feed };
        let properties = ConnectProperties { receive_maximum, ..ConnectProperties::new() };
        let connect = Connect { keep_alive: 0, client_id: "t".into(), clean_start: true, properties: Some(properties) };
        client.send(&Packet::Connect(connect, None, None));
        assert!(matches!(client.next(), Some(Packet::ConnAck(_))));
        let mut subscribe = Subscribe::new(Filter::new(format!("$share/g/{FILTER}"), QoS::AtLeastOnce), None);
        subscribe.pkid = 9;
        client.send(&Packet::Subscribe(subscribe));
        assert!(matches!(client.next(), Some(Packet::SubAck(ack)) if ack.pkid == 9));
        client
    }

    fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        self.socket.write_all(&bytes).unwrap();
    }

    fn ack(&mut self, ids: impl IntoIterator<Item = u16>) {
        let mut bytes = BytesMut::new();
        for id in ids {
            Packet::PubAck(PubAck::new(id, None)).write(&mut bytes, None).unwrap();
        }
        self.socket.write_all(&bytes).unwrap();
    }

    fn next(&mut self) -> Option<Packet> {
        let mut buffer = [0; 4096];
        loop {
            if let Ok(packet) = Packet::read(&mut self.input, None) {
                return Some(packet);
            }
            match self.socket.read(&mut buffer) {
                Ok(count) if count > 0 => self.input.extend_from_slice(&buffer[..count]),
                _ => return None,
            }
        }
    }

    fn event(&mut self) -> Publish {
        match self.next() {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("{other:?} instead of an event"),
        }
    }

    /// The events that the feed sends before it answers a ping.
    fn events_before_a_pong(&mut self) -> Vec<Publish> {
        self.send(&Packet::PingReq(PingReq));
        let mut events = Vec::new();
        loop {
            match self.next() {
                Some(Packet::Publish(publish)) => events.push(publish),
                Some(Packet::PingResp(_)) => return events,
                other => panic!("{other:?} instead of a pong"),
            }
        }
    }

    fn disconnect(mut self) -> Result<Served, ServeError> {
        self.socket.write_all(&[0xE0, 0]).unwrap();
        self.feed.join().unwrap()
    }
}

#[test]
fn a_client_that_never_acks_gets_exactly_its_receive_maximum() {
    let mut client = Client::of(&load(&["--events", "5000"]), Some(10));
    for id in 1..=10 {
        assert_eq!(client.event().pkid, id);
    }
    assert!(client.events_before_a_pong().is_empty());
    let result = client.disconnect();
    assert!(matches!(result, Err(ServeError::LeftEarly { sent: 10, acked: 0 })), "{result:?}");
}

#[test]
fn every_ack_makes_room_for_one_event() {
    let mut client = Client::of(&load(&["--events", "5000"]), Some(10));
    (0..10).for_each(|_| drop(client.event()));
    client.ack(1..=3);
    assert_eq!([client.event().pkid, client.event().pkid, client.event().pkid], [11, 12, 13]);
    assert!(client.events_before_a_pong().is_empty());
}

#[test]
fn without_a_receive_maximum_all_ids_may_be_in_flight() {
    let mut client = Client::of(&load(&["--events", "70000", "--payload", "1"]), None);
    (0..65_535).for_each(|_| drop(client.event()));
    assert!(client.events_before_a_pong().is_empty());
}

#[test]
fn events_have_the_payload_and_the_topics_of_the_load_in_turn() {
    let load = load(&["--events", "9", "--topics", "4", "--payload", "5"]);
    let mut client = Client::of(&load, Some(100));
    let names: Vec<String> = load.topic_names().collect();
    for at in 0..9 {
        let event = client.event();
        assert_eq!((&event.topic[..], &event.payload[..]), (names[at % 4].as_bytes(), &b"abcde"[..]));
        assert_eq!((event.qos, event.dup, event.retain), (QoS::AtLeastOnce, false, false));
    }
    client.ack(1..=9);
    let served = client.disconnect().unwrap();
    assert_eq!((served.sent, served.acked), (9, 9));
}

#[test]
fn acks_out_of_order_end_the_run() {
    let mut client = Client::of(&load(&["--events", "100"]), Some(10));
    (0..10).for_each(|_| drop(client.event()));
    client.ack([1, 2, 4, 3]);
    let result = client.feed.join().unwrap();
    let expected = AckViolation::Order { position: 2, expected: 3, got: 4 };
    assert!(matches!(&result, Err(ServeError::Ack(violation)) if *violation == expected), "{result:?}");
}

#[test]
fn an_ack_of_an_event_never_sent_ends_the_run() {
    let mut client = Client::of(&load(&["--events", "2"]), Some(10));
    (0..2).for_each(|_| drop(client.event()));
    client.ack([1, 2, 3]);
    let result = client.feed.join().unwrap();
    assert!(matches!(result, Err(ServeError::Ack(AckViolation::Unexpected { got: 3 }))), "{result:?}");
}

#[test]
fn leaving_before_the_last_ack_is_a_failure() {
    let mut client = Client::of(&load(&["--events", "2"]), Some(10));
    (0..2).for_each(|_| drop(client.event()));
    client.ack([1]);
    let result = client.disconnect();
    assert!(matches!(result, Err(ServeError::LeftEarly { sent: 2, acked: 1 })), "{result:?}");
}

#[test]
fn the_last_ack_may_come_together_with_the_disconnect() {
    let mut client = Client::of(&load(&["--events", "2"]), Some(10));
    (0..2).for_each(|_| drop(client.event()));
    client.socket.write_all(&[0x40, 2, 0, 1, 0x40, 2, 0, 2, 0xE0, 0]).unwrap();
    assert_eq!(client.feed.join().unwrap().unwrap().acked, 2);
}

#[test]
fn a_graceful_leave_is_answered() {
    let mut client = Client::of(&load(&["--events", "1"]), Some(10));
    client.event();
    client.ack([1]);
    let mut unsubscribe = Unsubscribe::new(format!("$share/g/{FILTER}"), None);
    unsubscribe.pkid = 3;
    client.send(&Packet::Unsubscribe(unsubscribe));
    assert!(matches!(client.next(), Some(Packet::UnsubAck(ack)) if ack.pkid == 3));
    assert!(client.events_before_a_pong().is_empty());
    assert_eq!(client.disconnect().unwrap().acked, 1);
}

#[test]
fn qos_0_is_not_bounded_and_not_acknowledged() {
    let mut client = Client::of(&load(&["--events", "20000", "--qos", "0"]), Some(10));
    for _ in 0..20_000 {
        let event = client.event();
        assert_eq!((event.qos, event.pkid), (QoS::AtMostOnce, 0));
    }
    let served = client.disconnect().unwrap();
    assert_eq!((served.sent, served.acked), (20_000, 0));
}

#[test]
fn a_feed_that_is_told_to_stop_stops() {
    let feed = Feed::bind(load(&[]), Duration::from_secs(20)).unwrap();
    assert!(matches!(feed.serve(&AtomicBool::new(true)), Err(ServeError::Stopped)));
}

#[test]
fn a_feed_without_a_client_gives_up() {
    let feed = Feed::bind(load(&[]), Duration::from_millis(100)).unwrap();
    assert!(matches!(feed.serve(&AtomicBool::new(false)), Err(ServeError::NoClient)));
}
