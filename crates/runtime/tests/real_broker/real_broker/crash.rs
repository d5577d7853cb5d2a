//! Brokers and workers that die in the middle of it (G3, G8).

use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerResult, async_trait};
use tidemill_runtime::config::IdentityMode;
use tidemill_testkit::mosquitto::MosquittoConfig;
use tokio::sync::watch;

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_comes_back_finds_its_workers_again() {
    let Some(mut broker) = mosquitto(MosquittoConfig::default()).await else { return };
    for version in BOTH {
        let mut config = config(broker.url());
        config.mqtt.version = version;
        config.instances = 2.into();
        let counted = Counted::default();
        let worker = Running::joined(config.clone(), Slow(counted.clone(), Duration::from_millis(1))).await;
        let publisher = publisher(&config);
        publish(&publisher, events(0..200)).await;
        let acked = || worker.handle.status().instances.iter().map(|instance| instance.acked).sum::<u64>();
        until(|| acked() == 200).await;
        broker.kill().await.unwrap();
        until(|| worker.handle.status().instances.iter().all(|instance| instance.last_error.is_some())).await;
        broker.restart().await.unwrap();
        until(|| worker.handle.status().instances.iter().all(|instance| instance.epoch >= 2)).await;
        worker.ready().await;
        publish(&publisher, events(200..400)).await;
        until(|| counted.distinct() == 400).await;
        assert_eq!(counted.repeated(), 0, "what was acknowledged is not handled again");
        publisher.close().await;
        let summary = worker.leave().await;
        assert_eq!((summary.handled, summary.abandoned), (400, 0));
    }
}

/// Waits until it is let go.
#[derive(Clone, Debug)]
struct Held {
    counted: Counted,
    open: watch::Sender<bool>,
}

#[async_trait]
impl Handler for Held {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        self.open.subscribe().wait_for(|open| *open).await?;
        self.counted.add(event);
        Ok(())
    }
}

/// The broker dies with a full window in hand: nothing of it is acknowledged to its successor, which knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_with_events_in_hand_gets_no_acknowledgement_for_them_later() {
    let config_of_broker = MosquittoConfig { persistence: true, ..MosquittoConfig::default() };
    let Some(mut broker) = mosquitto(config_of_broker).await else { return };
    let mut config = config(broker.url());
    config.mqtt.window = 50;
    let counted = Counted::default();
    let held = Held { counted: counted.clone(), open: watch::Sender::new(false) };
    let worker = Running::joined(config.clone(), held.clone()).await;
    let publisher = publisher(&config);
    publish(&publisher, (0..50).map(|number| (format!("t/{number}"), format!("old {number}")))).await;
    until(|| worker.handle.status().received == 50).await;
    broker.restart().await.unwrap();
    until(|| worker.handle.status().instances[0].epoch == 2).await;
    worker.ready().await;
    publish(&publisher, (0..50).map(|number| (format!("t/{number}"), format!("new {number}")))).await;
    held.open.send_replace(true);
    until(|| counted.missing((0..50).map(|number| format!("new {number}"))).is_empty()).await;
    until(|| worker.handle.status().unfinished == 0).await;
    until(|| worker.handle.status().instances[0].acked == 50).await;
    let status = worker.handle.status();
    assert_eq!((status.received, status.handled, status.abandoned), (100, 50, 50), "{status:?}");
    worker.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_worker_that_crashes_gets_back_what_it_had_not_acknowledged() {
    const EVENTS: u32 = 1000;
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    for version in BOTH {
        let mut config = config(broker.url());
        config.mqtt.version = version;
        config.mqtt.window = 50;
        config.identity.mode = IdentityMode::Durable;
        config.identity.replica = Some(format!("pod-{version:?}"));
        config.mqtt.session_expiry = Duration::from_secs(300);
        config.group.name = Some(format!("g-{version:?}"));
        let counted = Counted::default();
        let handler = Slow(counted.clone(), Duration::from_millis(2));
        let mut worker = Running::joined(config.clone(), handler.clone()).await;
        let publisher = publisher(&config);
        publish(&publisher, events(0..EVENTS)).await;
        for round in 1..=3 {
            until(|| counted.distinct() > round * 200).await;
            worker.crash().await;
            worker = Running::joined(config.clone(), handler.clone()).await;
        }
        until(|| counted.distinct() == EVENTS as usize).await;
        until(|| worker.handle.status().unfinished == 0).await;
        // Mosquitto hands out more than the window that it was told.
        assert!(counted.repeated() <= 3 * 150, "{} duplicates after three crashes", counted.repeated());
        publisher.close().await;
        worker.leave().await;
    }
}

/// A connection that is cut over and over: at-least-once holds, with a durable session.
#[tokio::test(flavor = "multi_thread")]
async fn a_durable_worker_whose_broker_is_restarted_over_and_over_handles_everything() {
    const EVENTS: u32 = 600;
    let config_of_broker = MosquittoConfig { persistence: true, ..MosquittoConfig::default() };
    let Some(mut broker) = mosquitto(config_of_broker).await else { return };
    let mut config = config(broker.url());
    config.identity.mode = IdentityMode::Durable;
    config.identity.replica = Some("pod-1".to_owned());
    config.mqtt.session_expiry = Duration::from_secs(300);
    config.mqtt.reconnect.min = Duration::from_millis(100);
    config.mqtt.reconnect.max = Duration::from_millis(300);
    let counted = Counted::default();
    let worker = Running::joined(config.clone(), Slow(counted.clone(), Duration::from_millis(1))).await;
    let publisher = publisher(&config);
    for round in 0..3 {
        publish(&publisher, events(round * EVENTS / 3..(round + 1) * EVENTS / 3)).await;
        until(|| counted.distinct() == ((round + 1) * EVENTS / 3) as usize).await;
        // Its state is on disk once a second.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        broker.restart().await.unwrap();
        until(|| worker.handle.status().instances[0].epoch >= u64::from(round) + 2).await;
    }
    worker.ready().await;
    assert_eq!(counted.times("0"), 1);
    worker.leave().await;
}
