//! What goes on while the window is full: acks, pings, answers, and the end of the connection (G5, G6).

use std::time::Duration;

use crate::support::*;

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
