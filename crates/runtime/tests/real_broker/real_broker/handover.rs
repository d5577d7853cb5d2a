//! Leaving in the middle of a run while another worker takes over: every event exactly once (G7).

use std::time::Duration;

use tidemill_runtime::MqttVersion;
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::mosquitto::MosquittoConfig;

use super::support::*;

/// One worker after the other joins, works and leaves, while events keep coming.
async fn hands_over(url: &str, version: MqttVersion) {
    const EVENTS: u32 = 3000;
    let mut config = config(url);
    config.mqtt.version = version;
    config.instances = 2.into();
    config.mqtt.window = 64;
    let counted = Counted::default();
    let handler = Slow(counted.clone(), Duration::from_millis(2));
    let mut worker = Running::joined(config.clone(), handler.clone()).await;
    let publishing = tokio::spawn({
        let publisher = publisher(&config);
        async move {
            for start in (0..EVENTS).step_by(50) {
                publish(&publisher, events(start..start + 50)).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            publisher.close().await;
        }
    });
    let mut handled = 0;
    for round in 1..=3 {
        until(|| counted.distinct() > round * 400).await;
        let next = Running::joined(config.clone(), handler.clone()).await;
        let summary = std::mem::replace(&mut worker, next).leave().await;
        assert_eq!((summary.handled, summary.abandoned), (summary.received, 0));
        handled += summary.handled;
    }
    publishing.await.unwrap();
    until(|| counted.distinct() == EVENTS as usize).await;
    handled += worker.leave().await.handled;
    assert_eq!((counted.repeated(), handled), (0, u64::from(EVENTS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_mosquitto_every_event_is_handled_once() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    for version in BOTH {
        hands_over(&broker.url(), version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_embedded_broker_every_event_is_handled_once() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    for version in BOTH {
        hands_over(&broker.url(), version).await;
    }
    assert_eq!(broker.stats().redelivered, 0);
    broker.shutdown().await;
}
