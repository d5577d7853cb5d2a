//! A window that stays full is seen and resolved, one rung after the other (G11).

use std::time::Duration;

use tokio::time::Instant;

use crate::support::*;

fn with_window(events: u16) -> tidemill_runtime::Config {
    let mut config = config();
    config.mqtt.window = events;
    config.mqtt.keep_alive = Duration::ZERO;
    config.retry.max_attempts = 0;
    config.dispatch.stall_after = Duration::from_secs(60);
    config
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_holds_up_a_full_window_is_cut_and_then_its_event_dead_lettered() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(with_window(2), handler);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(600));
    broker.publish(1, "t/hangs", Q1, "hangs").await;
    broker.publish(2, "t/fine", Q1, "fine").await;
    let began = Instant::now();
    let hangs = calls.next().await;
    calls.next().await.ok();
    let again = calls.next().await;
    assert!(hangs.is_cut() && again.text() == "hangs" && again.attempt == 2);
    assert!(began.elapsed() >= Duration::from_secs(115), "{:?}", began.elapsed());
    let mut dead = rig.publishing().await;
    assert!(began.elapsed() >= Duration::from_secs(175) && began.elapsed() < Duration::from_secs(200));
    let letter = dead.expect_publish().await;
    assert_eq!(&letter.payload[..], b"hangs");
    let told = letter.properties.unwrap().user_properties;
    assert!(told.contains(&("tidemill-reason".to_owned(), "stalled".to_owned())), "{told:?}");
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1, 2]).await;
    assert!((rig.metric("tidemill_stalls_total", &[]) - 3.0).abs() < f64::EPSILON);
    assert_balanced(&rig.registry);
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_in_a_window_with_room_is_left_alone() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(with_window(3), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!call.is_cut() && rig.metric("tidemill_stalls_total", &[]).abs() < f64::EPSILON);
    call.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_is_cut() {
    let (handler, mut calls) = Calls::new();
    let mut config = with_window(1);
    config.dispatch.stall_after = Duration::ZERO;
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!call.is_cut());
    call.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

/// What is in a sink is in nobody's hands: it is not cut, and not dead-lettered although it was handled.
#[tokio::test(start_paused = true)]
async fn a_sink_that_holds_up_a_full_window_is_waited_for() {
    let sink = Recording::new();
    sink.block(true);
    let handler = does(|_, cx| Ok(cx.emit("out", tidemill_core::Record::new("r"))?));
    let out = sink.clone();
    let mut rig = Rig::start(with_window(1), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    until(|| sink.attempts() == 1).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((rig.finished("dead_lettered"), rig.handle.status().unfinished), (0, 1));
    sink.block(false);
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}
