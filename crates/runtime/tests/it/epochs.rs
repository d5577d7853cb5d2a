//! What the end of a session means for what was received through it (G3).

use std::time::Duration;

use tidemill_runtime::{Execution, Phase};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_ack_never_crosses_from_one_session_to_another() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::with_handler(config_of(version), handler);
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/first", Q1, "first").await;
        let first = calls.next().await;
        broker.cut();
        // The new session gives the same identifier to another event.
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/second", Q1, "second").await;
        let second = calls.next().await;
        first.ok();
        broker.expect_no_packet_for(Duration::from_secs(5)).await;
        second.ok();
        broker.expect_pubacks([1]).await;
        broker.expect_no_packet().await;
        let summary = rig.leave(broker).await;
        assert_eq!((summary.received, summary.handled, summary.abandoned), (2, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_ends_between_two_sessions_is_acknowledged_in_neither() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    broker.cut();
    let mut broker = rig.connection().await;
    call.ok();
    settle().await;
    broker.accept().await;
    broker.accept_subscribe().await;
    broker.publish(1, "t/b", Q1, "y").await;
    let again = calls.next().await;
    broker.expect_no_packet().await;
    again.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_event_whose_ack_had_to_wait_is_not_acknowledged_later() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/1", Q1, "one").await;
    broker.publish(2, "t/2", Q1, "two").await;
    let mut held = calls.take(2).await;
    held.remove(1).ok();
    settle().await;
    broker.cut();
    let mut broker = rig.subscribed().await;
    for (pkid, text) in [(1, "one"), (2, "two")] {
        broker.republish(pkid, &format!("t/{pkid}"), text).await;
    }
    held.remove(0).ok();
    broker.expect_no_packet().await;
    // The other one of that key is still being handled when it comes again.
    let again = calls.take(2).await;
    assert!(again.iter().all(|call| call.event.dup() && call.attempt == 1));
    again.into_iter().for_each(Call::ok);
    broker.expect_pubacks([1, 2]).await;
    let summary = rig.leave(broker).await;
    assert_eq!((summary.received, summary.abandoned), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_when_their_session_is_lost_are_not_handled_and_count_as_abandoned() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    // All of one key: the second and the third wait for the first.
    for (pkid, text) in [(1, "one"), (2, "two"), (3, "three")] {
        broker.publish(pkid, "t/a", Q1, text).await;
    }
    let first = calls.next().await;
    rig.received(3).await;
    broker.cut();
    let mut broker = rig.subscribed().await;
    first.ok();
    calls.expect_none_for(Duration::from_secs(5)).await;
    assert_eq!(rig.finished("abandoned"), 3);
    broker.republish(9, "t/a", "one").await;
    calls.next().await.ok();
    broker.expect_pubacks([9]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn events_at_qos_0_outlive_their_session() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(0, "t/a", Q0, "one").await;
    broker.publish(0, "t/a", Q0, "two").await;
    let first = calls.next().await;
    rig.received(2).await;
    broker.cut();
    let broker = rig.subscribed().await;
    first.ok();
    let second = calls.next().await;
    assert_eq!(second.text(), "two");
    second.ok();
    let summary = rig.leave(broker).await;
    assert_eq!((summary.handled, summary.abandoned), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_to_be_tried_again_is_let_go_when_its_session_is_lost() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.retry.min_delay = Duration::from_secs(3600);
    config.retry.max_delay = Duration::from_secs(3600);
    config.retry.max_elapsed = Duration::ZERO;
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.fail("later");
    settle().await;
    broker.cut();
    until(|| rig.finished("abandoned") == 1).await;
    let mut broker = rig.subscribed().await;
    broker.republish(1, "t/a", "x").await;
    let again = calls.next().await;
    assert_eq!(again.attempt, 1, "attempts are counted since the event was delivered last");
    again.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_for_handlers_in_tasks_of_their_own() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler).execution(Execution::Spawn)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "old").await;
    let old = calls.next().await;
    broker.cut();
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/b", Q1, "new").await;
    let new = calls.next().await;
    old.ok();
    broker.expect_no_packet().await;
    new.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_written_after_its_session_was_lost_acknowledges_nothing() {
    let sink = Recording::new();
    let (handler, mut calls) = Calls::new();
    let out = sink.clone();
    let mut rig = Rig::start(config(), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    sink.block(true);
    broker.publish(1, "t/a", Q1, "old").await;
    calls.next().await.emit("out", &["old"]);
    until(|| sink.attempts() == 1).await;
    broker.cut();
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/b", Q1, "new").await;
    let new = calls.next().await;
    sink.block(false);
    until(|| sink.payloads() == ["old"]).await;
    broker.expect_no_packet().await;
    new.ok();
    broker.expect_pubacks([1]).await;
    let summary = rig.leave(broker).await;
    assert_eq!((summary.handled, summary.abandoned), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn epochs_count_the_sessions() {
    let mut rig = Rig::with_handler(config(), Fine);
    for epoch in 1..=3 {
        let mut broker = rig.subscribed().await;
        rig.handle.ready().await;
        let status = rig.handle.status();
        assert_eq!((status.instances[0].epoch, status.instances[0].phase), (epoch, Phase::Ready));
        broker.publish(1, "t/a", Q1, "x").await;
        broker.expect_pubacks([1]).await;
        broker.cut();
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_the_window_shows_what_is_still_being_handled() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.window = 4;
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    for (pkid, qos) in [(1, Q1), (2, Q1), (3, Q1), (0, Q0)] {
        broker.publish(pkid, &format!("t/{pkid}"), qos, "x").await;
    }
    let mut held = calls.take(4).await;
    let shown = || {
        let instance = rig.handle.status().instances.remove(0);
        (instance.unacknowledged, instance.window_use, rig.metric("tidemill_window_saturation_ratio", &[]))
    };
    until(|| shown() == (3, 1.0, 1.0)).await;
    broker.cut();
    until(|| shown() == (0, 1.0, 1.0)).await;
    held.drain(..2).for_each(Call::ok);
    until(|| shown() == (0, 0.5, 0.5)).await;
    held.drain(..).for_each(Call::ok);
    until(|| shown() == (0, 0.0, 0.0)).await;
    // All of it is free in the next session.
    let mut broker = rig.subscribed().await;
    for pkid in 1..=4 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "y").await;
    }
    calls.take(4).await.into_iter().for_each(Call::ok);
    broker.expect_pubacks(1..=4).await;
    let summary = rig.leave(broker).await;
    assert_eq!((summary.received, summary.handled, summary.abandoned), (8, 5, 3));
}
