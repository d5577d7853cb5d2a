//! What peers take their events from: the raw feed, or a broker with a publisher. Everything but the peer runs on core 0.

#![expect(clippy::disallowed_methods, reason = "measures real time, on a thread of its own")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use tidemill_core::QoS;
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig};
use tokio::runtime::Runtime;

use super::catalog::Peer;
use super::process::{Job, Process, Recipe};
use super::source::{self, Source};
use super::{Error, Measured};
use crate::feed::{self, Feed, Gate};

const SOURCE_CORE: usize = 0;
const PEER_CORE: usize = 1;
/// Longest wait for a peer to subscribe: an interpreter has a lot to load.
const SUBSCRIBE: Duration = Duration::from_secs(30);
/// Longest wait for all events.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked.
const TICK: Duration = Duration::from_millis(1);

/// Where events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    /// A raw feed without a broker's cost
    Feed,
    /// Mosquitto
    Mosquitto,
    /// The embedded broker of this project
    Embedded,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Feed => "raw feed",
            Self::Mosquitto => "Mosquitto",
            Self::Embedded => "embedded broker",
        })
    }
}

/// How much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) events: u64,
    pub(super) window: u16,
    /// Events per second; `None` is as fast as they are taken.
    pub(super) rate: Option<f64>,
}

/// A place that is open.
pub(super) struct Target {
    inner: Inner,
    /// Each run has a group of its own, so that what an earlier one left is not counted.
    groups: AtomicU64,
}

enum Inner {
    Feed,
    Mosquitto(Box<Mosquitto>),
    Embedded(Box<Broker>, Runtime),
}

impl Target {
    pub(super) fn start(place: Place) -> Result<Self, Error> {
        // The threads of the broker inherit it.
        feed::pin(&[SOURCE_CORE]).map_err(|error| Error::new(tidemill_core::report(&error)))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Error::new(error.to_string()))?;
        let inner = match place {
            Place::Feed => Inner::Feed,
            Place::Mosquitto => {
                let mosquitto = runtime.block_on(Mosquitto::start(MosquittoConfig::default()));
                Inner::Mosquitto(Box::new(mosquitto.map_err(|error| Error::new(error.to_string()))?))
            }
            Place::Embedded => {
                let broker = runtime.block_on(Broker::start(BrokerConfig::default()));
                Inner::Embedded(Box::new(broker.map_err(|error| Error::new(error.to_string()))?), runtime)
            }
        };
        Ok(Self { inner, groups: AtomicU64::new(0) })
    }

    /// Whether events carry the time at which they were sent.
    pub(super) fn has_clock(&self) -> bool {
        !matches!(self.inner, Inner::Feed)
    }

    /// Lets a peer do its job.
    pub(super) fn measure(&self, peer: Peer, recipe: &Recipe, load: &Load) -> Result<Measured, Error> {
        let port = match &self.inner {
            Inner::Feed => return feed_to(recipe, load),
            Inner::Mosquitto(mosquitto) => mosquitto.addr().port(),
            Inner::Embedded(broker, _runtime) => broker.addr().map_or(0, |addr| addr.port()),
        };
        let run = self.groups.fetch_add(1, Ordering::Relaxed);
        let group = format!("{peer}-{run}");
        // A filter of its own as well: some brokers hand what is left of one group to the next.
        let topics: Vec<String> =
            (0..64).map(|at| format!("plant/{run}/line/{}/sensor/temperature{}/c", at / 8, at % 8)).collect();
        let filter = format!("plant/{run}/line/+/sensor/+/c");
        let job = Job { port, group, filter, events: load.events, window: load.window, core: PEER_CORE };
        let process = Process::start(recipe, &job)?;
        published(&process, port, &topics, load).map_err(|error| process.explain(&error))
    }
}

