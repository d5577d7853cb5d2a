//! What operators do to workers under load, and what happens to them: scaling, rolling restarts, `kill -9` (G7, G8).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_runtime::{Config, WorkerHandle};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::mosquitto::MosquittoConfig;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::process::Process;
use super::support::*;

/// Publishes some thousand events a second until it is told that it is enough.
struct Load {
    enough: CancellationToken,
    task: JoinHandle<u32>,
}

impl Load {
    fn start(config: &Config) -> Self {
        let (publisher, enough) = (publisher(config), CancellationToken::new());
        let stop = enough.clone();
        let task = tokio::spawn(async move {
            let mut published = 0;
            while !stop.is_cancelled() {
                publish(&publisher, events(published..published + 20)).await;
                published += 20;
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            publisher.close().await;
            published
        });
        Self { enough, task }
    }

    /// How many were published.
    async fn end(self) -> u32 {
        self.enough.cancel();
        self.task.await.unwrap()
    }
}

async fn scales(url: &str) {
    let mut config = config(url);
    config.mqtt.window = 32;
    let counted = Counted::default();
    let worker = Running::joined(config.clone(), Slow(counted.clone(), Duration::from_millis(5))).await;
    let load = Load::start(&config);
    for instances in [4, 2, 8, 1] {
        let before = counted.distinct();
        until(|| counted.distinct() > before + 300).await;
        worker.handle.scale(instances).unwrap();
        let settled = tokio::time::timeout(Duration::from_secs(20), worker.handle.settled());
        settled.await.expect("the instances come and go");
        assert_eq!(worker.handle.status().instances.len(), instances as usize);
    }
    let published = load.end().await as usize;
    until(|| counted.distinct() == published).await;
    let summary = worker.leave().await;
    assert_eq!((counted.repeated(), summary.handled, summary.abandoned), (0, published as u64, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_under_load_loses_nothing_and_repeats_nothing_on_mosquitto() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    scales(&broker.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_under_load_loses_nothing_and_repeats_nothing_on_the_embedded_broker() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    scales(&broker.url()).await;
    assert_eq!(broker.stats().redelivered, 0);
}

/// Looks all the time at how many instances are subscribed.
struct Members {
    handles: Arc<Mutex<HashMap<usize, WorkerHandle>>>,
    fewest: JoinHandle<()>,
    least: Arc<AtomicUsize>,
}

impl Members {
    fn watch() -> Self {
        let handles: Arc<Mutex<HashMap<usize, WorkerHandle>>> = Arc::default();
        let least = Arc::new(AtomicUsize::new(usize::MAX));
        let (all, into) = (Arc::clone(&handles), Arc::clone(&least));
        let fewest = tokio::spawn(async move {
            loop {
                let ready = all.lock().unwrap().values().filter(|handle| handle.status().ready).count();
                into.fetch_min(ready, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { handles, fewest, least }
    }

    fn set(&self, at: usize, handle: WorkerHandle) {
        self.handles.lock().unwrap().insert(at, handle);
    }
}

async fn rolls(url: &str) {
    let mut config = config(url);
    config.mqtt.window = 32;
    let counted = Counted::default();
    let handler = Slow(counted.clone(), Duration::from_millis(5));
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(Running::joined(config.clone(), handler.clone()).await);
    }
    let members = Members::watch();
    members.set(0, workers[0].handle.clone());
    members.set(1, workers[1].handle.clone());
    members.set(2, workers[2].handle.clone());
    // Those before all three were known do not count.
    members.least.store(usize::MAX, Ordering::SeqCst);
    let load = Load::start(&config);
    let mut handled = 0;
    for at in 0..3 {
        let before = counted.distinct();
        until(|| counted.distinct() > before + 300).await;
        // As a StatefulSet does it: the old one is gone before the new one comes.
        let summary = workers.remove(0).leave().await;
        assert_eq!((summary.handled, summary.abandoned), (summary.received, 0));
        handled += summary.handled;
        let next = Running::joined(config.clone(), handler.clone()).await;
        members.set(at, next.handle.clone());
        workers.push(next);
    }
    let published = load.end().await as usize;
    until(|| counted.distinct() == published).await;
    members.fewest.abort();
    let least = members.least.load(Ordering::SeqCst);
    assert!((2..=3).contains(&least), "{least} workers were subscribed at a time");
    for worker in workers {
        handled += worker.leave().await.handled;
    }
    assert_eq!((counted.repeated(), handled), (0, published as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_repeats_nothing_on_mosquitto() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    rolls(&broker.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_repeats_nothing_on_the_embedded_broker() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    rolls(&broker.url()).await;
    assert_eq!(broker.stats().redelivered, 0);
}

const WINDOW: usize = 20;

/// Kills one of three workers in the middle of it, and starts it again. How many events were handled twice.
async fn killed(url: &str, durable: bool) -> usize {
    let config = config(url);
    let window = WINDOW.to_string();
    let takes = Duration::from_millis(10);
    let start = async |at: usize| {
        let replica = format!("pod-{at}");
        let mut settings = vec![("TIDEMILL_MQTT__WINDOW", &*window)];
        if durable {
            settings.push(("TIDEMILL_IDENTITY__MODE", "durable"));
            settings.push(("TIDEMILL_IDENTITY__REPLICA", &replica));
            settings.push(("TIDEMILL_MQTT__SESSION_EXPIRY", "10m"));
        }
        Process::joined(url, takes, &settings).await
    };
    let mut workers = vec![start(0).await, start(1).await, start(2).await];
    let load = Load::start(&config);
    until(|| workers.iter().all(|worker| worker.handled().len() > 100)).await;
    workers[1].signal("KILL").await;
    let (status, _) = workers[1].ended().await;
    assert!(!status.success());
    workers.push(start(1).await);
    let before = workers[3].handled().len();
    until(|| workers[3].handled().len() > before + 100).await;
    let published = load.end().await as usize;
    let times = || {
        let mut times: HashMap<String, usize> = HashMap::new();
        for payload in workers.iter().flat_map(Process::handled) {
            *times.entry(payload).or_default() += 1;
        }
        times
    };
    until(|| times().len() == published).await;
    let twice = times().values().map(|times| times - 1).sum();
    for at in [0, 2, 3] {
        workers[at].signal("TERM").await;
        let (_, told) = workers[at].ended().await;
        assert!(told.starts_with("ended well"), "{told}");
    }
    twice
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_worker_that_is_killed_loses_nothing_and_repeats_at_most_a_window_on_mosquitto() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    let twice = killed(&broker.url(), true).await;
    assert!(twice <= WINDOW, "{twice} events were handled twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_worker_that_is_killed_loses_nothing_on_a_broker_that_moves_its_events() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let twice = killed(&broker.url(), false).await;
    assert!(twice <= WINDOW, "{twice} events were handled twice");
}
