//! Bounds: whatever the broker sends, no more is held than allowed (G5).

use std::time::Duration;

use crate::support::*;

/// Writes from a task of its own, as much as the pipe takes.
fn flood(stream: tokio::io::DuplexStream, bytes: Vec<u8>) -> (tokio::io::ReadHalf<tokio::io::DuplexStream>, Flood) {
    use tokio::io::AsyncWriteExt;
    let (reader, mut writer) = tokio::io::split(stream);
    let task = tokio::spawn(async move {
        writer.write_all(&bytes).await.unwrap();
        writer
    });
    (reader, task)
}

type Flood = tokio::task::JoinHandle<tokio::io::WriteHalf<tokio::io::DuplexStream>>;

fn encoded(packets: impl IntoIterator<Item = v5::Publish>) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    for packet in packets {
        v5::Packet::Publish(packet).write(&mut bytes, None).unwrap();
    }
    bytes.to_vec()
}

/// Lets a worker in by hand and returns the bare stream.
async fn open(rig: &mut Rig) -> tokio::io::DuplexStream {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = rig.stream().await;
    let mut buffer = [0; 1024];
    assert!(stream.read(&mut buffer).await.unwrap() > 10, "CONNECT");
    stream.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap();
    let read = stream.read(&mut buffer).await.unwrap();
    assert_eq!((buffer[0], read > 5), (0x82, true), "SUBSCRIBE");
    stream.write_all(&[0x90, 4, buffer[2], buffer[3], 0, 1]).await.unwrap();
    stream
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_overshoots_the_window_is_not_read_beyond_it() {
    const SENT: u16 = 10_000;
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 50;
    config.mqtt.keep_alive = Duration::from_secs(30);
    config.dispatch.stall_after = Duration::ZERO;
    let mut rig = Rig::with_pipes(config, 4096, |worker| worker.add_route(route(handler)));
    let stream = open(&mut rig).await;
    let payload = vec![b'x'; 100];
    let events = (1..=SENT).map(|pkid| publish(pkid, &format!("t/{}", pkid % 10), payload.clone()));
    let (reader, _flood) = flood(stream, encoded(events));
    let mut broker =
        tidemill_testkit::script::ScriptedBroker::new(reader_only(reader)).with_patience(Duration::from_secs(60));

    let mut held = calls.take(10).await;
    settle().await;
    assert_eq!(count(&rig.registry, "tidemill_events_received_total", &[]), 50);
    let status = rig.handle.status();
    assert_eq!((status.unfinished, status.instances[0].unacknowledged), (50, 50));
    assert!((status.instances[0].window_use - 1.0).abs() < f64::EPSILON);
    // For ten keep-alives the handlers do nothing, and neither does the broker get a chance to answer.
    for _ in 0..10 {
        let before = tokio::time::Instant::now();
        broker.expect_ping().await;
        assert!(before.elapsed() <= Duration::from_secs(30), "{:?}", before.elapsed());
    }
    assert_eq!(count(&rig.registry, "tidemill_events_received_total", &[]), 50);
    assert_eq!(rig.handle.status().instances[0].epoch, 1);

    let mut acked = 0;
    while acked < SENT {
        held.drain(..).for_each(Call::ok);
        held = calls.waiting().await;
        assert!(rig.handle.status().unfinished <= 50);
        loop {
            match tokio::time::timeout(Duration::from_micros(1), broker.recv()).await {
                Ok(v5::Packet::PubAck(ack)) => {
                    acked += 1;
                    assert_eq!(ack.pkid, acked);
                }
                Ok(v5::Packet::PingReq(_)) => {}
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
    }
    assert_balanced(&rig.registry);
    assert_eq!(rig.finished("handled"), u64::from(SENT));
}

/// The reading half alone; nothing can be written to it.
fn reader_only(
    reader: tokio::io::ReadHalf<tokio::io::DuplexStream>,
) -> impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {
    tokio::io::join(reader, tokio::io::sink())
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_too() {
    const PAYLOAD: usize = 64 * 1024;
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 1000;
    config.mqtt.max_packet_bytes = 128 * 1024;
    config.mqtt.max_unfinished_bytes = 1024 * 1024;
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let stream = open(&mut rig).await;
    let events = (1..=64).map(|pkid| publish(pkid, &format!("t/{pkid}"), vec![b'x'; PAYLOAD]));
    let (reader, _flood) = flood(stream, encoded(events));
    let mut broker = tidemill_testkit::script::ScriptedBroker::new(reader_only(reader));
    // The last one passes the budget, as it was begun below it.
    let mut held = calls.take(16).await;
    calls.expect_none_for(Duration::from_secs(10)).await;
    for next in 17..=64 {
        held.remove(0).ok();
        broker.expect_pubacks([next - 16]).await;
        held.push(calls.next().await);
        assert!(calls.waiting().await.is_empty());
    }
    held.into_iter().for_each(Call::ok);
    broker.expect_pubacks(49..=64).await;
    assert_balanced(&rig.registry);
}

#[tokio::test(start_paused = true)]
async fn events_of_lost_sessions_count_against_the_bounds_while_they_are_handled() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 8;
    config.mqtt.max_packet_bytes = 64 * 1024;
    config.mqtt.max_unfinished_bytes = 100 * 1024;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut held = Vec::new();
    // Events of 30 KiB: the budget is full with the fourth.
    for (session, expected) in [(0, 2), (1, 2), (2, 0)] {
        let mut broker = rig.subscribed().await;
        for pkid in 1..=2 {
            broker.publish(pkid, &format!("t/{session}/{pkid}"), Q1, vec![b'x'; 30 * 1024]).await;
        }
        settle().await;
        let came = calls.waiting().await;
        assert_eq!(came.len(), expected, "in session {session}");
        held.extend(came);
        if session == 2 {
            held.drain(..).for_each(Call::ok);
            calls.take(2).await.into_iter().for_each(Call::ok);
            broker.expect_pubacks([1, 2]).await;
            rig.leave(broker).await;
            return;
        }
        broker.cut();
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_for_their_number() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 4;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=3 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "old").await;
    }
    let mut old = calls.take(3).await;
    broker.cut();
    let mut broker = rig.subscribed().await;
    for pkid in 1..=4 {
        broker.publish(pkid, &format!("t/n{pkid}"), Q1, "new").await;
    }
    let mut new = vec![calls.next().await];
    calls.expect_none_for(Duration::from_secs(1)).await;
    while let Some(call) = old.pop() {
        call.ok();
        new.push(calls.next().await);
        assert!(calls.waiting().await.is_empty());
    }
    new.into_iter().for_each(Call::ok);
    broker.expect_pubacks(1..=4).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn properties_count_for_the_memory_that_they_take() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.max_unfinished_bytes = 1024 * 1024;
    config.mqtt.max_packet_bytes = 64 * 1024;
    config.dispatch.stall_after = Duration::ZERO;
    let mut rig = Rig::with_handler(config, handler);
    let stream = open(&mut rig).await;
    // Five bytes each on the wire.
    let properties = v5::PublishProperties { user_properties: vec![Default::default(); 10_000], ..Default::default() };
    let event = |pkid| v5::Publish { properties: Some(properties.clone()), ..publish(pkid, &format!("t/{pkid}"), "x") };
    let (_reader, _flood) = flood(stream, encoded((1..=20).map(event)));
    let held = calls.take(2).await;
    settle().await;
    let taken: usize = held
        .iter()
        .chain(&calls.waiting().await)
        .map(|call| {
            let properties = call.event.properties().unwrap();
            properties.user.capacity() * size_of::<(String, String)>()
        })
        .sum();
    assert!(taken <= 2 * 1024 * 1024, "{taken} bytes");
}

/// Its events come on and on, and it leaves their acknowledgements in the pipe.
#[tokio::test(start_paused = true)]
async fn a_broker_that_sends_and_never_reads_is_left() {
    use tokio::io::AsyncWriteExt;
    let mut config = config();
    config.mqtt.keep_alive = Duration::from_secs(30);
    let mut rig = Rig::with_pipes(config, 64 * 1024, |worker| worker.add_route(route(Fine)));
    let (_reader, mut writer) = tokio::io::split(open(&mut rig).await);
    let burst = encoded((1..=1000).map(|pkid| publish(pkid, "t/a", "x")));
    let mut sent = 0;
    while sent < 1_000_000 && writer.write_all(&burst).await.is_ok() {
        sent += 1000;
    }
    assert!(sent < 1_000_000, "the acknowledgements of so many events wait to be written");
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}
