//! A worker with layers, end to end: the documented order, acknowledgements, dead letters, keep-alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::Registry;
use tidemill_core::{Context, Event, HandlerError, QoS, Record, Sink, SinkError, async_trait};
use tidemill_runtime::layer::{Attempt, ConcurrencyLimitLayer, Next, Rate, RateLimitLayer, from_fn};
use tidemill_runtime::{BoxStream, Config, Connector, Execution, Route, RunError, SessionError, Summary, Worker};
use tidemill_runtime::{Key, WorkerBuilder};
use tidemill_testkit::script::ScriptedBroker;
use tidemill_testkit::wire::v5::Packet;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::*;

const Q1: QoS = QoS::AtLeastOnce;

/// Hands the broker's end of every connection to the test.
#[derive(Debug)]
struct Pipes(mpsc::Sender<DuplexStream>);

#[async_trait]
impl Connector for Pipes {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        let (client, broker) = tokio::io::duplex(256 * 1024);
        if self.0.send(broker).await.is_err() {
            std::future::pending::<()>().await;
        }
        Ok(Box::new(client))
    }
}

/// Takes dead letters.
#[derive(Clone, Debug, Default)]
struct Dead(Journal);

#[async_trait]
impl Sink for Dead {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        batch.iter().for_each(|record| self.0.note(format!("{:?}", record.payload)));
        Ok(())
    }
}

struct Rig {
    broker: ScriptedBroker,
    registry: Registry,
    dead: Journal,
    stop: CancellationToken,
    running: JoinHandle<Result<Summary, RunError>>,
}

