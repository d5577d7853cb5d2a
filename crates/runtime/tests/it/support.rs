//! What all modules use: a worker at the end of in-memory pipes, a handler that the test answers for, a sink that the
//! test looks into, and the worker's metrics as numbers.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use tidemill_core::{BoxError, Context, Event, Handler, HandlerError, HandlerResult, Record, Sink, SinkError};
use tidemill_core::{QoS, async_trait};
use tidemill_runtime::{BoxStream, Config, Connector, MqttVersion, RunError, SessionError, Summary};
use tidemill_runtime::{Route, Worker, WorkerBuilder, WorkerHandle};
use tidemill_testkit::script::ScriptedBroker;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use tidemill_testkit::wire::v5;

pub(crate) const Q0: QoS = QoS::AtMostOnce;
pub(crate) const Q1: QoS = QoS::AtLeastOnce;
pub(crate) const BOTH: [MqttVersion; 2] = [MqttVersion::V5, MqttVersion::V3_1_1];

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

/// A group, a window of 100 and short waits.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.group.name = Some("g".to_owned());
    config.mqtt.window = 100;
    config.retry.max_attempts = 3;
    config.drain.deadline = Duration::from_secs(20);
    config
}

/// The same for a version of the protocol.
pub(crate) fn config_of(version: MqttVersion) -> Config {
    let mut config = config();
    config.mqtt.version = version;
    config
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

    /// Starts a worker whose connections hold so many bytes in each direction.
    pub(crate) fn with_pipes(
        config: Config,
        capacity: usize,
        assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Self {
        let (brokers, connections) = mpsc::channel(64);
        let registry = Registry::new();
        let builder = Worker::builder(config)
            .connector(Pipes { brokers, capacity })
            .registry(registry.clone())
            .on_one_runtime();
        let worker = assemble(builder).build().expect("the worker is set up rightly");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let handle = worker.handle();
        let running = tokio::spawn(worker.run_until(async move { stopped.cancelled().await }));
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

/// The sum of a metric over everything that carries these labels; counters, gauges, and the counts of histograms.
pub(crate) fn metric(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> f64 {
    let families = registry.gather();
    let metrics = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
    let carries = |metric: &&prometheus::proto::Metric| {
        labels.iter().all(|(name, value)| {
            metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
        })
    };
    #[expect(clippy::cast_precision_loss, reason = "tests count to small numbers")]
    let value = |metric: &prometheus::proto::Metric| {
        metric.get_counter().get_value()
            + metric.get_gauge().get_value()
            + metric.get_histogram().get_sample_count() as f64
    };
    metrics.filter(carries).map(value).sum()
}

/// The same for a counter.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
pub(crate) fn count(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> u64 {
    metric(registry, name, labels) as u64
}

/// received = handled + dead_lettered + dropped + abandoned + unfinished (G9).
#[track_caller]
pub(crate) fn assert_balanced(registry: &Registry) {
    let received = metric(registry, "tidemill_events_received_total", &[]);
    let finished = metric(registry, "tidemill_events_finished_total", &[]);
    let unfinished = metric(registry, "tidemill_events_unfinished", &[]);
    assert!(
        (received - finished - unfinished).abs() < 0.5 && unfinished >= 0.0,
        "received {received} is not finished {finished} plus unfinished {unfinished}"
    );
}

/// Waits until it holds, at most a minute.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        for _ in 0..60_000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("what is awaited at {caller} never came true");
    }
}

/// Lets everything happen that can happen without waiting for a clock.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// How the test answers for the handler.
type Answer = Box<dyn FnOnce(&mut Context) -> HandlerResult + Send>;

/// One attempt, in the test's hands. Dropping it fails the attempt.
pub(crate) struct Call {
    pub(crate) event: Event,
    pub(crate) attempt: u32,
    pub(crate) at: tokio::time::Instant,
    answer: oneshot::Sender<Answer>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.text(), self.attempt)
    }
}

impl Call {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.event.payload()).unwrap()
    }

    pub(crate) fn ok(self) {
        self.answer(|_| Ok(()));
    }

    pub(crate) fn fail(self, text: &'static str) {
        self.answer(move |_| Err(HandlerError::retry(text)));
    }

    pub(crate) fn permanent(self, text: impl Into<BoxError> + Send + 'static) {
        self.answer(move |_| Err(HandlerError::permanent(text)));
    }

    /// Emits these and ends well.
    pub(crate) fn emit(self, sink: &'static str, payloads: &'static [&'static str]) {
        self.answer(move |cx| {
            for payload in payloads {
                cx.emit(sink, Record::new(*payload))?;
            }
            Ok(())
        });
    }

    pub(crate) fn answer(self, answer: impl FnOnce(&mut Context) -> HandlerResult + Send + 'static) {
        // The attempt may have been cut in between.
        drop(self.answer.send(Box::new(answer)));
    }

    /// Whether the attempt was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.answer.is_closed()
    }
}

/// The attempts of a handler, in the order they began.
#[derive(Debug)]
pub(crate) struct Calls(mpsc::Receiver<Call>);

#[derive(Debug)]
struct Asking(mpsc::Sender<Call>);

