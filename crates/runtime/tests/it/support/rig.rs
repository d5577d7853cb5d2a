//! A worker at the end of in-memory pipes, with the broker's ends in the test's hands.

use std::future::Future;
use std::time::Duration;

use prometheus::Registry;
use tidemill_core::{Handler, async_trait};
use tidemill_runtime::{BoxStream, BuildError, Config, Connector, RunError, SessionError, Shutdown, Summary};
use tidemill_runtime::{Worker, WorkerBuilder, WorkerHandle};
use tidemill_testkit::script::ScriptedBroker;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::numbers::{assert_balanced, count, metric};
use super::until;

/// Bytes that a pipe holds in each direction, unless a test says otherwise.
const PIPE: usize = 256 * 1024;

/// Hands the broker's end of every connection to the test.
#[derive(Debug)]
struct Pipes {
    brokers: mpsc::Sender<DuplexStream>,
    capacity: usize,
}

#[async_trait]
impl Connector for Pipes {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        let (client, broker) = tokio::io::duplex(self.capacity);
        if self.brokers.send(broker).await.is_err() {
            // The test has seen enough.
            std::future::pending::<()>().await;
        }
        Ok(Box::new(client))
    }
}

/// A running worker, and the ends of its connections.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) handle: WorkerHandle,
    pub(crate) registry: Registry,
    connections: mpsc::Receiver<DuplexStream>,
    stop: CancellationToken,
    running: JoinHandle<Result<Summary, RunError>>,
}

impl Rig {
    /// Starts a worker with one route `t/#`.
    pub(crate) fn with_handler(config: Config, handler: impl Handler) -> Self {
        Self::start(config, |worker| worker.route("t/#", handler))
    }

    /// Starts a worker.
    pub(crate) fn start(config: Config, assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Self {
        Self::with_pipes(config, PIPE, assemble)
    }

    /// Builds a worker that is not started.
    pub(crate) fn try_start(
        config: Config,
        assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Result<Worker, BuildError> {
        let (brokers, _) = mpsc::channel(1);
        assemble(Worker::builder(config).connector(Pipes { brokers, capacity: PIPE }).on_one_runtime()).build()
    }

    /// Starts a worker whose connections hold so many bytes in each direction.
    pub(crate) fn with_pipes(
        config: Config,
        capacity: usize,
        assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        Self::assembled(config, capacity, assemble, stop, async move { stopped.cancelled().await })
    }

    /// Starts a worker that runs until `shutdown` instead of [`stop`](Self::stop).
    pub(crate) fn start_until<T: Shutdown + 'static>(
        config: Config,
        assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
        shutdown: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self::assembled(config, PIPE, assemble, CancellationToken::new(), shutdown)
    }

    fn assembled<T: Shutdown + 'static>(
        config: Config,
        capacity: usize,
        assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
        stop: CancellationToken,
        shutdown: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        let (brokers, connections) = mpsc::channel(64);
        let registry = Registry::new();
        let builder =
            Worker::builder(config).connector(Pipes { brokers, capacity }).registry(registry.clone()).on_one_runtime();
        let worker = assemble(builder).build().expect("the worker is set up rightly");
        let handle = worker.handle();
        let running = tokio::spawn(worker.run_until(shutdown));
        Self { handle, registry, connections, stop, running }
    }

    /// The broker's end of the next connection; waits for it for ten minutes.
    pub(crate) async fn connection(&mut self) -> ScriptedBroker {
        ScriptedBroker::new(self.stream().await)
    }

    /// The broker's end of the next connection, as bytes.
    pub(crate) async fn stream(&mut self) -> DuplexStream {
        let next = tokio::time::timeout(Duration::from_secs(600), self.connections.recv());
        next.await.expect("no connection within ten minutes").expect("the worker is gone")
    }

    /// Whether nobody connects for that long.
    pub(crate) async fn stays_away(&mut self, duration: Duration) -> bool {
        !matches!(tokio::time::timeout(duration, self.connections.recv()).await, Ok(Some(_)))
    }

    /// Lets the next connection in and grants what it subscribes to.
    pub(crate) async fn subscribed(&mut self) -> ScriptedBroker {
        let mut broker = self.connection().await;
        broker.accept().await;
        broker.accept_subscribe().await;
        broker
    }

    /// Lets a connection in that only publishes.
    pub(crate) async fn publishing(&mut self) -> ScriptedBroker {
        let mut broker = self.connection().await;
        broker.accept().await;
        broker
    }

    /// Asks the worker to leave.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends it as a crash would.
    pub(crate) async fn abort(self) {
        self.running.abort();
        assert!(self.running.await.is_err());
        super::settle().await;
    }

    /// How the worker ends; it has an hour to do so.
    pub(crate) async fn ended(self) -> Result<Summary, RunError> {
        let ended = tokio::time::timeout(Duration::from_secs(3600), self.running);
        ended.await.expect("the worker does not end").expect("the worker panicked")
    }

    /// Lets the worker leave by the book, and checks that every event is accounted for (G9).
    pub(crate) async fn leave(self, mut broker: ScriptedBroker) -> Summary {
        self.stop();
        broker.accept_unsubscribe().await;
        broker.accept_ping().await;
        broker.expect_disconnect().await;
        let registry = self.registry.clone();
        let summary = self.ended().await.unwrap();
        assert_balanced(&registry);
        assert_eq!(summary.received, summary.handled + summary.dead_lettered + summary.dropped + summary.abandoned);
        summary
    }

    /// The sum of a metric over everything that carries these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metric(&self.registry, name, labels)
    }

    /// Events that ended like that.
    pub(crate) fn finished(&self, outcome: &str) -> u64 {
        count(&self.registry, "tidemill_events_finished_total", &[("outcome", outcome)])
    }

    /// Waits until so many events were received.
    pub(crate) async fn received(&self, events: u64) {
        until(|| count(&self.registry, "tidemill_events_received_total", &[]) == events).await;
    }
}
