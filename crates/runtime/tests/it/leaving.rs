//! Leaving loses nothing and hands nothing out twice (G7).

use std::time::Duration;

use tidemill_runtime::{MqttVersion, Phase};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_unsubscribes_finishes_asks_whether_there_is_more_and_disconnects() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::with_handler(config_of(version), handler);
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/1", Q1, "one").await;
        let first = calls.next().await;
        rig.stop();
        let unsubscribe = broker.expect_unsubscribe().await;
        assert_eq!(unsubscribe.filters, ["$share/g/t/#"]);
        // What was under way before the UNSUBACK, and what the broker still holds behind it.
        broker.publish(2, "t/2", Q1, "two").await;
        broker.send(unsuback(&unsubscribe)).await;
        broker.publish(3, "t/3", Q1, "three").await;
        let (second, third) = (calls.next().await, calls.next().await);
        broker.expect_no_packet_for(Duration::from_secs(2)).await;
        third.ok();
        second.ok();
        broker.expect_no_packet().await;
        first.ok();
        broker.expect_pubacks([1, 2, 3]).await;
        broker.expect_ping().await;
        // Something was in front of the answer: it asks again.
        broker.publish(4, "t/4", Q1, "four").await;
        broker.send(v5::Packet::PingResp(v5::PingResp)).await;
        calls.next().await.ok();
        broker.expect_pubacks([4]).await;
        broker.expect_ping().await;
        broker.expect_no_packet_for(Duration::from_secs(2)).await;
        broker.send(v5::Packet::PingResp(v5::PingResp)).await;
        let goodbye = broker.expect_disconnect().await;
        assert_eq!(goodbye.reason_code, v5::DisconnectReasonCode::NormalDisconnection);
        broker.expect_closed().await;
        let summary = rig.ended().await.unwrap();
        assert_eq!((summary.received, summary.handled), (4, 4));
    }
}

fn unsuback(unsubscribe: &v5::Unsubscribe) -> v5::Packet {
    unsuback_with(unsubscribe, v5::UnsubAckReason::Success)
}