#[async_trait]
impl Handler for Asking {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let (answer, answered) = oneshot::channel();
        let at = tokio::time::Instant::now();
        let call = Call { event: event.clone(), attempt: cx.attempt(), at, answer };
        if self.0.try_send(call).is_err() {
            return Err(HandlerError::retry("the test takes no calls"));
        }
        match answered.await {
            Ok(answer) => answer(cx),
            Err(_) => Err(HandlerError::retry("the test let the call go")),
        }
    }
}

impl Calls {
    /// A handler that asks the test how to answer.
    pub(crate) fn new() -> (impl Handler, Self) {
        let (sender, receiver) = mpsc::channel(100_000);
        (Asking(sender), Self(receiver))
    }

    /// The next attempt; waits for it for ten minutes.
    pub(crate) async fn next(&mut self) -> Call {
        let next = tokio::time::timeout(Duration::from_secs(600), self.0.recv());
        next.await.expect("no attempt within ten minutes").expect("the handler is gone")
    }

    /// So many attempts.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Call> {
        let mut calls = Vec::with_capacity(count);
        for _ in 0..count {
            calls.push(self.next().await);
        }
        calls
    }

    /// The payloads of attempts that begin without further ado.
    pub(crate) async fn waiting(&mut self) -> Vec<Call> {
        settle().await;
        let mut calls = Vec::new();
        while let Ok(call) = self.0.try_recv() {
            calls.push(call);
        }
        calls
    }

    /// Nothing is attempted for that long.
    pub(crate) async fn expect_none_for(&mut self, duration: Duration) {
        if let Ok(Some(call)) = tokio::time::timeout(duration, self.0.recv()).await {
            panic!("no attempt was expected, but came {call:?}");
        }
    }
}

/// A handler that always ends well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fine;

#[async_trait]
impl Handler for Fine {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        Ok(())
    }
}

/// A handler whose first attempt and all others do this.
pub(crate) fn does(answer: impl Fn(&Event, &mut Context) -> HandlerResult + Send + Sync + 'static) -> impl Handler {
    struct Does<F>(F);
    #[async_trait]
    impl<F: Fn(&Event, &mut Context) -> HandlerResult + Send + Sync + 'static> Handler for Does<F> {
        async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
            (self.0)(event, cx)
        }
    }
    Does(answer)
}

/// What a [`Recording`] sink was told to do, and what it did.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) written: Vec<Record>,
    pub(crate) batches: Vec<usize>,
    pub(crate) opened: usize,
    pub(crate) closed: usize,
    /// Answers of the next writes; a write without one succeeds.
    pub(crate) answers: VecDeque<Result<(), SinkError>>,
    pub(crate) open_fails: bool,
}

/// A sink that remembers. Writes wait while it is blocked.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) recorded: Arc<Mutex<Recorded>>,
    blocked: tokio::sync::watch::Sender<bool>,
    pub(crate) attempts: Arc<std::sync::atomic::AtomicUsize>,
}

impl Recording {
    pub(crate) fn new() -> Self {
        let blocked = tokio::sync::watch::Sender::new(false);
        Self { recorded: Arc::default(), blocked, attempts: Arc::default() }
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Recorded) -> T) -> T {
        look(&mut self.recorded.lock().unwrap())
    }

    pub(crate) fn payloads(&self) -> Vec<String> {
        self.with(|all| all.written.iter().map(|r| String::from_utf8(r.payload.to_vec()).unwrap()).collect())
    }

    pub(crate) fn block(&self, block: bool) {
        self.blocked.send_replace(block);
    }

    /// The next write for which nothing is said yet ends like this.
    pub(crate) fn answer(&self, error: SinkError) {
        self.with(|all| all.answers.push_back(Err(error)));
    }

    /// The next write for which nothing is said yet ends well.
    pub(crate) fn succeed(&self) {
        self.with(|all| all.answers.push_back(Ok(())));
    }

    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[async_trait]
impl Sink for Recording {
    async fn open(&self) -> Result<(), SinkError> {
        self.with(|all| {
            if all.open_fails {
                return Err(SinkError::unavailable("it stays shut"));
            }
            all.opened += 1;
            Ok(())
        })
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        self.attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut blocked = self.blocked.subscribe();
        drop(blocked.wait_for(|blocked| !blocked).await);
        self.with(|all| {
            all.batches.push(batch.len());
            let answer = all.answers.pop_front().unwrap_or(Ok(()));
            let rejections = answer.as_ref().err().map_or(&[][..], SinkError::rejections);
            if answer.is_ok() || !rejections.is_empty() {
                let kept = batch.iter().enumerate().filter(|(at, _)| !rejections.iter().any(|other| other.index == *at));
                all.written.extend(kept.map(|(_, record)| record.clone()));
            }
            answer
        })
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.with(|all| all.closed += 1);
        Ok(())
    }
}

/// A route `t/#` under the name `t`.
pub(crate) fn route(handler: impl Handler) -> Route {
    Route::new("t/#", handler).named("t")
}

/// The error and its causes.
pub(crate) fn told(error: &RunError) -> String {
    tidemill_core::report(error)
}

/// A PUBLISH at QoS 1.
pub(crate) fn publish(pkid: u16, topic: &str, payload: impl Into<Bytes>) -> v5::Publish {
    v5::Publish { pkid, ..v5::Publish::new(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, payload, None) }
}
