//! A window that stays full is resolved whatever holds it up, and in time (G11); and a session that could not read for a
//! while is not given up for it.

use std::time::Duration;

use tidemill_core::prelude::*;
use tidemill_runtime::{Config, MqttVersion, Route};
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, config};

const AFTER: Duration = Duration::from_secs(10);

fn watched(window: u16) -> Config {
    let mut config = config(window);
    config.dispatch.stall_after = AFTER;
    config.retry.max_attempts = 0;
    config.retry.max_elapsed = Duration::ZERO;
    config
}

/// Waits until nothing is unfinished, and tells how long it took.
async fn finished(bench: &Bench, events: u64) -> Duration {
    let start = Instant::now();
    loop {
        let status = bench.handle.status();
        if status.handled + status.dead_lettered == events {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(24 * 3600), "{status:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn events(texts: &[&str]) -> Vec<(String, String)> {
    texts.iter().enumerate().map(|(at, text)| (format!("t/{at}"), (*text).to_owned())).collect()
}

/// Does what the payload says: `ok`, `hang`, `busy` for an hour, `fails`, `slow` for some seconds.
fn obedient() -> Route {
    let handler = handler_fn(|event: Event, _: Context| async move {
        match std::str::from_utf8(event.payload()).permanent()?.trim() {
            "hang" => std::future::pending().await,
            "busy" => Err("busy").retry_after(Duration::from_secs(3600)),
            "fails" => Err("fails".into()),
            "slow" => {
                sleep(Duration::from_secs(8)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    });
    Route::new("t/{key}", handler).named("t")
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_cut_and_its_event_dead_lettered_while_the_window_is_full() {
    let mut bench = Bench::start(watched(4), obedient()).await;
    bench.publish(events(&["hang", "ok", "ok", "ok", "ok", "ok"])).await;
    let took = finished(&bench, 6).await;
    assert!(took >= AFTER * 3 && took < AFTER * 4, "{took:?}");
    let summary = bench.leave().await;
    assert_eq!((summary.handled, summary.dead_lettered), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_to_be_tried_again_much_later_holds_up_a_full_window_no_longer() {
    let mut bench = Bench::start(watched(4), obedient()).await;
    bench.publish(events(&["busy", "ok", "ok", "ok", "ok", "ok"])).await;
    let took = finished(&bench, 6).await;
    assert!(took >= AFTER * 3 && took < AFTER * 4, "{took:?}");
    assert_eq!(bench.leave().await.dead_lettered, 1);
}

/// The one that fails began to wait first, but came after the one that holds everything up.
#[tokio::test(start_paused = true)]
async fn the_event_that_came_first_is_cut_first() {
    let mut bench = Bench::start(watched(3), obedient()).await;
    bench.publish([("t/a".to_owned(), "slow"), ("t/a".to_owned(), "hang")]).await;
    sleep(Duration::from_secs(1)).await;
    bench.publish([("t/b".to_owned(), "fails"), ("t/c".to_owned(), "ok")]).await;
    sleep(Duration::from_secs(60)).await;
    let status = bench.handle.status();
    assert_eq!((status.handled, status.dead_lettered, status.unfinished), (2, 1, 1), "{status:?}");
    assert_eq!(
        status.instances[0].unacknowledged, 2,
        "the one that fails is still tried, and the last one waits for it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_full_of_bytes_is_full() {
    let mut config = watched(1000);
    config.mqtt.max_packet_bytes = 1024;
    config.mqtt.max_unfinished_bytes = 1024;
    let mut bench = Bench::start(config, obedient()).await;
    let mut hang = "hang".to_owned();
    hang.extend(std::iter::repeat_n(' ', 600));
    bench.publish(events(&[&hang, &hang, "ok", "ok"])).await;
    sleep(AFTER * 4).await;
    let status = bench.handle.status();
    assert_eq!((status.handled, status.dead_lettered, status.unfinished), (2, 1, 1), "{status:?}");
}

/// A broker that sends more than the window holds is not read, and the answer to a ping is seen only some time later.
#[tokio::test(start_paused = true)]
async fn a_connection_is_not_given_up_for_a_ping_whose_answer_could_not_be_read_yet() {
    let handler = handler_fn(|event: Event, _: Context| async move {
        let millis: u64 = std::str::from_utf8(event.payload())?.parse()?;
        sleep(Duration::from_millis(millis)).await;
        Ok(())
    });
    let mut config = config(1);
    // Without Receive Maximum the broker sends as much as it can.
    config.mqtt.version = MqttVersion::V3_1_1;
    config.mqtt.keep_alive = Duration::from_secs(4);
    config.mqtt.ping_timeout = Duration::from_secs(2);
    let route = Route::new("t/{key}", handler).named("t");
    let mut bench = Bench::far_away(config, route, Duration::from_millis(50)).await;
    // All lengths around those after which clocks are looked at.
    bench.publish((0..400).map(|event| ("t/a".to_owned(), (4000 + 17 * event).to_string()))).await;
    finished(&bench, 400).await;
    assert_eq!(bench.handle.status().instances[0].epoch, 1);
    bench.leave().await;
}
