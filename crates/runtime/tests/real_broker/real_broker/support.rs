//! A Mosquitto, certificates for it, a worker that counts what it handles, and a publisher.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::topic::TopicName;
use tidemill_core::{Context, Event, Handler, HandlerResult, Publication, async_trait};
use tidemill_runtime::{Config, MqttVersion, Publisher, RunError, Summary, Worker, WorkerBuilder, WorkerHandle};
use tidemill_testkit::certificates::Certificates;
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, MosquittoErrorKind, require_or_skip};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) const BOTH: [MqttVersion; 2] = [MqttVersion::V5, MqttVersion::V3_1_1];

/// Starts Mosquitto, unless it is not installed.
pub(super) async fn mosquitto(config: MosquittoConfig) -> Option<Mosquitto> {
    match Mosquitto::start(config).await {
        Err(error) if error.kind() != MosquittoErrorKind::Missing => panic!("{error}"),
        result => require_or_skip(result),
    }
}

/// A group at that broker.
pub(super) fn config(url: impl Into<String>) -> Config {
    let mut config = Config::default();
    config.mqtt.url = url.into();
    config.group.name = Some("g".to_owned());
    config.drain.deadline = Duration::from_secs(20);
    config
}

/// How often each payload was handled.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted(Arc<Mutex<HashMap<String, u32>>>);

impl Counted {
    pub(super) fn add(&self, event: &Event) {
        let payload = String::from_utf8(event.payload().to_vec()).unwrap();
        *self.0.lock().unwrap().entry(payload).or_default() += 1;
    }

    /// How many different payloads were handled.
    pub(super) fn distinct(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(super) fn times(&self, payload: &str) -> u32 {
        self.0.lock().unwrap().get(payload).copied().unwrap_or(0)
    }

    /// Payloads that were handled more than once.
    pub(super) fn repeated(&self) -> usize {
        self.0.lock().unwrap().values().filter(|times| **times > 1).count()
    }

    /// Those of `expected` that were not handled.
    pub(super) fn missing(&self, expected: impl IntoIterator<Item = String>) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        expected.into_iter().filter(|payload| !seen.contains_key(payload)).collect()
    }
}

/// Counts, after a while.
#[derive(Clone, Debug)]
pub(super) struct Slow(pub(super) Counted, pub(super) Duration);

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        if !self.1.is_zero() {
            tokio::time::sleep(self.1).await;
        }
        self.0.add(event);
        Ok(())
    }
}

/// A worker that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) handle: WorkerHandle,
    stop: CancellationToken,
    task: JoinHandle<Result<Summary, RunError>>,
}

impl Running {
    pub(super) fn start(config: Config, assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Self {
        let worker = assemble(Worker::builder(config)).build().expect("the worker is set up rightly");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let handle = worker.handle();
        let task = tokio::spawn(worker.run_until(async move { stopped.cancelled().await }));
        Self { handle, stop, task }
    }

    /// Starts one and waits until it has joined its group.
    pub(super) async fn joined(config: Config, handler: impl Handler) -> Self {
        let worker = Self::start(config, |worker| worker.route("t/#", handler));
        worker.ready().await;
        worker
    }

    pub(super) async fn ready(&self) {
        let ready = tokio::time::timeout(Duration::from_secs(20), self.handle.ready());
        if ready.await.is_err() {
            panic!("the worker does not join: {:?}", self.handle.status());
        }
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Leaves by the book.
    pub(super) async fn leave(self) -> Summary {
        self.stop();
        let summary = self.ended().await.unwrap();
        assert_eq!(summary.received, summary.handled + summary.dead_lettered + summary.dropped + summary.abandoned);
        summary
    }

    pub(super) async fn ended(self) -> Result<Summary, RunError> {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.task);
        ended.await.expect("the worker does not end").expect("the worker panicked")
    }

    /// Ends it as a crash would: at once, in the middle of everything, without a word.
    pub(super) async fn crash(self) {
        self.task.abort();
        // It cannot have ended well in between.
        let _ = self.task.await;
    }
}

/// Publishes at QoS 1 and waits until the broker has it all.
pub(super) async fn publish(publisher: &Publisher, events: impl IntoIterator<Item = (String, String)>) {
    let mut waiting = Vec::new();
    for (topic, payload) in events {
        let publication = Publication::new(TopicName::new(&topic).unwrap(), payload);
        waiting.push(publisher.start(publication).await.unwrap());
    }
    for outcome in waiting {
        outcome.await.unwrap().unwrap();
    }
}

/// So many events over ten topics; the payloads are their numbers.
pub(super) fn events(numbers: std::ops::Range<u32>) -> impl Iterator<Item = (String, String)> {
    numbers.map(|number| (format!("t/{}", number % 10), number.to_string()))
}

pub(super) fn publisher(config: &Config) -> Publisher {
    Publisher::start_with(config, "publisher").unwrap()
}

/// Waits until it holds, at most half a minute.
#[track_caller]
pub(super) fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        for _ in 0..6000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("what is awaited at {caller} never came true");
    }
}

/// What a broker on `127.0.0.1` shows, and what trusts it.
pub(super) fn certificates() -> Certificates {
    Certificates::for_hosts(["127.0.0.1"]).unwrap()
}

/// A free port, for a listener that the broker is told of in its own words.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Memory of this process that is in use, in KiB.
pub(super) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The error and its causes.
pub(super) fn told(error: &RunError) -> String {
    tidemill_core::report(error)
}
