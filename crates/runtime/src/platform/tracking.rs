//! Which devices are connected, kept while a worker runs: a connection of its own that hears every monitoring message.
//!
//! It connects as an unshared application, `a:org:app-status`. Members of `A:org:app` each hear a part of the messages,
//! and members of `A:org:app:instance` are not given the retained ones, so neither could know the state to start from.
//!
//! INVARIANT: a message of a new session is never applied before the tracker was told of that session, so what a lost
//! connection has missed is found out instead of being believed.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tidemill_core::platform::identity::Name;
use tidemill_core::platform::tracker::{Change, Connection, DeviceKey, Eviction, Status, Tracker};
use tidemill_core::platform::{MonitorMessage, PlatformTopic};
use tidemill_core::{Context, Event, HandlerError, QoS, Record, Sink, SinkError, handler_fn, report};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::{Membership, PlatformRoutes};
use crate::config::{Config, ConfigProblem, Instances, PlatformShape};
use crate::error::BuildError;
use crate::session::transport::Connector;
use crate::worker::{Worker, WorkerHandle};

/// What the tracking connection adds to the application's name.
const STATUS: &str = "-status";
/// Its sink for payloads that are no monitoring messages.
const REFUSED: &str = "refused";

/// How states are tracked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrackerSettings {
    /// Devices that are remembered at most; memory grows with them.
    pub capacity: NonZeroUsize,
    /// Which one is forgotten beyond that.
    pub eviction: Eviction,
    /// Changes that a slow receiver may be behind before it misses some.
    pub changes: usize,
    /// How long after a reconnect retained states may still come. What was not heard of by then is unknown.
    pub settle: Duration,
    /// Only this type of device.
    pub device_type: Option<Name>,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self {
            // More than most organizations have, and a bound all the same.
            capacity: NonZeroUsize::new(100_000).unwrap_or(NonZeroUsize::MIN),
            eviction: Eviction::default(),
            changes: 1024,
            // Some thousand retained messages per second are slow.
            settle: Duration::from_secs(30),
            device_type: None,
        }
    }
}

/// Tracks the connections of devices. Cloning gives another handle; the connection ends with the last one.
#[derive(Clone, Debug)]
pub struct DeviceTracker {
    shared: Arc<Shared>,
    handle: WorkerHandle,
    end: Arc<End>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
    settle: Duration,
}

#[derive(Debug)]
struct State {
    tracker: Tracker,
    epoch: u64,
    /// When what is unconfirmed is to be forgotten.
    forget_at: Option<Instant>,
}

/// Ends the connection when the last handle goes.
#[derive(Debug)]
struct End {
    leave: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.leave.cancel();
    }
}

/// What is known, as a status page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrackerStatus {
    /// Whether messages are being received now.
    pub receiving: bool,
    /// Devices that are connected.
    pub connected: usize,
    /// Devices that are known, connected or not.
    pub known: usize,
    /// The known devices by `type/id`.
    pub devices: BTreeMap<String, TrackedDevice>,
}

/// A known device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrackedDevice {
    /// Whether it is connected.
    pub connected: bool,
    /// Seconds since the epoch at which this state began.
    pub since: u64,
    /// Why its last connection ended, when that is what is known.
    pub close_code: Option<u32>,
}

impl DeviceTracker {
    /// Starts to track the devices of the organization that `config` names, on the current runtime. The configuration is
    /// that of a worker in the platform mode; its shape does not matter.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(config: &Config, settings: &TrackerSettings) -> Result<Self, BuildError> {
        Self::build(config, settings, None)
    }

    /// The same through a connector of the caller's.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start_with(
        config: &Config,
        settings: &TrackerSettings,
        connector: impl Connector,
    ) -> Result<Self, BuildError> {
        Self::build(
            config,
            settings,
            Some(Box::new(move |builder: crate::WorkerBuilder| builder.connector(connector).on_one_runtime())),
        )
    }

    fn build(
        config: &Config,
        settings: &TrackerSettings,
        adapt: Option<Box<dyn FnOnce(crate::WorkerBuilder) -> crate::WorkerBuilder>>,
    ) -> Result<Self, BuildError> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                tracker: Tracker::new(settings.capacity, settings.eviction),
                epoch: 0,
                forget_at: None,
            }),
            changes: broadcast::channel(settings.changes.max(1)).0,
            settle: settings.settle,
        });
        let handle: Arc<OnceLock<WorkerHandle>> = Arc::default();
        let (heard, own) = (Arc::clone(&shared), Arc::clone(&handle));
        let handler = handler_fn(move |event: Event, _: Context| {
            let told = heard.hear(&event, own.get());
            async move { told }
        });
        let device_type = settings.device_type.as_ref().map_or("+", Name::as_str);
        let builder =
            Worker::builder(own_config(config)?).on_device_status(device_type, "+", handler).sink(REFUSED, Refused);
        let builder = match adapt {
            Some(adapt) => adapt(builder),
            None => builder,
        };
        let worker = builder.build()?;
        let handle = handle.get_or_init(|| worker.handle()).clone();
        let leave = CancellationToken::new();
        let (watched, seen, asked) = (Arc::clone(&shared), handle.clone(), leave.clone());
        let task = tokio::spawn(async move {
            tokio::select! {
                ended = worker.run_until(asked.cancelled_owned()) => if let Err(error) = ended {
                    error!(error = report(&error), "connections of devices are not tracked any more");
                },
                () = watched.settle(&seen) => {}
            }
        });
        Ok(Self { shared, handle, end: Arc::new(End { leave, task: Mutex::new(Some(task)) }) })
    }

    /// Whether a device is connected. [`Connection::Unknown`] also stands for a device whose state is too old to be kept
    /// by the platform, and for every device before the first connection.
    #[must_use]
    pub fn connection(&self, device: &DeviceKey) -> Connection {
        self.shared.lock().tracker.connection(device)
    }

    /// All that is known about a device.
    #[must_use]
    pub fn status(&self, device: &DeviceKey) -> Option<Status> {
        self.shared.lock().tracker.status(device).cloned()
    }

    /// Changes from now on. The channel is bounded: a receiver that is too slow is told how many it has missed, and finds
    /// the truth in [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    /// Everything that is known now.
    #[must_use]
    pub fn snapshot(&self) -> TrackerStatus {
        let receiving = self.handle.is_receiving();
        let state = self.shared.lock();
        let devices = state.tracker.devices().map(|(device, status)| (device.to_string(), tracked(status))).collect();
        TrackerStatus { receiving, connected: state.tracker.connected(), known: state.tracker.len(), devices }
    }

    /// Waits until messages are received. Retained ones may still be on their way.
    pub async fn ready(&self) {
        self.handle.ready().await;
    }

    /// Ends the connection in order. Other handles keep what is known.
    pub async fn close(&self) {
        self.end.leave.cancel();
        let task = self.end.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // Whether it crashed makes no difference to the caller.
            let _ = task.await;
        }
    }
}

