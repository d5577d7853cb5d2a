//! Sessions on threads of their own, handlers on others, and connections that are cut all the time: what a paused clock
//! on one thread cannot show (G1, G2, G3, G9).

use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerError, HandlerResult, Record, Sink, SinkError, async_trait};
use tidemill_runtime::{Execution, Route};
use tidemill_testkit::broker::{Broker, BrokerConfig, ack_order_violations};
use tidemill_testkit::client::{ConnectOptions, RawClient};

use super::support::*;

/// Ends at once, waits, fails once, or emits, each some of the time.
#[derive(Clone, Debug)]
struct Mixed(Counted);

#[async_trait]
impl Handler for Mixed {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        match event.payload().last().map_or(0, |digit| digit % 5) {
            0 => tokio::time::sleep(Duration::from_micros(500)).await,
            1 => tokio::task::yield_now().await,
            2 if cx.attempt() == 1 => return Err(HandlerError::retry_after(Duration::from_millis(1), "once more")),
            3 => cx.emit("out", Record::new(event.payload().clone()))?,
            _ => {}
        }
        self.0.add(event);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    async fn write(&self, _: &[Record]) -> Result<(), SinkError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_acknowledged_wrongly_while_connections_are_cut_all_the_time() {
    const EVENTS: u32 = 10_000;
    for execution in [Execution::Inline, Execution::Spawn] {
        let broker = Broker::start(BrokerConfig::default().with_trace(1_000_000)).await.unwrap();
        let mut keeper = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
        keeper.connect(ConnectOptions::new("keeper").expiry(3600)).await;
        keeper.subscribe("$share/g/t/#", tidemill_core::QoS::AtLeastOnce).await;
        keeper.cut();
        let mut config = config(broker.url());
        config.instances = 3.into();
        config.runtime.io_threads = 2;
        config.mqtt.window = 100;
        config.mqtt.reconnect.min = Duration::from_millis(1);
        config.mqtt.reconnect.max = Duration::from_millis(5);
        let counted = Counted::default();
        let handler = Mixed(counted.clone());
        let worker = Running::start(config.clone(), |worker| {
            worker.sink("out", Nowhere).add_route(Route::new("t/#", handler).execution(execution))
        });
        worker.ready().await;
        let publishing = tokio::spawn({
            let publisher = publisher(&config);
            async move {
                for start in (0..EVENTS).step_by(500) {
                    publish(&publisher, events(start..start + 500)).await;
                }
                publisher.close().await;
            }
        });
        let mut cuts = 0;
        while counted.distinct() < EVENTS as usize && cuts < 10_000 {
            let instances = worker.handle.status().instances;
            // It may be away already.
            cuts += u32::from(broker.cut(&instances[fastrand::usize(..instances.len())].id));
            // Not so often that nothing gets through.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..20))).await;
        }
        publishing.await.unwrap();
        assert!(cuts > 10, "only {cuts} cuts");
        worker.ready().await;
        until(|| worker.handle.status().unfinished == 0).await;
        let summary = worker.leave().await;
        assert!(counted.missing((0..EVENTS).map(|number| number.to_string())).is_empty());
        assert!(summary.handled >= u64::from(EVENTS) && summary.dead_lettered == 0, "{summary:?}");
        assert_eq!(ack_order_violations(&broker.trace()), []);
        let stats = broker.stats();
        assert_eq!((stats.queued, stats.dropped), (0, 0), "{stats:?}");
        broker.shutdown().await;
    }
}

/// Takes its time without waiting, as parsing does, and emits.
#[derive(Clone, Debug)]
struct Busy(Counted);

#[async_trait]
impl Handler for Busy {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let until = tokio::time::Instant::now() + Duration::from_micros(300);
        while tokio::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        cx.emit("out", Record::new(event.payload().clone()))?;
        self.0.add(event);
        Ok(())
    }
}

/// Sinks report from other threads, while the dispatcher is still busy with the burst that an event came in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_counts_as_received_before_it_counts_as_finished_whoever_looks() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let config = config(broker.url());
    let counted = Counted::default();
    let registry = prometheus::Registry::new();
    let worker = Running::start(config.clone(), |worker| {
        worker.registry(registry.clone()).sink("out", Nowhere).route("t/#", Busy(counted.clone()))
    });
    worker.ready().await;
    let publisher = publisher(&config);
    let publishing = tokio::spawn({
        let counted = counted.clone();
        async move {
            for start in (0..1000).step_by(100) {
                publish(&publisher, events(start..start + 100)).await;
                until(|| counted.distinct() == start as usize + 100).await;
            }
            publisher.close().await;
        }
    });
    let mut least = 0.0_f64;
    while counted.distinct() < 1000 {
        let families = registry.gather();
        let unfinished = families.iter().find(|family| family.name() == "tidemill_events_unfinished").unwrap();
        least = least.min(unfinished.get_metric()[0].get_gauge().get_value());
        tokio::task::yield_now().await;
    }
    publishing.await.unwrap();
    worker.leave().await;
    assert!(least >= 0.0, "{least} events unfinished");
    broker.shutdown().await;
}
