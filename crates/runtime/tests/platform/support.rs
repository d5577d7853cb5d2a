//! An emulated platform, workers of it, and devices.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, Record, Sink, SinkError, async_trait, handler_fn};
use tidemill_runtime::config::{IdentityMode, PlatformShape, Secret};
use tidemill_runtime::platform::PlatformRoutes;
use tidemill_runtime::{
    BoxStream, Config, Connector, RunError, SessionError, Summary, Worker, WorkerBuilder, WorkerHandle,
};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::platform::{Accounts, Platform, PlatformConfig};
use tidemill_testkit::wire::{Version, v5};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "a-abc123-k3y";

pub(crate) async fn platform() -> Arc<Platform> {
    let accounts = Accounts::default().with_key(KEY, "secret").with_any_device("device-token");
    Arc::new(Platform::start(PlatformConfig::in_memory().with_accounts(accounts)).await.unwrap())
}

/// A member of `A:abc123:app`.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.identity.mode = IdentityMode::Platform;
    config.platform.app = Some("app".to_owned());
    config.platform.api_key = Some(KEY.to_owned());
    config.platform.token = Some(Secret::new("secret"));
    config.dead_letters.sink = Some("dead".to_owned());
    config.mqtt.reconnect.min = Duration::from_millis(20);
    config.mqtt.reconnect.max = Duration::from_millis(200);
    config
}

pub(crate) fn config_of(shape: PlatformShape) -> Config {
    let mut config = config();
    config.platform.shape = shape;
    config
}

/// Connects to the emulation through memory.
#[derive(Clone, Debug)]
pub(crate) struct To(pub(crate) Arc<Platform>);

#[async_trait]
impl Connector for To {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        Ok(Box::new(self.0.connect()))
    }
}

/// A sink that remembers what was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<Record>>>);

#[async_trait]
impl Sink for Kept {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        self.0.lock().unwrap().extend_from_slice(batch);
        Ok(())
    }
}

/// What a member has handled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn handler(&self) -> impl Handler {
        let seen = self.clone();
        handler_fn(move |event: Event, _: Context| {
            seen.0.lock().unwrap().push(String::from_utf8_lossy(event.payload()).into_owned());
            async { Ok(()) }
        })
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A running worker.
pub(crate) struct Member {
    pub(crate) handle: WorkerHandle,
    leave: CancellationToken,
    pub(crate) task: JoinHandle<Result<Summary, RunError>>,
}

impl Member {
    pub(crate) fn start(
        platform: &Arc<Platform>,
        config: Config,
        assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Self {
        let builder = Worker::builder(config).connector(To(Arc::clone(platform))).on_one_runtime();
        let worker = assemble(builder.sink("dead", Kept::default())).build().unwrap();
        let (handle, leave) = (worker.handle(), CancellationToken::new());
        let asked = leave.clone();
        let task = tokio::spawn(async move { worker.run_until(asked.cancelled_owned()).await });
        Self { handle, leave, task }
    }

    /// One that handles all events of all devices, and is subscribed.
    pub(crate) async fn of_all_events(platform: &Arc<Platform>, config: Config, seen: &Seen) -> Self {
        let member = Self::start(platform, config, |builder| builder.on_event("+", "+", "+", "+", seen.handler()));
        member.handle.ready().await;
        member
    }

    pub(crate) async fn leave(self) -> Summary {
        self.leave.cancel();
        self.task.await.unwrap().unwrap()
    }
}

/// A connected device of the type `T`.
pub(crate) async fn device(platform: &Platform, id: &str) -> RawClient {
    let mut client = RawClient::with_version(platform.connect(), Version::V4);
    let options = ConnectOptions::new(format!("d:abc123:T:{id}")).login("use-token-auth", "device-token");
    assert_eq!(client.connect(options).await.code, v5::ConnectReturnCode::Success);
    client
}

/// Publishes so many events, each acknowledged.
pub(crate) async fn events(device: &mut RawClient, count: usize) {
    for number in 0..count {
        device.publish_acked("iot-2/evt/E/fmt/json", number.to_string()).await;
    }
}

/// Waits until it holds, at most a minute.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("what is awaited never came true");
}