/// The configuration of the tracking connection.
fn own_config(config: &Config) -> Result<Config, BuildError> {
    let unshared = Membership::of(config).and_then(|membership| membership.unshared(STATUS));
    let Some(app) = unshared else {
        let why = format!("the connection that tracks devices goes by the application's name and {STATUS:?}");
        let fix = "set identity.mode = \"platform\" and a platform.app of at most 29 characters";
        return Err(BuildError::of(vec![ConfigProblem::new("platform.app", why, fix)]));
    };
    let mut own = config.clone();
    own.instances = Instances::Fixed(1);
    own.platform.shape = PlatformShape::Application;
    own.platform.clean_session = true;
    own.platform.app = Some(app.to_string());
    // Monitoring is sent at QoS 0.
    own.mqtt.qos = QoS::AtMostOnce;
    own.mqtt.will = None;
    own.admin.enabled = false;
    own.sinks.clear();
    own.dead_letters.sink = Some(REFUSED.to_owned());
    own.reload.every = Duration::ZERO;
    Ok(own)
}

fn tracked(status: &Status) -> TrackedDevice {
    let since = status.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    TrackedDevice {
        connected: status.connection == Connection::Connected,
        since: since.as_secs(),
        close_code: status.close_code.map(tidemill_core::platform::CloseCode::number),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, event: &Event, handle: Option<&WorkerHandle>) -> Result<(), HandlerError> {
        let topic = PlatformTopic::parse(event.topic()).map_err(HandlerError::permanent)?;
        let PlatformTopic::DeviceMonitor { device_type, device } = topic else {
            return Err(HandlerError::permanent("no monitoring message of a device"));
        };
        // An empty payload takes a retained state away and says nothing.
        if event.payload().is_empty() {
            return Ok(());
        }
        let message = MonitorMessage::parse(event.payload()).map_err(HandlerError::permanent)?;
        let device = DeviceKey { device_type, device };
        let epoch = handle.map_or(0, WorkerHandle::epoch);
        let mut state = self.lock();
        self.begin(&mut state, epoch);
        let applied = state.tracker.apply(&device, &message, SystemTime::now());
        drop(state);
        self.tell(applied.change.into_iter().chain(applied.evicted));
        Ok(())
    }

    /// Takes notice of the session. What is known stands until the new one has had time to say otherwise.
    fn begin(&self, state: &mut State, epoch: u64) {
        if epoch > state.epoch {
            if state.epoch > 0 {
                state.tracker.resync();
                state.forget_at = Some(Instant::now() + self.settle);
            }
            state.epoch = epoch;
        }
    }

    fn tell(&self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            debug!(device = %change.device, to = ?change.to, "device changed its connection");
            // Nobody needs to listen.
            let _ = self.changes.send(change);
        }
    }

    /// Forgets, some time after each reconnect, what was not heard of since. Runs for ever.
    async fn settle(&self, handle: &WorkerHandle) {
        let mut ticks = interval((self.settle / 4).max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (epoch, receiving) = (handle.epoch(), handle.is_receiving());
            let mut state = self.lock();
            self.begin(&mut state, epoch);
            if !receiving {
                // Time without a connection is not time in which states could have come.
                state.forget_at = state.forget_at.map(|_| Instant::now() + self.settle);
            }
            let due = state.forget_at.is_some_and(|at| at <= Instant::now());
            let forgotten = if due { state.tracker.forget_unconfirmed(SystemTime::now()) } else { Vec::new() };
            if due {
                state.forget_at = None;
            }
            drop(state);
            self.tell(forgotten);
        }
    }
}

/// Where payloads go that are no monitoring messages.
#[derive(Debug)]
struct Refused;

#[tidemill_core::async_trait]
impl Sink for Refused {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        for record in batch {
            debug!(headers = ?record.headers, "a message on a monitoring topic is none");
        }
        Ok(())
    }
}