fn unsuback_with(unsubscribe: &v5::Unsubscribe, reason: v5::UnsubAckReason) -> v5::Packet {
    let reasons = vec![reason; unsubscribe.filters.len()];
    v5::Packet::UnsubAck(v5::UnsubAck { pkid: unsubscribe.pkid, reasons, properties: None })
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_unsubscribe_finishes_what_it_has_and_leaves_the_rest_unacknowledged() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/1", Q1, "one").await;
    let first = calls.next().await;
    rig.stop();
    let unsubscribe = broker.expect_unsubscribe().await;
    broker.send(unsuback_with(&unsubscribe, v5::UnsubAckReason::NotAuthorized)).await;
    // The group goes on: these are for other members.
    for pkid in 2..=20 {
        broker.publish(pkid, "t/2", Q1, "two").await;
    }
    broker.expect_no_packet_for(Duration::from_secs(2)).await;
    first.ok();
    broker.expect_pubacks([1]).await;
    broker.expect_disconnect().await;
    broker.expect_closed().await;
    broker.cut();
    let summary = rig.ended().await.unwrap();
    assert_eq!((summary.received, summary.handled), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_subscription_is_gone_already_leaves_by_the_book() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.subscribed().await;
    rig.stop();
    let unsubscribe = broker.expect_unsubscribe().await;
    broker.send(unsuback_with(&unsubscribe, v5::UnsubAckReason::NoSubscriptionExisted)).await;
    broker.publish(1, "t/1", Q1, "one").await;
    broker.expect_pubacks([1]).await;
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    assert_eq!(rig.ended().await.unwrap().handled, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_earlier_ping_is_not_taken_for_the_barriers() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.keep_alive = Duration::from_secs(4);
    config.mqtt.ping_timeout = Duration::from_secs(60);
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    // A ping of the keep-alive is on its way when the worker is told to leave.
    broker.expect_ping().await;
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.send(v5::Packet::PingResp(v5::PingResp)).await;
    broker.expect_ping().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    broker.send(v5::Packet::PingResp(v5::PingResp)).await;
    settle().await;
    call.ok();
    broker.expect_pubacks([1]).await;
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    assert_eq!(rig.ended().await.unwrap().handled, 1);
}

#[tokio::test(start_paused = true)]
async fn qos_0_events_in_hand_are_finished_before_the_worker_goes() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(0, "t/a", Q0, "x").await;
    let call = calls.next().await;
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.expect_no_packet_for(Duration::from_secs(2)).await;
    call.ok();
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    assert_eq!(rig.ended().await.unwrap().handled, 1);
}

#[tokio::test(start_paused = true)]
async fn more_than_a_window_behind_the_unsuback_is_handled_before_the_worker_goes() {
    let mut config = config();
    config.mqtt.window = 3;
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.subscribed().await;
    rig.stop();
    broker.accept_unsubscribe().await;
    for pkid in 1..=50 {
        broker.publish(pkid, "t/a", Q1, "x").await;
    }
    let mut acked = 0;
    while acked < 50 {
        match broker.recv().await {
            v5::Packet::PubAck(ack) => {
                acked += 1;
                assert_eq!(ack.pkid, acked);
            }
            v5::Packet::PingReq(_) => broker.send(v5::Packet::PingResp(v5::PingResp)).await,
            other => panic!("{other:?}"),
        }
    }
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    assert_eq!(rig.ended().await.unwrap().handled, 50);
}

#[tokio::test(start_paused = true)]
async fn records_are_written_before_the_worker_goes() {
    let sink = Recording::new();
    let (handler, mut calls) = Calls::new();
    let out = sink.clone();
    let mut rig = Rig::start(config(), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    sink.block(true);
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.emit("out", &["r"]);
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.expect_no_packet_for(Duration::from_secs(3)).await;
    sink.block(false);
    broker.expect_pubacks([1]).await;
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    rig.ended().await.unwrap();
    assert_eq!((sink.payloads(), sink.with(|all| all.closed)), (vec!["r".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_delivered_before_the_worker_goes() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    rig.stop();
    broker.accept_unsubscribe().await;
    call.permanent("bad");
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    broker.expect_no_packet().await;
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    dead.accept_ping().await;
    dead.expect_disconnect().await;
    assert_eq!(rig.ended().await.unwrap().dead_lettered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_while_leaving_ends_it() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/1", Q1, "x").await;
    let call = calls.next().await;
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.cut();
    settle().await;
    call.ok();
    let summary = rig.ended().await.unwrap();
    assert_eq!((summary.received, summary.abandoned), (1, 1), "it comes again, at another member");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_not_connected_leaves_at_once() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    rig.stop();
    let began = tokio::time::Instant::now();
    rig.ended().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_to_connect_again_leaves_at_once() {
    let mut config = config();
    config.mqtt.reconnect.min = Duration::from_secs(1000);
    config.mqtt.reconnect.max = Duration::from_secs(1000);
    let mut rig = Rig::with_handler(config, Fine);
    rig.subscribed().await.cut();
    settle().await;
    rig.stop();
    let began = tokio::time::Instant::now();
    rig.ended().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_not_got_its_suback_leaves_by_the_book() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.accept().await;
    let subscribe = broker.expect_subscribe().await;
    rig.stop();
    let unsubscribe = broker.expect_unsubscribe().await;
    assert_ne!(subscribe.pkid, unsubscribe.pkid);
    let granted = vec![v5::SubscribeReasonCode::Success(subscribe.filters[0].qos)];
    broker.send(v5::Packet::SubAck(v5::SubAck { pkid: subscribe.pkid, return_codes: granted, properties: None })).await;
    assert_eq!(rig.handle.status().instances[0].phase, Phase::Leaving);
    broker.send(unsuback(&unsubscribe)).await;
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    rig.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_instances_leave_and_a_worker_that_leaves_is_not_ready() {
    let mut config = config();
    config.instances = 3.into();
    let mut rig = Rig::with_handler(config, Fine);
    let mut brokers = Vec::new();
    for _ in 0..3 {
        brokers.push(rig.subscribed().await);
    }
    rig.handle.ready().await;
    assert!(rig.handle.status().ready);
    rig.stop();
    settle().await;
    let status = rig.handle.status();
    assert!(!status.ready && status.draining);
    for broker in &mut brokers {
        broker.accept_unsubscribe().await;
        broker.accept_ping().await;
        broker.expect_disconnect().await;
    }
    rig.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_group_the_plain_filters_are_unsubscribed() {
    let mut config = config_of(MqttVersion::V5);
    config.group.name = None;
    let mut rig = Rig::start(config, |worker| worker.route("t/{a}/b", Fine).route("u/#", Fine));
    let mut broker = rig.connection().await;
    broker.accept().await;
    let mut subscribed: Vec<_> = broker.accept_subscribe().await.filters.into_iter().map(|f| f.path).collect();
    rig.stop();
    let mut unsubscribed = broker.accept_unsubscribe().await.filters;
    subscribed.sort();
    unsubscribed.sort();
    assert_eq!((&subscribed, &unsubscribed), (&vec!["t/+/b".to_owned(), "u/#".to_owned()], &subscribed));
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    rig.ended().await.unwrap();
}

/// Whoever sends requests by `/readyz` must stop before the group is left.
#[tokio::test(start_paused = true)]
async fn a_worker_is_not_ready_any_more_when_its_unsubscribe_arrives() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.subscribed().await;
    rig.handle.ready().await;
    rig.stop();
    broker.expect_unsubscribe().await;
    let status = rig.handle.status();
    assert!(!status.ready && status.draining);
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_instance_waits_to_be_started_again_leaves_at_once() {
    let mut config = config();
    config.mqtt.startup_timeout = Duration::ZERO;
    let mut rig = Rig::with_handler(config, Fine);
    for _ in 0..12 {
        // Session taken over: it comes back under another ID, after a wait that grows.
        rig.subscribed().await.send_raw(&[0xE0, 1, 0x8E]).await;
    }
    settle().await;
    rig.stop();
    let began = tokio::time::Instant::now();
    rig.ended().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
