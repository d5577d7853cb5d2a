//! Acknowledging: only what was handled (G1), in the order it came (G2).

use std::time::Duration;

use proptest::prelude::*;
use tidemill_runtime::Config;
use tidemill_testkit::script::ScriptedBroker;
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn acks_leave_in_the_order_of_the_events_whatever_order_handlers_end_in() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::with_handler(config_of(version), handler);
        let mut broker = rig.subscribed().await;
        for pkid in 1..=5 {
            broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
        }
        let mut held = calls.take(5).await;
        for at in [4, 3, 1] {
            held.remove(at).ok();
            broker.expect_no_packet().await;
        }
        held.remove(0).ok();
        broker.expect_pubacks([1, 2]).await;
        broker.expect_no_packet().await;
        held.remove(0).ok();
        broker.expect_pubacks([3, 4, 5]).await;
        let summary = rig.leave(broker).await;
        assert_eq!((summary.received, summary.handled), (5, 5));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_acknowledged_only_after_its_handler_ended_well() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(7, "t/a", Q1, "x").await;
    let call = calls.next().await;
    // Well below the keep-alive: not even a ping comes.
    broker.expect_no_packet_for(Duration::from_secs(20)).await;
    call.fail("not yet");
    let call = calls.next().await;
    broker.expect_no_packet().await;
    call.ok();
    assert_eq!(broker.expect_puback().await, 7);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_at_qos_0_is_handled_and_not_acknowledged() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(0, "t/a", Q0, "x").await;
    let call = calls.next().await;
    assert_eq!(call.event.qos(), Q0);
    call.ok();
    broker.expect_no_packet().await;
    assert_eq!(rig.leave(broker).await.handled, 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_route_is_acknowledged_and_counted_as_dropped() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "elsewhere", Q1, "x").await;
    broker.publish(2, "t/a", Q1, "x").await;
    broker.expect_pubacks([1, 2]).await;
    let unrouted = rig.metric("tidemill_events_finished_total", &[("route", "unrouted"), ("outcome", "dropped")]);
    assert!((unrouted - 1.0).abs() < f64::EPSILON);
    let summary = rig.leave(broker).await;
    assert_eq!((summary.handled, summary.dropped), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn handlers_see_what_the_broker_sent() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.route("t/{device}/#", handler));
    let mut broker = rig.subscribed().await;
    let properties = v5::PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(60),
        topic_alias: None,
        response_topic: Some("answers/7".to_owned()),
        correlation_data: Some("c".into()),
        user_properties: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
        subscription_identifiers: vec![],
        content_type: Some("text/plain".to_owned()),
    };
    let event = v5::Publish { dup: true, retain: true, properties: Some(properties), ..publish(9, "t/d7/x/y", "hé") };
    broker.send(v5::Packet::Publish(event)).await;
    let call = calls.next().await;
    let event = &call.event;
    assert_eq!((event.topic(), event.capture("device"), call.text()), ("t/d7/x/y", Some("d7"), "hé"));
    assert_eq!((event.qos(), event.dup(), event.retain()), (Q1, true, true));
    let properties = event.properties().unwrap();
    assert!(properties.utf8_payload);
    assert_eq!(properties.message_expiry, Some(Duration::from_secs(60)));
    assert_eq!(properties.response_topic.as_deref(), Some("answers/7"));
    assert_eq!(properties.correlation_data.as_deref(), Some(&b"c"[..]));
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(properties.user, [("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]);
    call.ok();
    broker.expect_pubacks([9]).await;
    rig.leave(broker).await;
}

/// Events come in bursts of any size, handlers end in any order: the acks are all the events in their order.
fn acks_follow_the_events(config: Config, bursts: Vec<usize>, picks: Vec<prop::sample::Index>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async move {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::with_handler(config, handler);
        let mut broker = rig.subscribed().await;
        let mut sent = 0;
        let mut held = Vec::new();
        let mut picks = picks.into_iter();
        for burst in bursts {
            for _ in 0..burst {
                sent += 1;
                broker.publish(sent, &format!("t/{sent}"), Q1, "x").await;
            }
            held.extend(calls.take(burst).await);
            if let Some(pick) = picks.next()
                && !held.is_empty()
            {
                held.swap_remove(pick.index(held.len())).ok();
            }
        }
        while !held.is_empty() {
            let at = picks.next().map_or(0, |pick| pick.index(held.len()));
            held.swap_remove(at).ok();
        }
        broker.expect_pubacks(1..=sent).await;
        rig.leave(broker).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn acks_follow_the_events_for_all_bursts_and_orders(
        bursts in prop::collection::vec(0_usize..12, 1..8),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        lingers in any::<bool>(),
    ) {
        acks_follow_the_events(if lingers { lingering() } else { config() }, bursts, picks);
    }
}

/// Acks of single events wait for 10 ms.
fn lingering() -> Config {
    let mut config = config();
    config.mqtt.ack_linger = Duration::from_millis(10);
    config
}

/// Sends single events, a millisecond apart, until acks linger: the last four of them leave together. The next packet ID.
async fn flow(broker: &mut ScriptedBroker) -> u16 {
    let mut pkid = 100;
    loop {
        broker.publish(pkid, "t/a", Q1, "x").await;
        match timeout(Duration::from_millis(1), broker.expect_puback()).await {
            Ok(acked) => assert_eq!(acked, pkid),
            Err(_) => break,
        }
        sleep(Duration::from_millis(1)).await;
        pkid += 1;
        assert!(pkid < 200, "no ack lingers");
    }
    for next in 1..=3 {
        broker.expect_no_packet_for(Duration::from_millis(1)).await;
        broker.publish(pkid + next, "t/a", Q1, "x").await;
    }
    broker.expect_pubacks(pkid..=pkid + 3).await;
    pkid + 4
}

/// How long the ack of one event takes.
async fn acked_after(broker: &mut ScriptedBroker, pkid: u16) -> Duration {
    let began = Instant::now();
    broker.publish(pkid, "t/a", Q1, "x").await;
    broker.expect_pubacks([pkid]).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn acks_that_linger_leave_together_as_soon_as_there_are_four() {
    let mut rig = Rig::with_handler(lingering(), Fine);
    let mut broker = rig.subscribed().await;
    let first = flow(&mut broker).await;
    let began = Instant::now();
    broker.publish(first, "t/a", Q1, "x").await;
    for pkid in first + 1..=first + 3 {
        broker.expect_no_packet_for(Duration::from_millis(1)).await;
        broker.publish(pkid, "t/a", Q1, "x").await;
    }
    broker.expect_pubacks(first..=first + 3).await;
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn an_ack_lingers_no_longer_than_the_setting_says() {
    let mut rig = Rig::with_handler(lingering(), Fine);
    let mut broker = rig.subscribed().await;
    let pkid = flow(&mut broker).await;
    let lingered = acked_after(&mut broker, pkid).await;
    assert!((10..=12).contains(&lingered.as_millis()), "{lingered:?}");
    rig.leave(broker).await;
}

/// Some brokers send the next event when they have the ack of the one before.
#[tokio::test(start_paused = true)]
async fn acks_that_lingered_in_vain_linger_ever_more_rarely() {
    let mut rig = Rig::with_handler(lingering(), Fine);
    let mut broker = rig.subscribed().await;
    let pkid = flow(&mut broker).await;
    let mut at_once = 0;
    let mut pauses = Vec::new();
    for pkid in pkid..pkid + 400 {
        if acked_after(&mut broker, pkid).await.is_zero() {
            at_once += 1;
        } else {
            pauses.push(std::mem::take(&mut at_once));
        }
    }
    // The first one waits in the flow, each further one after twice as many events as the one before.
    assert_eq!(pauses, [0, 15, 31, 63, 127], "{pauses:?}");
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn acks_that_others_joined_linger_again_although_there_were_fewer_than_four() {
    let mut rig = Rig::with_handler(lingering(), Fine);
    let mut broker = rig.subscribed().await;
    let first = flow(&mut broker).await;
    for first in (first..first + 15).step_by(3) {
        let began = Instant::now();
        for pkid in first..first + 3 {
            broker.publish(pkid, "t/a", Q1, "x").await;
            if pkid < first + 2 {
                broker.expect_no_packet_for(Duration::from_millis(4)).await;
            }
        }
        broker.expect_pubacks(first..first + 3).await;
        let lingered = began.elapsed();
        assert!((10..=12).contains(&lingered.as_millis()), "{lingered:?}");
    }
    rig.leave(broker).await;
}

/// By default acks linger in a dense flow only.
#[tokio::test(start_paused = true)]
async fn no_ack_lingers_at_a_thousand_events_per_second_unless_it_is_asked_for() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.subscribed().await;
    for pkid in 1..=50 {
        assert_eq!(acked_after(&mut broker, pkid).await, Duration::ZERO);
        sleep(Duration::from_millis(1)).await;
    }
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn no_ack_lingers_while_events_come_further_apart_than_the_setting_says() {
    let mut rig = Rig::with_handler(lingering(), Fine);
    let mut broker = rig.subscribed().await;
    for pkid in 1..=20 {
        sleep(Duration::from_millis(15)).await;
        assert_eq!(acked_after(&mut broker, pkid).await, Duration::ZERO);
    }
    rig.leave(broker).await;
}

/// The broker may be waiting for room in its window.
#[tokio::test(start_paused = true)]
async fn no_ack_lingers_while_several_events_are_being_handled() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(lingering(), handler);
    let mut broker = rig.subscribed().await;
    // A dense flow: nothing but the events that are being handled keeps the acks from waiting.
    for pkid in 1..=20 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
        sleep(Duration::from_millis(1)).await;
    }
    let mut held = calls.take(20).await;
    let began = Instant::now();
    held.remove(0).ok();
    broker.expect_pubacks([1]).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    held.into_iter().for_each(Call::ok);
    broker.expect_pubacks(2..=20).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_no_lingering_ack_along() {
    let mut rig = Rig::with_handler(lingering(), Fine);
    let mut broker = rig.subscribed().await;
    let pkid = flow(&mut broker).await;
    let began = Instant::now();
    broker.publish(pkid, "t/a", Q1, "x").await;
    broker.expect_no_packet_for(Duration::from_millis(1)).await;
    rig.stop();
    broker.expect_pubacks([pkid]).await;
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
    rig.leave(broker).await;
}

/// As EMQX does after its retry interval, and NATS after its wait for an acknowledgement.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_sent_again_on_the_same_connection_is_handled_and_acknowledged_once() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    let again = |pkid| v5::Packet::Publish(v5::Publish { dup: true, ..publish(pkid, "t/a", "x") });
    broker.publish(7, "t/a", Q1, "x").await;
    let call = calls.next().await;
    for _ in 0..3 {
        broker.send(again(7)).await;
    }
    broker.publish(8, "t/b", Q1, "y").await;
    calls.next().await.ok();
    broker.expect_no_packet().await;
    call.ok();
    broker.expect_pubacks([7, 8]).await;
    rig.received(2).await;
    // Acknowledged, the ID belongs to whatever comes next, marked as sent before or not.
    broker.send(again(7)).await;
    calls.next().await.ok();
    broker.expect_pubacks([7]).await;
    assert_eq!(rig.leave(broker).await.received, 3);
}
