//! A worker that follows its load, on the embedded broker and under paused time: no event is lost or handled twice while
//! instances come and go (G7).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerResult, async_trait};
use tidemill_runtime::config::Instances;
use tidemill_runtime::{ScaledBy, Worker, WorkerHandle};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::*;

/// Takes a tenth of a second for each event.
#[derive(Clone, Debug, Default)]
struct Slow(Arc<Mutex<HashMap<String, u32>>>);

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        sleep(Duration::from_millis(100)).await;
        *self.0.lock().unwrap().entry(String::from_utf8(event.payload().to_vec()).unwrap()).or_default() += 1;
        Ok(())
    }
}

/// Waits until it holds, at most an hour.
async fn comes(handle: &WorkerHandle, what: &str, holds: impl Fn(u32) -> bool) {
    for _ in 0..36_000 {
        let scaling = handle.status().scaling;
        assert!((1..=6).contains(&scaling.wanted), "{scaling:?}");
        if holds(scaling.wanted) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} never came true: {:?}", handle.status().scaling);
}

#[tokio::test(start_paused = true)]
async fn a_worker_grows_under_a_load_shrinks_without_it_and_handles_every_event_once() {
    let broker = Arc::new(Broker::start(BrokerConfig::in_memory()).await.unwrap());
    let mut config = config();
    // 80 events a second for each instance.
    config.mqtt.window = 8;
    config.instances = Instances::Elastic { min: 1, max: 6 };
    let handler = Slow::default();
    let worker = Worker::builder(config)
        .connector(Direct(Arc::clone(&broker)))
        .on_one_runtime()
        .route("t/#", handler.clone())
        .build()
        .unwrap();
    let (handle, stop, enough) = (worker.handle(), CancellationToken::new(), CancellationToken::new());
    let stopped = stop.clone();
    let running = tokio::spawn(worker.run_until(async move { stopped.cancelled().await }));
    handle.ready().await;
    let mut publisher = RawClient::new(broker.connect());
    publisher.connect(ConnectOptions::new("publisher")).await;
    let publishing = tokio::spawn({
        let enough = enough.clone();
        async move {
            let mut published = 0_u32;
            while !enough.is_cancelled() {
                publisher.publish_acked(&format!("t/{}", published % 100), published.to_string()).await;
                published += 1;
                sleep(Duration::from_millis(5)).await;
            }
            published
        }
    });
    comes(&handle, "a number that carries 200 events a second", |wanted| wanted >= 3).await;
    let grown = handle.status().scaling.last_decision.unwrap();
    assert_eq!((grown.by, grown.to), (ScaledBy::Load, 3));
    assert!(grown.reason.contains("s while handlers waited and the CPU was"), "{}", grown.reason);
    // The backlog is gone, and what remains is the load.
    while broker.stats().queued > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    handle.settled().await;
    enough.cancel();
    let published = publishing.await.unwrap();
    comes(&handle, "one instance without a load", |wanted| wanted == 1).await;
    handle.settled().await;
    let shrunk = handle.status().scaling.last_decision.unwrap();
    assert!(shrunk.reason.contains("the other instances could carry the load"), "{}", shrunk.reason);
    stop.cancel();
    let summary = running.await.unwrap().unwrap();
    let handled = handler.0.lock().unwrap();
    assert_eq!((handled.len(), summary.handled), (published as usize, u64::from(published)), "nothing is lost");
    assert!(handled.values().all(|times| *times == 1), "nothing is handled twice");
    assert_eq!((broker.stats().redelivered, broker.stats().dropped), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_a_number_keeps_it_whatever_the_load() {
    let mut config = config();
    config.instances = Instances::Elastic { min: 1, max: 3 };
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::with_handler(config, Fine);
    let _first = rig.subscribed().await;
    rig.handle.scale(2).unwrap();
    let _second = rig.subscribed().await;
    rig.handle.settled().await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.handle.status().instances.len(), 2, "an idle instance stays");
    rig.handle.scale_auto();
    sleep(Duration::from_secs(60)).await;
    until(|| rig.handle.status().scaling.wanted == 1).await;
}