impl Rig {
    /// A worker that is subscribed. An event gets at most three attempts.
    async fn start(change: impl FnOnce(&mut Config), assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Self {
        let mut config = Config::default();
        config.group.name = Some("g".to_owned());
        config.group.verify = tidemill_runtime::config::Verify::Never;
        config.mqtt.window = 100;
        config.retry.max_attempts = 3;
        config.dead_letters.sink = Some("dead".to_owned());
        change(&mut config);
        let (pipes, mut connections) = mpsc::channel(8);
        let (registry, dead) = (Registry::new(), Dead::default());
        let journal = dead.0.clone();
        let builder = Worker::builder(config)
            .connector(Pipes(pipes))
            .registry(registry.clone())
            .on_one_runtime()
            .sink("dead", dead);
        let worker = assemble(builder).build().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running = tokio::spawn(worker.run_until(async move { stopped.cancelled().await }));
        let mut broker = ScriptedBroker::new(connections.recv().await.unwrap()).with_patience(Duration::from_secs(600));
        broker.accept().await;
        broker.accept_subscribe().await;
        Self { broker, registry, dead: journal, stop, running }
    }

    async fn publish(&mut self, pkid: u16, topic: &str) {
        self.broker.publish(pkid, topic, Q1, "x").await;
    }

    /// The next PUBACK; answers pings meanwhile, and tells how many there were.
    async fn puback(&mut self) -> (u16, usize) {
        let mut pings = 0;
        loop {
            match self.broker.recv().await {
                Packet::PubAck(ack) => return (ack.pkid, pings),
                Packet::PingReq(_) => {
                    pings += 1;
                    self.broker.send(Packet::PingResp(tidemill_testkit::wire::v5::PingResp)).await;
                }
                other => panic!("PUBACK was expected, but came {other:?}"),
            }
        }
    }

    async fn expect_puback(&mut self, pkid: u16) {
        assert_eq!(self.puback().await.0, pkid);
    }

    /// The value of a metric with a route label and no other.
    fn metric(&self, name: &str, route: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let line = format!("{name}{{route=\"{route}\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)).expect("the metric is there").parse().unwrap()
    }

    /// Lets the worker leave by the book.
    async fn leave(mut self) -> Summary {
        self.stop.cancel();
        self.broker.accept_unsubscribe().await;
        self.broker.accept_ping().await;
        self.broker.expect_disconnect().await;
        self.running.await.unwrap().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_is_retry_then_the_workers_layers_then_the_routes_then_the_handler() {
    let journal = Journal::default();
    let noted = journal.clone();
    let handler = Does(move |_: &Event, cx: &mut Context| {
        noted.note(format!("handler {}", cx.attempt()));
        if cx.attempt() == 1 { Err("the first time it fails".into()) } else { Ok(()) }
    });
    let mut rig = Rig::start(
        |_| {},
        |worker| {
            let route = Route::new("t/#", handler).layer(journal.layer("route 1")).layer(journal.layer("route 2"));
            // Where the route is added does not matter.
            worker.layer(journal.layer("worker 1")).add_route(route).layer(journal.layer("worker 2"))
        },
    )
    .await;
    rig.publish(1, "t/a").await;
    rig.expect_puback(1).await;
    let attempt = |number: u32, end: &str| {
        let layers = ["worker 1", "worker 2", "route 1", "route 2"];
        let inwards = layers.iter().map(move |layer| format!("{layer} in {number}"));
        let outwards = layers.iter().rev().map(|layer| format!("{layer} {end}")).collect::<Vec<_>>();
        inwards.chain([format!("handler {number}")]).chain(outwards).collect::<Vec<_>>()
    };
    assert_eq!(journal.take(), [attempt(1, "failed"), attempt(2, "ok")].concat());
    assert_eq!(rig.leave().await.handled, 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_a_layer_takes_out_is_acknowledged_unhandled() {
    let handler = Does(|_: &Event, _: &mut Context| panic!("the handler must not run"));
    let filter = from_fn(|_: Attempt, _: Next| async { Ok(()) });
    let mut rig = Rig::start(|_| {}, |worker| worker.layer(filter).route("t/#", handler)).await;
    rig.publish(1, "t/a").await;
    rig.expect_puback(1).await;
    assert_eq!(rig.leave().await.handled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_in_a_layer_goes_to_the_dead_letters_at_once() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let refusing = from_fn(move |_: Attempt, _: Next| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err(HandlerError::permanent("not for us")) }
    });
    let route = Route::new("t/#", Fine).layer(refusing);
    let mut rig = Rig::start(|_| {}, |worker| worker.add_route(route)).await;
    rig.publish(1, "t/a").await;
    rig.expect_puback(1).await;
    assert_eq!(rig.dead.take().len(), 1);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(rig.leave().await.dead_lettered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_panics_fails_the_attempt_and_no_more() {
    for execution in [Execution::Inline, Execution::Spawn] {
        let shaky = from_fn(|attempt: Attempt, next: Next| async move {
            assert!(attempt.cx.attempt() > 1, "the first time it breaks");
            next.run(attempt).await
        });
        let route = Route::new("t/#", Fine).execution(execution).layer(shaky);
        let mut rig = Rig::start(|_| {}, |worker| worker.add_route(route)).await;
        rig.publish(1, "t/a").await;
        rig.expect_puback(1).await;
        assert_eq!(rig.leave().await.handled, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_for_the_rate_time_out_neither_their_attempts_nor_the_connection() {
    let route = Route::new("t/#", Takes(200 * MS))
        .named("slow")
        .timeout(300 * MS)
        .max_attempts(1)
        .key(Key::Topic)
        .layer(RateLimitLayer::new(Rate::per_second(1)));
    let keep_alive = |config: &mut Config| config.mqtt.keep_alive = Duration::from_secs(5);
    let mut rig = Rig::start(keep_alive, |worker| worker.add_route(route)).await;
    let started = Instant::now();
    for pkid in 1..=20 {
        rig.publish(pkid, &format!("t/{pkid}")).await;
    }
    let mut pings = 0;
    for pkid in 1..=20 {
        let (acked, pinged) = rig.puback().await;
        assert_eq!(acked, pkid);
        pings += pinged;
    }
    assert!(started.elapsed() >= Duration::from_secs(19), "{:?}", started.elapsed());
    // Acks count as signs of life too, so there need not be a ping every five seconds.
    assert!(pings <= 5, "{pings}");
    // 0 + 1 + .. + 19 seconds.
    let waited = rig.metric("tidemill_layer_wait_seconds_total", "slow");
    assert!((189.0..191.0).contains(&waited), "{waited}");
    let summary = rig.leave().await;
    assert_eq!((summary.handled, summary.dead_lettered), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_place_show_in_the_metric_too() {
    let route = Route::new("t/#", Takes(1000 * MS)).named("narrow").layer(ConcurrencyLimitLayer::new(1));
    let mut rig = Rig::start(|_| {}, |worker| worker.add_route(route)).await;
    for pkid in 1..=4 {
        rig.publish(pkid, &format!("t/{pkid}")).await;
    }
    for pkid in 1..=4 {
        rig.expect_puback(pkid).await;
    }
    // 0 + 1 + 2 + 3 seconds.
    let waited = rig.metric("tidemill_layer_wait_seconds_total", "narrow");
    assert!((5.9..6.1).contains(&waited), "{waited}");
    rig.leave().await;
}

#[tokio::test(start_paused = true)]
async fn the_session_pings_while_everything_waits_for_its_turn() {
    let limit = RateLimitLayer::new(Rate::per_hour(60));
    let keep_alive = |config: &mut Config| config.mqtt.keep_alive = Duration::from_secs(5);
    let mut rig = Rig::start(keep_alive, |worker| worker.layer(limit).route("t/#", Fine)).await;
    rig.publish(1, "t/a").await;
    rig.expect_puback(1).await;
    rig.publish(2, "t/a").await;
    let (acked, pings) = rig.puback().await;
    assert_eq!(acked, 2);
    assert!(pings >= 10, "{pings}");
    rig.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_the_worker_is_one_for_all_routes_and_one_of_a_route_is_its_own() {
    let (fast, slow) = (Begins::new(), Begins::new());
    let worker_limit = RateLimitLayer::new(Rate::per_second(10));
    let route_limit = RateLimitLayer::new(Rate::per_second(1));
    let (fast_handler, slow_handler) = (fast.clone(), slow.clone());
    let mut rig = Rig::start(
        |_| {},
        |worker| {
            worker
                .layer(worker_limit)
                .route("fast/#", fast_handler)
                .add_route(Route::new("slow/#", slow_handler).layer(route_limit))
        },
    )
    .await;
    for pkid in (1..=10).step_by(2) {
        rig.publish(pkid, &format!("slow/{pkid}")).await;
        rig.publish(pkid + 1, &format!("fast/{pkid}")).await;
    }
    for pkid in 1..=10 {
        rig.expect_puback(pkid).await;
    }
    let (fast, slow) = (fast.times(), slow.times());
    // The worker's limit alone: ten in 900 ms, every second one on this route.
    assert!((800..=1000).contains(&(fast[4] - fast[0])), "{fast:?}");
    assert!(slow.windows(2).all(|pair| pair[1] - pair[0] >= 999), "{slow:?}");
    rig.leave().await;
}
