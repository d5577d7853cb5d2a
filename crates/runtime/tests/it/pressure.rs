//! Bounds: whatever the broker sends, no more is held than allowed, and pings and acks go on (G5, G6).

use std::time::Duration;

use tidemill_core::QoS;
use tidemill_runtime::config::Overflow;

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
    let mut broker = tidemill_testkit::script::ScriptedBroker::new(reader_only(reader)).with_patience(Duration::from_secs(60));

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
fn reader_only(reader: tokio::io::ReadHalf<tokio::io::DuplexStream>) -> impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {
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
async fn qos_0_events_are_left_waiting_where_the_setting_says_block() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 4;
    config.mqtt.qos = QoS::AtMostOnce;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for number in 1..=20 {
        broker.publish(0, &format!("t/{number}"), Q0, number.to_string()).await;
    }
    let mut held = calls.take(4).await;
    calls.expect_none_for(Duration::from_secs(2)).await;
    let mut seen = Vec::new();
    while let Some(call) = held.pop() {
        seen.push(call.text().to_owned());
        call.ok();
        held.extend(calls.waiting().await);
        assert!(held.len() <= 4);
    }
    assert_eq!(seen.len(), 20);
    let summary = rig.leave(broker).await;
    assert_eq!((summary.handled, summary.dropped), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn qos_0_events_are_dropped_and_counted_where_the_setting_says_so() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 4;
    config.mqtt.qos = QoS::AtMostOnce;
    config.dispatch.qos0_overflow = Overflow::DropNewest;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for number in 1..=20 {
        broker.publish(0, &format!("t/{number}"), Q0, number.to_string()).await;
    }
    let held = calls.take(4).await;
    rig.received(20).await;
    assert_eq!(held.iter().map(Call::text).collect::<Vec<_>>(), ["1", "2", "3", "4"], "the newest are dropped");
    held.into_iter().for_each(Call::ok);
    broker.publish(0, "t/21", Q0, "21").await;
    let after = calls.next().await;
    assert_eq!(after.text(), "21");
    after.ok();
    let summary = rig.leave(broker).await;
    assert_eq!((summary.received, summary.handled, summary.dropped), (21, 5, 16));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_event_may_have_set_a_topic_alias_that_later_ones_use() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 1;
    config.mqtt.qos = QoS::AtMostOnce;
    config.dispatch.qos0_overflow = Overflow::DropNewest;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(0, "t/first", Q0, "fills the window").await;
    let first = calls.next().await;
    broker.send(v5::Packet::Publish(crate::protocol::aliased(0, "t/aliased", 1, "dropped"))).await;
    rig.received(2).await;
    first.ok();
    settle().await;
    broker.send(v5::Packet::Publish(crate::protocol::aliased(0, "", 1, "by alias"))).await;
    let call = calls.next().await;
    assert_eq!((call.event.topic(), call.text()), ("t/aliased", "by alias"));
    call.ok();
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_above_the_granted_qos_is_neither_dropped_nor_taken_in_without_room() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 2;
    config.mqtt.qos = QoS::AtMostOnce;
    config.dispatch.qos0_overflow = Overflow::DropNewest;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    // As from a session that was once subscribed at QoS 1.
    for pkid in 1..=50 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    let mut held = calls.take(2).await;
    for pkid in 1..=50 {
        assert!(calls.waiting().await.is_empty());
        held.remove(0).ok();
        broker.expect_pubacks([pkid]).await;
        if pkid <= 48 {
            held.push(calls.next().await);
        }
    }
    assert_eq!(rig.leave(broker).await.dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn acks_go_out_while_the_window_is_full_and_the_broker_does_not_read() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 64;
    // Room for eight acks on the wire.
    let mut rig = Rig::with_pipes(config, 32, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=64 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    calls.take(64).await.into_iter().for_each(Call::ok);
    settle().await;
    broker.expect_pubacks(1..=64).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_read_does_not_spin() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 1;
    config.mqtt.keep_alive = Duration::from_secs(30);
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.worker_park_count(0);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let wakes = metrics.worker_park_count(0) - before;
    assert!(wakes < 600, "{wakes} wakes in ten minutes of doing nothing");
    call.ok();
    drop(broker);
}

/// A broker that keeps to the window has nothing but answers to send while it is full: they are read.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_while_the_window_is_full_is_noticed_at_once() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 2;
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    for pkid in 1..=2 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    let held = calls.take(2).await;
    broker.cut();
    let began = tokio::time::Instant::now();
    let mut broker = rig.connection().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    broker.accept().await;
    // The window is full of the events of the last session, and the answer is read all the same.
    broker.accept_subscribe().await;
    rig.handle.ready().await;
    broker.republish(1, "t/1", "x").await;
    broker.expect_no_packet_for(Duration::from_secs(15)).await;
    assert_eq!(rig.handle.status().instances[0].epoch, 2);
    held.into_iter().for_each(Call::ok);
    calls.next().await.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_falls_silent_while_the_window_is_full_is_given_up() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 1;
    config.mqtt.keep_alive = Duration::from_secs(20);
    config.mqtt.ping_timeout = Duration::from_secs(5);
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    broker.publish(1, "t/1", Q1, "x").await;
    let _held = calls.next().await;
    broker.accept_ping().await;
    broker.expect_ping().await;
    broker.expect_disconnect().await;
    broker.expect_closed().await;
    rig.subscribed().await;
}

/// A durable session: what it has queued comes before the answer to SUBSCRIBE, and more of it than the window holds.
#[tokio::test(start_paused = true)]
async fn an_answer_behind_events_without_room_is_waited_for() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 2;
    config.mqtt.keep_alive = Duration::ZERO;
    config.mqtt.connect_timeout = Duration::from_secs(5);
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.connection().await;
    broker.accept().await;
    let subscribe = broker.expect_subscribe().await;
    for pkid in 1..=5 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    let granted = vec![v5::SubscribeReasonCode::Success(subscribe.filters[0].qos)];
    broker.send(v5::Packet::SubAck(v5::SubAck { pkid: subscribe.pkid, return_codes: granted, properties: None })).await;
    let mut held = calls.take(2).await;
    // Far longer than the broker has to answer.
    broker.expect_no_packet_for(Duration::from_secs(50)).await;
    assert_eq!(rig.handle.status().instances[0].phase, tidemill_runtime::Phase::Subscribing);
    for pkid in 1..=5 {
        held.remove(0).ok();
        broker.expect_pubacks([pkid]).await;
        held.extend(calls.waiting().await);
    }
    rig.handle.ready().await;
    assert_eq!(rig.handle.status().instances[0].epoch, 1);
    rig.leave(broker).await;
}
