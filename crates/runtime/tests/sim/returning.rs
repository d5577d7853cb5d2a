//! Instances with a session of their own: they come back to it, one at a time, and leave none behind.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerResult, async_trait};
use tidemill_runtime::config::IdentityMode;
use tidemill_runtime::{BoxStream, Config, Connector, MqttVersion, RunError, SessionError, Summary, Worker};
use tidemill_runtime::{Phase, WorkerHandle};
use tidemill_testkit::broker::{Broker, BrokerConfig, Close, Quirks, What};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::fault::Faults;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Debug)]
struct Network(Arc<Broker>, Faults);

#[async_trait]
impl Connector for Network {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        Ok(match self.1.connect(self.0.connect(), None) {
            Ok((stream, _)) => Box::new(stream),
            Err(_) => Box::new(tokio::io::duplex(1).0),
        })
    }
}

/// Takes its time and remembers.
#[derive(Clone)]
struct Slow(Duration, Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        sleep(self.0).await;
        self.1.lock().unwrap().push(event.topic().to_owned());
        Ok(())
    }
}

struct Rig {
    broker: Arc<Broker>,
    faults: Faults,
    handle: WorkerHandle,
    handled: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    task: JoinHandle<Result<Summary, RunError>>,
}

impl Rig {
    async fn start(version: MqttVersion, change: impl FnOnce(&mut Config)) -> Self {
        let quirks = Quirks { redeliver_on_member_loss: false, ..Quirks::default() };
        let config = BrokerConfig::in_memory().with_quirks(quirks).with_trace(10_000);
        let broker = Arc::new(Broker::start(config).await.unwrap());
        let mut config = Config::default();
        config.group.name = Some("g".to_owned());
        config.group.verify = tidemill_runtime::config::Verify::Never;
        config.identity.mode = IdentityMode::Durable;
        config.identity.replica = Some("r".to_owned());
        config.mqtt.session_expiry = Duration::from_secs(24 * 3600);
        config.mqtt.window = 4;
        config.mqtt.version = version;
        change(&mut config);
        let (faults, handled) = (Faults::new(), Arc::default());
        let worker = Worker::builder(config)
            .connector(Network(Arc::clone(&broker), faults.clone()))
            .on_one_runtime()
            .route("t/{number}", Slow(Duration::from_millis(200), Arc::clone(&handled)))
            .build()
            .unwrap();
        let (handle, stop) = (worker.handle(), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(worker.run_until(async move { stopped.cancelled().await }));
        handle.settled().await;
        Self { broker, faults, handle, handled, stop, task }
    }

    async fn publisher(&self) -> RawClient {
        let mut publisher = RawClient::new(self.broker.connect());
        publisher.connect(ConnectOptions::new("publisher")).await;
        publisher
    }

    /// Waits until so many were handled, and checks that none was twice.
    async fn handles(&self, events: usize) {
        for _ in 0..100_000 {
            if self.handled.lock().unwrap().len() >= events {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let mut handled = self.handled.lock().unwrap().clone();
        assert_eq!(handled.len(), events, "{handled:?}");
        handled.sort();
        handled.dedup();
        assert_eq!(handled.len(), events, "some were handled twice");
    }

    async fn leave(self) -> Arc<Broker> {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        self.broker
    }
}

#[tokio::test(start_paused = true)]
async fn a_durable_instance_that_is_leaving_is_not_pushed_out_by_its_successor() {
    let rig = Rig::start(MqttVersion::V5, |config| config.instances = 2.into()).await;
    let mut publisher = rig.publisher().await;
    for number in 0..8 {
        publisher.publish_acked(&format!("t/{number}"), "x").await;
    }
    rig.handle.scale(1).unwrap();
    sleep(Duration::from_millis(10)).await;
    rig.handle.scale(2).unwrap();
    rig.handles(8).await;
    rig.handle.settled().await;
    let broker = rig.leave().await;
    let ends: Vec<Close> = broker
        .trace()
        .into_iter()
        .filter_map(|line| match line.what {
            What::Disconnected { why } => Some(why),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [Close::Client(0); 3]);
}

#[tokio::test(start_paused = true)]
async fn scaling_in_while_the_connection_is_down_leaves_no_session_with_events_behind() {
    for version in [MqttVersion::V5, MqttVersion::V3_1_1] {
        let rig = Rig::start(version, |config| config.instances = 2.into()).await;
        let mut publisher = rig.publisher().await;
        rig.faults.refuse(true);
        for number in 0..8 {
            publisher.publish_acked(&format!("t/{number}"), "x").await;
        }
        rig.faults.cut_all();
        sleep(Duration::from_millis(50)).await;
        assert!(rig.handle.status().instances.iter().all(|instance| instance.phase == Phase::Connecting));
        rig.handle.scale(1).unwrap();
        sleep(Duration::from_millis(500)).await;
        rig.faults.refuse(false);
        for _ in 0..10_000 {
            if rig.broker.stats().inflight == 0 {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        rig.handle.settled().await;
        let stats = rig.broker.stats();
        // The publisher's and that of the instance that stays.
        assert_eq!((stats.inflight, stats.sessions, stats.dropped), (0, 2, 0), "{version:?}");
        rig.leave().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_durable_member_is_replaced_for_its_age_without_losing_what_comes_meanwhile() {
    for version in [MqttVersion::V5, MqttVersion::V3_1_1] {
        let rig = Rig::start(version, |config| config.mqtt.max_connection_age = Duration::from_secs(2)).await;
        let mut publisher = rig.publisher().await;
        for number in 0..100 {
            publisher.publish_acked(&format!("t/{number}"), "x").await;
            sleep(Duration::from_millis(70)).await;
        }
        rig.handles(100).await;
        let connects = |line: &&tidemill_testkit::broker::Traced| matches!(line.what, What::Connected { .. });
        assert!(rig.broker.trace().iter().filter(connects).count() > 3, "{version:?}: it was replaced");
        assert_eq!(rig.broker.stats().dropped, 0);
        rig.leave().await;
    }
}
