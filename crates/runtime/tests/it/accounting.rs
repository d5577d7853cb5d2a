//! Nothing disappears: received = handled + dead_lettered + dropped + abandoned + unfinished, always (G9).

use std::time::Duration;

use fastrand::Rng;
use proptest::prelude::*;
use tidemill_core::{HandlerError, QoS, Record};
use tidemill_runtime::config::Overflow;
use tidemill_runtime::{Execution, MqttVersion, RunErrorKind};
use tidemill_testkit::broker::{Broker, BrokerConfig, Quirks, ack_order_violations};
use tidemill_testkit::client::{ConnectOptions, RawClient};

use crate::support::*;

/// What happens to events is in their payload: the handler reads it from there.
fn scripted() -> impl tidemill_core::Handler {
    #[derive(Debug)]
    struct Scripted;
    #[tidemill_core::async_trait]
    impl tidemill_core::Handler for Scripted {
        async fn handle(
            &self,
            event: &tidemill_core::Event,
            cx: &mut tidemill_core::Context,
        ) -> tidemill_core::HandlerResult {
            match event.payload().first() {
                Some(b'r') if cx.attempt() < 2 => Err(HandlerError::retry("once more")),
                Some(b'f') => Err(HandlerError::retry("always")),
                Some(b'p') => Err(HandlerError::permanent("bad")),
                Some(b'x') if cx.attempt() < 3 => panic!("twice"),
                Some(b'h') => std::future::pending().await,
                Some(b's') => {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    Ok(())
                }
                Some(b'e') => {
                    cx.emit("out", Record::new("1"))?;
                    cx.emit("out", Record::new("2"))?;
                    Ok(())
                }
                Some(b'l') => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(cx.emit("out", Record::new("late"))?)
                }
                _ => Ok(()),
            }
        }
    }
    Scripted
}

const KINDS: &[u8] = b"orrfpxssel";
/// One of these never ends.
const KINDS_THAT_HANG: &[u8] = b"oprselh";

#[derive(Clone, Debug)]
struct Mix {
    seed: u64,
    window: u16,
    events: u16,
    execution: Execution,
    qos: QoS,
    version: MqttVersion,
    drop: bool,
    /// How often the connections are cut.
    cuts: u8,
    overshoot: bool,
    instances: u32,
    sink_fails: u8,
    hangs: bool,
}

fn mix() -> impl Strategy<Value = Mix> {
    let shape = (any::<u64>(), 1_u16..40, 0_u16..120, any::<bool>(), any::<bool>(), any::<bool>());
    let trouble = (any::<bool>(), 0_u8..4, any::<bool>(), 1_u32..4, 0_u8..3, prop::bool::weighted(0.2));
    (shape, trouble).prop_map(|((seed, window, events, spawn, at_most_once, old), trouble)| {
        let (drop, cuts, overshoot, instances, sink_fails, hangs) = trouble;
        Mix {
            seed,
            window,
            events,
            execution: if spawn { Execution::Spawn } else { Execution::Inline },
            qos: if at_most_once { Q0 } else { Q1 },
            version: if old { MqttVersion::V3_1_1 } else { MqttVersion::V5 },
            drop,
            cuts,
            overshoot,
            instances,
            sink_fails,
            hangs,
        }
    })
}

/// A connector to the broker inside the process.
#[derive(Debug)]
struct Inside(std::sync::Arc<Broker>);

#[tidemill_core::async_trait]
impl tidemill_runtime::Connector for Inside {
    async fn connect(&self) -> Result<tidemill_runtime::BoxStream, tidemill_runtime::SessionError> {
        Ok(Box::new(self.0.connect()))
    }
}

