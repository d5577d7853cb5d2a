//! QoS 0 has no window of its own: it is bounded by the same mark, by waiting or by dropping (G5).

use std::time::Duration;

use tidemill_core::QoS;
use tidemill_runtime::config::Overflow;

use crate::support::*;

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
