//! Bytes that no client should send.

use proptest::prelude::*;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::{Version, v5};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_v5_client_is_told_what_it_did_wrong() {
    use v5::DisconnectReasonCode as Reason;
    let broker = broker().await;
    let wrong: [(&str, &[u8], Reason); 16] = [
        ("packet type 0", &[0, 0], Reason::MalformedPacket),
        ("QoS 3", &[0x36, 7, 0, 1, b'a', 0, 1, 0, b'x'], Reason::MalformedPacket),
        ("DUP at QoS 0", &[0x38, 5, 0, 1, b'a', 0, b'x'], Reason::MalformedPacket),
        ("flags of PUBACK", &[0x41, 2, 0, 1], Reason::MalformedPacket),
        ("flags of SUBSCRIBE", &[0x80, 7, 0, 1, 0, 0, 1, b'a', 0], Reason::MalformedPacket),
        ("length of five bytes", &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], Reason::MalformedPacket),
        ("cut short inside", &[0x30, 3, 0, 9, b'a'], Reason::MalformedPacket),
        ("properties cut short", &[0x30, 4, 0, 1, b'a', 5], Reason::MalformedPacket),
        ("identifier 0", &[0x32, 7, 0, 1, b'a', 0, 0, 0, b'x'], Reason::MalformedPacket),
        ("topic with a wildcard", &[0x30, 5, 0, 1, b'#', 0, b'x'], Reason::TopicNameInvalid),
        ("topic that is not UTF-8", &[0x30, 5, 0, 1, 0xFF, 0, b'x'], Reason::TopicNameInvalid),
        ("no topic and no alias", &[0x30, 4, 0, 0, 0, b'x'], Reason::ProtocolError),
        ("SUBSCRIBE to nothing", &[0x82, 3, 0, 1, 0], Reason::MalformedPacket),
        ("UNSUBSCRIBE from nothing", &[0xA2, 3, 0, 1, 0], Reason::ProtocolError),
        ("a packet of servers", &[0xD0, 0], Reason::ProtocolError),
        ("AUTH", &[0xF0, 0], Reason::ProtocolError),
    ];
    for (what, bytes, reason) in wrong {
        let mut client = clean(&broker, "c").await;
        client.send_raw(bytes).await;
        assert_eq!(client.expect_disconnect().await, reason, "{what}");
        client.expect_closed().await;
    }
    let mut client = clean(&broker, "c").await;
    let again = ConnectOptions::new("c");
    client.send(v5::Packet::Connect(again.connect, None, None)).await;
    assert_eq!(client.expect_disconnect().await, Reason::ProtocolError, "a second CONNECT");
}

#[tokio::test(start_paused = true)]
async fn what_stands_before_the_wrong_packet_counts() {
    let broker = broker().await;
    let mut subscriber = subscriber(&broker, "s", "a").await;
    let mut client = clean(&broker, "c").await;
    client.send_raw(&[0x30, 5, 0, 1, b'a', 0, b'x', 0, 0]).await;
    client.expect_disconnect().await;
    assert_eq!(text(&subscriber.expect_publish().await), "x");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_may_leave_out_all_that_is_optional() {
    let broker = broker().await;
    for goodbye in [&[0xE0, 0][..], &[0xE0, 1, 0], &[0xE0, 2, 0, 0]] {
        let mut client = client(&broker, ConnectOptions::new("c").will("will", "gone", 0)).await;
        client.send_raw(goodbye).await;
        client.expect_closed().await;
    }
    assert_eq!(broker.stats().published, 0, "no will was published");
}

#[tokio::test(start_paused = true)]
async fn first_packets_that_are_no_connect_are_refused() {
    let broker = broker().await;
    // An unknown level of MQTT is answered in the words of MQTT 5, an ancient one in those of 3.1.1.
    let answered: [(&[u8], &[u8]); 2] = [
        (&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 6, 2, 0, 0, 0, 0, 0], &[0x20, 3, 0, 0x84, 0]),
        (&[0x10, 14, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 0, 0, 0], &[0x20, 2, 0, 1]),
    ];
    for (bytes, answer) in answered {
        let mut stream = broker.connect();
        let mut got = Vec::new();
        tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.unwrap();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut got).await.unwrap();
        assert_eq!(got, answer);
    }
    let silent: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xC0, 0],
        &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 3, 0, 0, 0, 0, 0],
        &[0x30, 5, 0, 1, b'a', 0, b'x'],
    ];
    for bytes in silent {
        let mut client = RawClient::new(broker.connect());
        client.send_raw(bytes).await;
        client.expect_closed().await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Packets with a few bytes replaced, so that they get past the first checks.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop::sample::select(vec![
        vec![0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 0],
        vec![0x32, 15, 0, 1, b'a', 0, 1, 8, 0x26, 0, 1, b'k', 0, 2, b'v', b'v', b'x'],
        vec![0x34, 10, 0, 1, b'a', 0, 1, 3, 0x23, 0, 1, b'x'],
        vec![0x82, 9, 0, 1, 2, 0x0B, 5, 0, 1, b'a', 1],
        vec![0xA2, 6, 0, 1, 0, 0, 1, b'a'],
        vec![0x40, 4, 0, 1, 0, 0],
        vec![0x62, 2, 0, 1],
        vec![0xE0, 7, 0, 5, 0x11, 0, 0, 0, 9],
    ]);
    (whole, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)).prop_map(|(mut bytes, bends)| {
        for (at, byte) in bends {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn no_bytes_stop_the_broker_from_serving_others(
        bytes in prop_oneof![
            prop::collection::vec(bent(), 1..6).prop_map(|packets| packets.concat()),
            prop::collection::vec(any::<u8>(), 0..200),
        ],
        version in prop::sample::select(vec![None, Some(Version::V4), Some(Version::V5)]),
    ) {
        runtime().block_on(async {
            let broker = broker().await;
            let mut bystander = subscriber(&broker, "bystander", "well/#").await;
            let mut attacker = RawClient::with_version(broker.connect(), version.unwrap_or(Version::V5));
            if version.is_some() {
                attacker.connect(ConnectOptions::new("attacker")).await;
            }
            attacker.try_send_raw(&bytes).await;
            let mut publisher = clean(&broker, "publisher").await;
            publisher.publish_acked("well/known", "x").await;
            assert_eq!(text(&bystander.expect_publish().await), "x");
            attacker.cut();
            until(|| broker.stats().connections == 2).await;
        });
    }
}
