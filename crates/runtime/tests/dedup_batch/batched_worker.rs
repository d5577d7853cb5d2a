//! Batch handlers in a worker: lanes, retries, sinks and draining around them.

use std::time::Duration;

use tidemill_runtime::batch::{BatchSettings, Batched};
use tidemill_runtime::{Order, Route};
use tokio::time::Instant;

use crate::rig::{Rig, config};
use crate::support::{Does, MS};

fn linger(linger: Duration) -> BatchSettings {
    BatchSettings::default().linger(linger)
}

fn batched(does: &Does, settings: BatchSettings) -> Route {
    Route::new("t/#", Batched::new(does.clone(), settings)).named("t")
}

/// The sizes of the batches so far.
fn sizes(does: &Does) -> Vec<usize> {
    does.batches().iter().map(Vec::len).collect()
}

#[tokio::test(start_paused = true)]
async fn fewer_events_at_a_time_than_fill_a_batch_go_on_after_the_linger() {
    let does = Does::default();
    let mut config = config();
    config.dispatch.concurrency = 3;
    let mut rig = Rig::start(config, batched(&does, linger(MS * 50))).await;
    let began = Instant::now();
    for pkid in 1..=10 {
        rig.publish(pkid, &format!("t/{pkid}"), "ok").await;
    }
    rig.broker.expect_pubacks(1..=10).await;
    assert_eq!(sizes(&does), [3, 3, 3, 1]);
    assert!(began.elapsed() < MS * 250, "{:?}", began.elapsed());
    rig.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_keyed_route_puts_at_most_one_event_of_a_key_into_a_batch_and_keeps_their_order() {
    let does = Does::default();
    let mut rig = Rig::start(config(), batched(&does, linger(MS * 50))).await;
    for pkid in 1..=6 {
        rig.publish(pkid, if pkid % 2 == 1 { "t/odd" } else { "t/even" }, &format!("{pkid:03}-")).await;
    }
    rig.broker.expect_pubacks(1..=6).await;
    assert_eq!(does.batches(), [["001-", "002-"], ["003-", "004-"], ["005-", "006-"]]);
    rig.leave().await;
}

#[tokio::test(start_paused = true)]
async fn an_unordered_route_fills_batches_from_a_hot_key() {
    let does = Does::default();
    let route = batched(&does, linger(MS * 50).max_events(3)).order(Order::Unordered);
    let mut rig = Rig::start(config(), route).await;
    let began = Instant::now();
    for pkid in 1..=6 {
        rig.publish(pkid, "t/hot", "ok").await;
    }
    rig.broker.expect_pubacks(1..=6).await;
    assert_eq!(sizes(&does), [3, 3]);
    assert!(began.elapsed() < MS * 50, "{:?}", began.elapsed());
    rig.leave().await;
}

#[tokio::test(start_paused = true)]
async fn the_neighbours_of_one_that_panics_or_hangs_are_handled_at_their_second_attempt() {
    for poison in ["panic", "hang"] {
        let does = Does::default();
        let mut config = config();
        config.retry.max_attempts = 2;
        let route = batched(&does, linger(MS * 10).max_events(5)).timeout(Duration::from_secs(2));
        let mut rig = Rig::start(config, route).await;
        for pkid in 1..=4 {
            rig.publish(pkid, &format!("t/{pkid}"), "fine").await;
        }
        rig.publish(5, "t/5", poison).await;
        rig.broker.expect_pubacks(1..=4).await;
        let mut sizes = sizes(&does);
        sizes.sort_unstable();
        assert!(sizes.ends_with(&[5]) && sizes[..sizes.len() - 1].iter().all(|size| *size == 1), "{sizes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn records_of_each_event_are_written_before_it_is_acknowledged() {
    let does = Does::default();
    let mut rig = Rig::start(config(), batched(&does, linger(MS * 10))).await;
    for pkid in 1..=20 {
        rig.publish(pkid, &format!("t/{pkid}"), &format!("{pkid:03}-")).await;
    }
    for pkid in 1..=20 {
        rig.broker.expect_pubacks([pkid]).await;
        let payload = format!("{pkid:03}-");
        assert!(rig.written.payloads().contains(&payload), "{payload} was acknowledged first");
    }
    assert_eq!(sizes(&does), [20]);
    assert_eq!(rig.written.payloads().len(), 20);
    rig.leave().await;
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_batches_that_gather() {
    let does = Does::default();
    let mut rig = Rig::start(config(), batched(&does, linger(Duration::from_secs(2)))).await;
    for pkid in 1..=3 {
        rig.publish(pkid, &format!("t/{pkid}"), "ok").await;
    }
    let began = Instant::now();
    rig.unsubscribe().await;
    rig.broker.expect_pubacks(1..=3).await;
    assert!(began.elapsed() <= Duration::from_secs(2) + MS);
    let summary = rig.disconnect().await;
    assert_eq!((summary.received, summary.handled), (3, 3));
}
