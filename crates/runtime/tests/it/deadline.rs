//! Leaving ends in time, whatever hangs; what is left stays unacknowledged and is counted (G10).

use std::time::Duration;

use tidemill_core::SinkError;
use tidemill_runtime::RunErrorKind;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_ends_with_the_drains_deadline_and_its_event_stays_unacknowledged() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut config = config_of(version);
        config.drain.deadline = Duration::from_secs(12);
        let mut rig = Rig::with_handler(config, handler);
        let mut broker = rig.subscribed().await;
        for (pkid, text) in [(1, "fine"), (2, "hangs"), (3, "fine too")] {
            broker.publish(pkid, &format!("t/{pkid}"), Q1, text).await;
        }
        let mut held = calls.take(3).await;
        rig.stop();
        let began = tokio::time::Instant::now();
        broker.accept_unsubscribe().await;
        held.remove(2).ok();
        held.remove(0).ok();
        broker.expect_pubacks([1]).await;
        let mut broker = broker.with_patience(Duration::from_secs(60));
        broker.expect_closed().await;
        let registry = rig.registry.clone();
        let error = rig.ended().await.unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (RunErrorKind::DrainDeadline, 75));
        assert!(told(&error).contains("12s") && told(&error).contains("1 event"), "{}", told(&error));
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(12) && took < Duration::from_secs(14), "{took:?}");
        assert!(held[0].is_cut());
        assert_balanced(&registry);
        assert_eq!(count(&registry, "tidemill_events_finished_total", &[("outcome", "abandoned")]), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_ends_with_the_deadline_and_its_events_count_as_abandoned() {
    let sink = Recording::new();
    let (handler, mut calls) = Calls::new();
    let out = sink.clone();
    let mut rig = Rig::start(config(), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    sink.block(true);
    broker.publish(1, "t/1", Q1, "x").await;
    broker.publish(2, "t/2", Q1, "x").await;
    calls.next().await.emit("out", &["a", "b"]);
    calls.next().await.emit("out", &["c"]);
    until(|| sink.attempts() == 1).await;
    rig.stop();
    let began = tokio::time::Instant::now();
    broker.accept_unsubscribe().await;
    broker.expect_closed().await;
    let registry = rig.registry.clone();
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::DrainDeadline);
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    assert_balanced(&registry);
    assert_eq!(count(&registry, "tidemill_events_finished_total", &[("outcome", "abandoned")]), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_ever_ends_with_the_deadline() {
    let sink = Recording::new();
    for _ in 0..1000 {
        sink.answer(SinkError::unavailable("down"));
    }
    let out = sink.clone();
    let handler = does(|_, cx| Ok(cx.emit("out", tidemill_core::Record::new("r"))?));
    let mut rig = Rig::start(config(), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    broker.publish(1, "t/1", Q1, "x").await;
    until(|| sink.attempts() > 3).await;
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.expect_closed().await;
    let registry = rig.registry.clone();
    assert_eq!(rig.ended().await.unwrap_err().kind(), RunErrorKind::DrainDeadline);
    assert_balanced(&registry);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_the_unsubscribe_costs_the_deadline_and_no_more() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    rig.stop();
    broker.expect_unsubscribe().await;
    broker.expect_closed().await;
    assert_eq!(rig.ended().await.unwrap_err().kind(), RunErrorKind::DrainDeadline);
}
