//! A worker on the embedded broker with one handler of the test's own, for tests that look at time and not at faults.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidemill_core::QoS;
use tidemill_runtime::{Config, Route, Summary, Worker, WorkerHandle};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::log::Log;
use crate::tap::{Dial, Tap, Travel, version_of};

/// See the module's description.
pub(crate) struct Bench {
    pub(crate) handle: WorkerHandle,
    pub(crate) broker: Arc<Broker>,
    publisher: RawClient,
    stop: CancellationToken,
    running: JoinHandle<Summary>,
}

/// An instance of a group, with a window of so many events.
pub(crate) fn config(window: u16) -> Config {
    let mut config = Config::default();
    config.group.name = Some("g".to_owned());
    config.group.verify = tidemill_runtime::config::Verify::Never;
    config.mqtt.window = window;
    config.mqtt.keep_alive = Duration::ZERO;
    config.drain.deadline = Duration::from_secs(24 * 3600);
    config
}

impl Bench {
    /// Starts a worker with this route, which must be below `t/`.
    pub(crate) async fn start(config: Config, route: Route) -> Self {
        Self::far_away(config, route, Duration::ZERO).await
    }

    /// Starts one whose events take so long to come from the broker.
    pub(crate) async fn far_away(config: Config, route: Route, delay: Duration) -> Self {
        let broker = Arc::new(Broker::start(BrokerConfig::in_memory()).await.unwrap());
        let (dial, travel) = (Dial::Memory(Arc::clone(&broker)), Travel { delay, ..Travel::AT_ONCE });
        let connector = Tap { dial, version: version_of(config.mqtt.version), travel, log: Log::new() };
        let worker = Worker::builder(config).connector(connector).on_one_runtime().add_route(route).build().unwrap();
        let handle = worker.handle();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let run = worker.run_until(async move { stopped.cancelled().await });
        let running = tokio::spawn(async move { run.await.unwrap() });
        handle.ready().await;
        let mut publisher = RawClient::new(broker.connect()).with_patience(Duration::from_secs(24 * 3600));
        publisher.connect(ConnectOptions::new("publisher")).await;
        Self { handle, broker, publisher, stop, running }
    }

    /// Publishes these, and waits until the broker has them.
    pub(crate) async fn publish<P: Into<Bytes>>(&mut self, events: impl IntoIterator<Item = (String, P)>) {
        let mut owed = Vec::new();
        for (topic, payload) in events {
            owed.push(self.publisher.publish(&topic, QoS::AtLeastOnce, payload).await);
            if owed.len() == 1000 {
                self.settle(&mut owed).await;
            }
        }
        self.settle(&mut owed).await;
    }

    async fn settle(&mut self, owed: &mut Vec<u16>) {
        for pkid in owed.drain(..) {
            self.publisher.expect_puback(pkid).await;
        }
    }

    /// Lets the worker leave; everything must be finished by then.
    pub(crate) async fn leave(self) -> Summary {
        self.stop.cancel();
        let summary = self.running.await.unwrap();
        let stats = self.broker.stats();
        assert_eq!((stats.queued, stats.inflight, stats.dropped), (0, 0, 0), "{stats:?}");
        summary
    }
}
