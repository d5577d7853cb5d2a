//! A sink that is down: its breaker, what the worker shows of it, and whether its routes are paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidemill_core::{Event, Record, SinkError};
use tidemill_runtime::{Config, Route, SinkSettings, SinkStatus};

use crate::support::*;

/// A sink that is down while the flag says so, and how.
fn switched(down: &Arc<AtomicBool>, how: fn() -> SinkError) -> Target {
    let down = Arc::clone(down);
    Target::new(move |_, _| (Duration::ZERO, if down.load(Ordering::SeqCst) { Err(how()) } else { Ok(()) }))
}

/// Without pings: these tests wait for long.
fn quiet() -> Config {
    let mut config = config();
    config.mqtt.keep_alive = Duration::ZERO;
    config
}

fn unavailable() -> SinkError {
    SinkError::unavailable("connection refused")
}

fn echo() -> impl tidemill_core::Handler {
    does(|event: &Event, cx| Ok(cx.emit("out", Record::new(event.payload().clone()))?))
}

fn start(config: Config, target: &Target, change: impl FnOnce(&mut SinkSettings)) -> Rig {
    let mut settings = SinkSettings::default();
    change(&mut settings);
    let out = target.clone();
    Rig::start(config, |worker| worker.sink_with("out", out, settings).add_route(route(echo())))
}

fn out(rig: &Rig) -> SinkStatus {
    rig.handle.status().sinks.into_iter().find(|sink| &*sink.name == "out").unwrap()
}

fn breaker(rig: &Rig) -> bool {
    rig.metric("tidemill_sink_breaker_open", &[("sink", "out")]) > 0.5
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_after_failures_in_a_row_and_closes_with_the_first_success() {
    let down = Arc::new(AtomicBool::new(true));
    let target = switched(&down, unavailable);
    let mut rig = start(quiet(), &target, |s| (s.in_flight, s.max_batch_records) = (4, 1));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    for pkid in 1..=20 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    until(|| breaker(&rig)).await;
    let tries = target.begun();
    assert!((5..=8).contains(&tries), "others may begin in the instant in which the fifth fails: {tries}");
    let shown = out(&rig);
    assert_eq!((shown.state, shown.breaker, shown.queue_records, shown.in_flight), ("unavailable", "open", 20, 4));
    assert!(shown.last_error.unwrap().contains("connection refused"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let probes = target.begun() - tries;
    assert!((5..=13).contains(&probes), "one at a time, each within five seconds of the last: {probes}");
    assert!(out(&rig).oldest_record_seconds >= 30.0);
    assert!(rig.metric("tidemill_sink_oldest_record_seconds", &[("sink", "out")]) >= 30.0);
    assert!(rig.handle.status().ready, "the worker is ready: others would be no better off");
    down.store(false, Ordering::SeqCst);
    broker.expect_pubacks(1..=20).await;
    assert!(!breaker(&rig));
    let shown = out(&rig);
    assert_eq!((shown.state, shown.written, shown.queue_records), ("open", 20, 0));
    assert!(shown.last_error.is_some(), "to be seen afterwards");
    assert_eq!(target.payloads().len(), 20, "each once");
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_set_up_wrongly_makes_the_worker_unready_until_it_is_mended() {
    let down = Arc::new(AtomicBool::new(true));
    let target = switched(&down, || SinkError::misconfigured("no such table"));
    let mut rig = start(quiet(), &target, |_| {});
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    rig.handle.ready().await;
    assert!(rig.handle.status().ready);
    broker.publish(1, "t/a", Q1, "x").await;
    until(|| out(&rig).state == "misconfigured").await;
    assert!(!rig.handle.status().ready && breaker(&rig));
    down.store(false, Ordering::SeqCst);
    broker.expect_pubacks([1]).await;
    assert!(rig.handle.status().ready);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_makes_the_worker_unready_where_the_settings_say_so() {
    let down = Arc::new(AtomicBool::new(true));
    let target = switched(&down, unavailable);
    let mut rig = start(quiet(), &target, |s| s.affects_readiness = true);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    rig.handle.ready().await;
    broker.publish(1, "t/a", Q1, "x").await;
    until(|| breaker(&rig)).await;
    assert!(!rig.handle.status().ready);
    down.store(false, Ordering::SeqCst);
    broker.expect_pubacks([1]).await;
    assert!(rig.handle.status().ready);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_route_is_unsubscribed_while_a_sink_that_it_emits_to_is_down() {
    let down = Arc::new(AtomicBool::new(true));
    let target = switched(&down, unavailable);
    let mut config = quiet();
    config.kill_switch.sink_breakers = true;
    let sink = target.clone();
    let mut rig = Rig::start(config, |worker| {
        worker.sink("out", sink).add_route(route(echo())).add_route(Route::new("healthy/#", Fine).named("healthy"))
    });
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    broker.publish(1, "t/a", Q1, "x").await;
    let left = broker.accept_unsubscribe().await;
    assert_eq!(left.filters, ["$share/g/t/#"], "the other route goes on");
    assert_eq!(rig.handle.status().paused_routes, [Box::<str>::from("t")]);
    broker.publish(2, "healthy/a", Q1, "x").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(breaker(&rig), "what is held is what it is tried with");
    down.store(false, Ordering::SeqCst);
    loop {
        match broker.recv().await {
            v5::Packet::Subscribe(back) => {
                assert_eq!(back.filters[0].path, "$share/g/t/#");
                break;
            }
            v5::Packet::PubAck(_) => {}
            v5::Packet::PingReq(_) => broker.send(v5::Packet::PingResp(v5::PingResp)).await,
            other => panic!("{other:?}"),
        }
    }
    assert!(rig.handle.status().paused_routes.is_empty());
    assert_eq!(target.payloads(), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn no_route_is_unsubscribed_for_a_sink_unless_the_settings_say_so() {
    let down = Arc::new(AtomicBool::new(true));
    let target = switched(&down, unavailable);
    let mut rig = start(quiet(), &target, |_| {});
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    until(|| breaker(&rig)).await;
    broker.expect_no_packet_for(Duration::from_secs(20)).await;
}
