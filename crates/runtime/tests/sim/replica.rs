//! A worker of the simulation: a handler that takes its time and fails now and then, two sinks, and its coming and going.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerError, HandlerResult, Record, Sink, SinkError, async_trait};
use tidemill_runtime::config::IdentityMode;
use tidemill_runtime::{Config, Key, Route, RunError, Summary, Worker, WorkerHandle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::log::{Log, What, WorkerId};
use crate::scenario::Scenario;
use crate::world::{Through, World};

/// What leaving may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(20);

/// Keys of an instance that are being handled.
type Running = Arc<Mutex<HashSet<(Arc<str>, String)>>>;

struct Tester {
    log: Log,
    worker: WorkerId,
    slowest: Duration,
    running: Running,
    window: usize,
    handle: Arc<Mutex<Option<WorkerHandle>>>,
}

/// Notes the end of an attempt, also of one that is cut.
struct Attempt<'a> {
    tester: &'a Tester,
    lane: (Arc<str>, String),
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.tester.running.lock().unwrap().remove(&self.lane);
    }
}

impl Tester {
    fn begin(&self, instance: &str, key: &str) -> Attempt<'_> {
        let lane = (Arc::from(instance), key.to_owned());
        let mut running = self.running.lock().unwrap();
        if !running.insert(lane.clone()) {
            self.log.wrong(format!("G4: two events of key {key} run at the same time in {instance}"));
        }
        let here = running.iter().filter(|(other, _)| **other == *instance).count();
        if here > self.window {
            self.log.wrong(format!("G5: {here} events run in {instance} with a window of {}", self.window));
        }
        Attempt { tester: self, lane }
    }

    fn look_at_windows(&self) {
        let handle = self.handle.lock().unwrap();
        let Some(handle) = &*handle else { return };
        for instance in handle.status().instances {
            if instance.window_use > 1.0 || instance.unacknowledged > self.window {
                self.log.wrong(format!("G5: {} holds more than its window of {}", instance.id, self.window));
            }
        }
    }
}

#[async_trait]
impl Handler for Tester {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let id = std::str::from_utf8(event.payload())?.parse()?;
        let attempt = self.log.started(self.worker, cx.instance(), id, cx.attempt());
        let running = self.begin(cx.instance(), event.capture("key").unwrap_or_default());
        if fastrand::u8(..8) == 0 {
            self.look_at_windows();
        }
        if fastrand::u8(..3) > 0 {
            sleep(self.slowest.mul_f64(fastrand::f64())).await;
        }
        drop(running);
        let result = match fastrand::u8(..100) {
            0 => Err(HandlerError::permanent("never")),
            1..5 => Err(HandlerError::retry("not now")),
            _ => Ok(()),
        };
        let emitted = result.is_ok() && fastrand::u8(..4) == 0;
        if emitted {
            cx.emit("out", Record::new(attempt.to_string()))?;
        }
        self.log.add(What::Returned { attempt, ok: result.is_ok(), emitted });
        result
    }
}

fn number(record: &Record) -> u32 {
    std::str::from_utf8(&record.payload).unwrap().parse().unwrap()
}

/// Takes records, sometimes not at the first time of asking.
struct Out(Log);

#[async_trait]
impl Sink for Out {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        sleep(Duration::from_millis(fastrand::u64(..5))).await;
        if fastrand::u8(..10) == 0 {
            return Err(SinkError::unavailable("busy"));
        }
        batch.iter().for_each(|record| self.0.add(What::Written { attempt: number(record) }));
        Ok(())
    }
}

/// Takes dead letters.
struct Dead(Log, WorkerId);

#[async_trait]
impl Sink for Dead {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        batch.iter().for_each(|record| self.0.add(What::Buried { worker: self.1, event: number(record) }));
        Ok(())
    }
}

fn config(scenario: &Scenario, name: &str, instances: u32) -> Config {
    let mut config = Config::default();
    config.group.name = Some("g".to_owned());
    config.group.verify = tidemill_runtime::config::Verify::Never;
    config.instances = instances.into();
    if scenario.durable {
        config.identity.mode = IdentityMode::Durable;
        config.identity.replica = Some(name.to_owned());
        config.mqtt.session_expiry = Duration::from_secs(24 * 3600);
    }
    config.mqtt.version = scenario.version;
    config.mqtt.qos = scenario.qos;
    config.mqtt.window = scenario.window;
    config.mqtt.keep_alive = Duration::from_secs(2);
    config.mqtt.ping_timeout = Duration::from_secs(1);
    config.mqtt.connect_timeout = Duration::from_secs(2);
    config.mqtt.reconnect.max = Duration::from_secs(1);
    config.mqtt.max_connection_age = scenario.max_connection_age;
    config.retry.max_attempts = 4;
    config.retry.min_delay = Duration::from_millis(5);
    config.retry.max_delay = Duration::from_millis(50);
    config.drain.deadline = DRAIN;
    config.dead_letters.sink = Some("dead".to_owned());
    config
}

/// How a worker ended: after the request to leave, or by itself.
pub(crate) struct Ended {
    pub(crate) worker: WorkerId,
    pub(crate) result: Result<Summary, RunError>,
    pub(crate) took: Duration,
}

/// A running worker.
pub(crate) struct Replica {
    pub(crate) worker: WorkerId,
    pub(crate) name: String,
    wanted: u32,
    pub(crate) handle: WorkerHandle,
    stop: CancellationToken,
    task: JoinHandle<Result<Summary, RunError>>,
}

impl Replica {
    pub(crate) fn join(world: &Arc<World>, worker: WorkerId, name: &str, instances: u32) -> Self {
        let scenario = &world.scenario;
        let shown = Arc::new(Mutex::new(None));
        let tester = Tester {
            log: world.log.clone(),
            worker,
            slowest: scenario.slowest,
            running: Running::default(),
            window: usize::from(scenario.window),
            handle: Arc::clone(&shown),
        };
        let assembled = Worker::builder(config(scenario, name, instances))
            .connector(Through(Arc::clone(world)))
            .on_one_runtime()
            .sink("out", Out(world.log.clone()))
            .sink("dead", Dead(world.log.clone(), worker))
            .add_route(Route::new("t/{key}/{event}", tester).key(Key::Capture("key".to_owned())))
            .build()
            .expect("the worker is set up rightly");
        let handle = assembled.handle();
        *shown.lock().unwrap() = Some(handle.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(assembled.run_until(async move { stopped.cancelled().await }));
        Self { worker, name: name.to_owned(), wanted: instances, handle, stop, task }
    }

    pub(crate) fn scale(&mut self, instances: u32) {
        self.handle.scale(instances).unwrap();
        self.wanted = instances;
    }

    /// With how many instances it must come back if its sessions live on: one that has not left yet has one too.
    pub(crate) fn sessions(&self) -> u32 {
        let instances = self.handle.status().instances;
        let slots = instances.iter().filter_map(|instance| instance.id.rsplit('-').next()?.parse::<u32>().ok());
        slots.map(|slot| slot + 1).max().unwrap_or_default().max(self.wanted)
    }

    /// Asks it to leave; the task ends when it has.
    pub(crate) fn leave(self) -> JoinHandle<Ended> {
        self.stop.cancel();
        let asked = Instant::now();
        tokio::spawn(async move {
            let result = self.task.await.expect("a worker does not panic");
            Ended { worker: self.worker, result, took: asked.elapsed() }
        })
    }

    /// Whether it has ended although nobody asked it to.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// As if its process had died.
    pub(crate) async fn kill(self) {
        self.task.abort();
        // Cancelled, which is the point.
        drop(self.task.await);
    }
}