/// Publishes to a peer, once it is there.
fn published(process: &Process, port: u16, topics: &[String], load: &Load) -> Result<Measured, Error> {
    let mut source = Source::connect(port)?;
    let waited = Instant::now();
    while !source.reaches_somebody(&topics[0])? {
        if waited.elapsed() > SUBSCRIBE {
            return Err(Error::new("it did not subscribe in time"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    // The first event has found it; what an interpreter still loads is not a part of the job.
    thread::sleep(Duration::from_millis(300));
    let (began, cpu_began) = (Instant::now(), process.cpu_us()?);
    source.publish(topics, load.events - 1, load.rate)?;
    let said = process.said(PATIENCE)?;
    let (took, cpu) = (began.elapsed(), process.cpu_us()? - cpu_began);
    let timed = load.rate.is_some();
    Ok(Measured {
        p50_us: said.p50_us.filter(|_| timed),
        p99_us: said.p99_us.filter(|_| timed),
        ..measured(said.events - 1, took, cpu, process)?
    })
}

fn feed_to(recipe: &Recipe, load: &Load) -> Result<Measured, Error> {
    let failed = |error: feed::ServeError| Error::new(tidemill_core::report(&error));
    let gate = Gate::closed();
    let stream = feed::Load {
        events: load.events,
        qos: QoS::AtLeastOnce,
        window: load.window,
        payload: source::PAYLOAD,
        topics: 64,
    };
    let feed =
        Feed::bind(stream, PATIENCE).map_err(failed)?.with_payload(source::payload(0)).with_gate(Arc::clone(&gate));
    let port = feed.addr().map_err(failed)?.port();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let serving = thread::spawn(move || feed.serve(&stopped));
    let outcome = fed(recipe, load, &gate, port, || serving.is_finished());
    stop.store(true, Ordering::Relaxed);
    let served = serving.join().map_err(|_| Error::new("the feed crashed"))?;
    match (outcome, served) {
        (Ok(measured), _) => Ok(measured),
        // The feed knows better what the peer did wrong.
        (Err(_), Err(error @ (feed::ServeError::Ack(_) | feed::ServeError::Protocol(_)))) => Err(failed(error)),
        (Err(error), _) => Err(error),
    }
}

fn fed(recipe: &Recipe, load: &Load, gate: &Gate, port: u16, over: impl Fn() -> bool) -> Result<Measured, Error> {
    let job = Job {
        port,
        group: "peers".to_owned(),
        filter: feed::FILTER.to_owned(),
        events: load.events,
        window: load.window,
        core: PEER_CORE,
    };
    let process = Process::start(recipe, &job)?;
    streamed(&process, load, gate, over).map_err(|error| process.explain(&error))
}

/// Streams to a peer, once it is there.
fn streamed(process: &Process, load: &Load, gate: &Gate, over: impl Fn() -> bool) -> Result<Measured, Error> {
    let waited = Instant::now();
    while !gate.is_subscribed() {
        if waited.elapsed() > SUBSCRIBE || over() {
            return Err(Error::new("it did not subscribe in time"));
        }
        thread::sleep(TICK);
    }
    thread::sleep(Duration::from_millis(300));
    let cpu_began = process.cpu_us()?;
    gate.open();
    let waited = Instant::now();
    let took = loop {
        if let Some(took) = gate.streamed() {
            break took;
        }
        if waited.elapsed() > PATIENCE || over() {
            return Err(Error::new("it did not take and acknowledge all events in time"));
        }
        thread::sleep(TICK);
    };
    let cpu = process.cpu_us()? - cpu_began;
    measured(load.events, took, cpu, process)
}

fn measured(events: u64, took: Duration, cpu_us: f64, process: &Process) -> Result<Measured, Error> {
    let events = events as f64;
    Ok(Measured {
        events_per_s: events / took.as_secs_f64(),
        cpu_us_per_event: cpu_us / events,
        peak_rss_kib: process.peak_rss_kib()?,
        busy: cpu_us / 1e6 / took.as_secs_f64(),
        p50_us: None,
        p99_us: None,
    })
}