async fn run(mix: Mix) {
    let mut rng = Rng::with_seed(mix.seed);
    // The worker's own dice are those of its thread.
    fastrand::seed(mix.seed);
    let quirks = Quirks { overshoot_receive_maximum: mix.overshoot, ..Quirks::default() };
    let broker = Broker::start(BrokerConfig::in_memory().with_quirks(quirks).with_trace(100_000)).await.unwrap();
    let broker = std::sync::Arc::new(broker);
    let mut config = config_of(mix.version);
    config.instances = mix.instances.into();
    config.mqtt.window = mix.window;
    config.mqtt.qos = mix.qos;
    if mix.drop {
        config.dispatch.qos0_overflow = Overflow::DropNewest;
    }
    config.retry.min_delay = Duration::from_millis(5);
    config.retry.max_delay = Duration::from_millis(20);
    let sink = Recording::new();
    for _ in 0..mix.sink_fails {
        sink.answer(tidemill_core::SinkError::unavailable("down"));
    }
    let registry = prometheus::Registry::new();
    let worker = tidemill_runtime::Worker::builder(config)
        .connector(Inside(std::sync::Arc::clone(&broker)))
        .registry(registry.clone())
        .on_one_runtime()
        .sink("out", sink)
        .add_route(route(scripted()).execution(mix.execution))
        .route("elsewhere", Fine)
        .build()
        .unwrap();
    let handle = worker.handle();
    let stop = tokio_util::sync::CancellationToken::new();
    let stopped = stop.clone();
    let running = tokio::spawn(worker.run_until(async move { stopped.cancelled().await }));
    handle.ready().await;
    // Keeps the group while all of its members are away.
    let mut keeper = RawClient::new(broker.connect());
    keeper.connect(ConnectOptions::new("keeper").expiry(3600)).await;
    for filter in ["$share/g/t/#", "$share/g/elsewhere"] {
        keeper.subscribe(filter, mix.qos).await;
    }
    keeper.cut();

    let mut publisher = RawClient::new(broker.connect());
    publisher.connect(ConnectOptions::new("publisher")).await;
    let cut_every = mix.events / (u16::from(mix.cuts) + 1) + 1;
    for number in 1..=mix.events {
        let kinds = if mix.hangs { KINDS_THAT_HANG } else { KINDS };
        let kind = kinds[rng.usize(..kinds.len())];
        let topic = if rng.u8(..10) == 0 { "elsewhere".to_owned() } else { format!("t/{}", rng.u8(..5)) };
        publisher.publish(&topic, mix.qos, vec![kind; rng.usize(1..50)]).await;
        if mix.qos == Q1 {
            publisher.recv().await;
        }
        if rng.u8(..5) == 0 {
            tokio::time::sleep(Duration::from_millis(rng.u64(..20))).await;
        }
        assert_balanced(&registry);
        if number % cut_every == 0 {
            let ids: Vec<_> = handle.status().instances.iter().map(|instance| instance.id.clone()).collect();
            _ = broker.cut(&ids[rng.usize(..ids.len())]);
        }
    }
    // Half of the time in the middle of it all.
    if rng.bool() {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    assert_balanced(&registry);
    stop.cancel();
    let ended = running.await.unwrap();
    assert_balanced(&registry);
    assert_eq!(ack_order_violations(&broker.trace()), [], "acks out of order");
    let summary = match ended {
        Ok(summary) => summary,
        Err(error) => {
            assert!(mix.hangs && error.kind() == RunErrorKind::DrainDeadline, "{error}");
            let left = metric(&registry, "tidemill_events_unfinished", &[]);
            return assert!(left.abs() < f64::EPSILON, "what was left counts as abandoned");
        }
    };
    assert!(metric(&registry, "tidemill_events_unfinished", &[]).abs() < f64::EPSILON);
    let Summed { received, finished } = Summed::of(&summary);
    assert_eq!(received, finished, "{summary:?}");
    if mix.qos == Q1 {
        // Nothing is lost, whatever was cut: what was abandoned came again, or waits for another member.
        let waiting = u64::try_from(broker.stats().queued).unwrap();
        assert!(summary.handled + summary.dead_lettered + waiting >= u64::from(mix.events), "{summary:?} {waiting}");
    }
}

struct Summed {
    received: u64,
    finished: u64,
}

impl Summed {
    fn of(summary: &tidemill_runtime::Summary) -> Self {
        let finished = summary.handled + summary.dead_lettered + summary.dropped + summary.abandoned;
        Self { received: summary.received, finished }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_event_is_accounted_for_in_every_mix(mix in mix()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(mix));
    }
}

/// An event that waited for its lane and then ends on the spot is the last thing that happens for a long time.
#[tokio::test(start_paused = true)]
async fn an_event_that_waited_is_counted_as_soon_as_it_is_finished_with_the_age_it_has() {
    let (ask, mut calls) = Calls::new();
    let first = std::sync::atomic::AtomicBool::new(true);
    struct OnlyFirst<H>(H, std::sync::atomic::AtomicBool);
    #[tidemill_core::async_trait]
    impl<H: tidemill_core::Handler> tidemill_core::Handler for OnlyFirst<H> {
        async fn handle(
            &self,
            event: &tidemill_core::Event,
            cx: &mut tidemill_core::Context,
        ) -> tidemill_core::HandlerResult {
            match self.1.swap(false, std::sync::atomic::Ordering::SeqCst) {
                true => self.0.handle(event, cx).await,
                false => Ok(()),
            }
        }
    }
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(OnlyFirst(ask, first))));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "waits").await;
    broker.publish(2, "t/a", Q1, "waits for it").await;
    let call = calls.next().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    call.ok();
    broker.expect_pubacks([1, 2]).await;
    settle().await;
    assert_eq!((rig.finished("handled"), rig.handle.status().unfinished), (2, 0));
    assert_balanced(&rig.registry);
    let ages = rig.registry.gather().into_iter().find(|family| family.name() == "tidemill_event_age_seconds").unwrap();
    let ages = ages.get_metric()[0].get_histogram();
    assert!(ages.get_sample_count() == 2 && (ages.get_sample_sum() - 20.0).abs() < 0.1, "{ages:?}");
    rig.leave(broker).await;
}
