//! Tests of the faults: each one does to a stream what its name says, and nothing else.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::*;

#[tokio::test(start_paused = true)]
async fn bytes_travel_as_long_as_they_are_told_to_and_in_order() {
    let faults = Faults::new();
    let (far, mut broker) = tokio::io::duplex(1024);
    let (mut client, link) = faults.connect(far, None).unwrap();
    let start = Instant::now();
    link.delay(Duration::from_millis(30), Duration::ZERO);
    client.write_all(b"ab").await.unwrap();
    tokio::task::yield_now().await;
    link.delay(Duration::ZERO, Duration::ZERO);
    client.write_all(b"cd").await.unwrap();
    let mut bytes = [0; 4];
    broker.read_exact(&mut bytes).await.unwrap();
    assert_eq!((&bytes, start.elapsed().as_millis() / 10), (b"abcd", 3));
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_both_sides_and_loses_what_was_under_way() {
    let faults = Faults::new();
    let (far, mut broker) = tokio::io::duplex(1024);
    let (mut client, link) = faults.connect(far, None).unwrap();
    faults.delay(Duration::from_secs(1), Duration::from_secs(1));
    client.write_all(b"ab").await.unwrap();
    tokio::task::yield_now().await;
    link.cut();
    let mut bytes = Vec::new();
    assert_eq!(broker.read_to_end(&mut bytes).await.unwrap(), 0);
    assert_eq!(client.read_to_end(&mut bytes).await.unwrap(), 0);
    assert!(faults.links().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_half_open_link_tells_neither_side() {
    let faults = Faults::new();
    let (far, mut broker) = tokio::io::duplex(1024);
    let (mut client, link) = faults.connect(far, None).unwrap();
    link.half_open();
    client.write_all(b"ab").await.unwrap();
    drop(client);
    let mut bytes = Vec::new();
    assert!(timeout(Duration::from_secs(60), broker.read_to_end(&mut bytes)).await.is_err());
    drop(broker);
    while link.is_live() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_side_said_before_it_went_arrives() {
    let faults = Faults::new();
    faults.delay(Duration::from_millis(5), Duration::ZERO);
    let (far, mut broker) = tokio::io::duplex(1024);
    let (mut client, link) = faults.connect(far, None).unwrap();
    client.write_all(b"bye").await.unwrap();
    client.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    broker.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"bye");
    broker.write_all(b"so long").await.unwrap();
    drop(broker);
    bytes.clear();
    client.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"so long");
    while link.is_live() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_refuses_makes_no_links() {
    let faults = Faults::new();
    faults.refuse(true);
    assert!(faults.connect(tokio::io::duplex(8).0, None).is_err());
    faults.refuse(false);
    assert!(faults.connect(tokio::io::duplex(8).0, None).is_ok());
}

/// Swallows PINGREQ and answers it.
struct Answers;

impl Tap for Answers {
    fn packet(&mut self, way: Way, packet: &[u8], onward: &mut Onward<'_>) {
        match packet {
            [0xC0, 0] => onward.pass(Way::Down, &[0xD0, 0]),
            _ => onward.pass(way, packet),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tap_sees_whole_packets_and_decides_what_goes_on() {
    let faults = Faults::new();
    let (far, mut broker) = tokio::io::duplex(1024);
    let (mut client, _) = faults.connect(far, Some(Box::new(Answers))).unwrap();
    for byte in [0xC0, 0, 0x40, 2, 0] {
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.write_all(&[7]).await.unwrap();
    let mut up = [0; 4];
    broker.read_exact(&mut up).await.unwrap();
    let mut down = [0; 2];
    client.read_exact(&mut down).await.unwrap();
    assert_eq!((up, down), ([0x40, 2, 0, 7], [0xD0, 0]));
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let faults = |seed| {
        let mut plan = FaultPlan::new(seed);
        (0..50).map(|_| plan.fault()).collect::<Vec<_>>()
    };
    assert_eq!(faults(7), faults(7));
    assert_ne!(faults(7), faults(8));
}

#[tokio::test]
async fn the_proxy_resets_real_sockets() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap()).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut broker, _) = server.accept().await.unwrap();
    client.write_all(b"ab").await.unwrap();
    let mut bytes = [0; 2];
    broker.read_exact(&mut bytes).await.unwrap();
    let mut plan = FaultPlan::new(1);
    let link = plan.victim(proxy.faults()).unwrap();
    proxy.faults().inject(Fault::Reset, &link).await;
    for side in [&mut broker, &mut client] {
        let error = timeout(Duration::from_secs(5), side.read(&mut bytes)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}
