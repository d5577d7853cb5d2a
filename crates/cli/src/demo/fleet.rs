//! The simulated fleet: devices that publish readings over a few connections, never more than a bounded number ahead of
//! what was handled, so that no broker's queue limit is what is tested.
//!
//! A device belongs to one connection, over which its readings go in their order. A publisher ends in one of three ways:
//! everything is published, it was told to stop and the broker has confirmed what was sent, or it gives up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill::topic::TopicName;
use tidemill::{Config, Publication, PublishError, Publisher, Receipt};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::args::Plan;
use super::clock::Clock;
use super::ledger::Ledger;
use super::reading::{self, LIMIT_CELSIUS};
use crate::connect::in_options;
use crate::exit::Failure;

/// An error that lasts this long while connecting is not going to pass.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// Longest wait for all connections.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the broker to hear that the fleet goes.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// What one connection may have unconfirmed.
const UNCONFIRMED: usize = 1024;
/// So many publications pass between two looks at what was confirmed.
const LOOK_EVERY: usize = 32;
/// One in so many readings is hot.
const HOT_ONE_IN: u32 = 500;

/// The connected fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    publishers: Vec<Publisher>,
}

/// What the fleet has done, for others to look at.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    started: AtomicU64,
    confirmed: AtomicU64,
}

impl Progress {
    /// Publications that were handed to a connection.
    pub(crate) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Publications that the broker has; at QoS 0 that were sent to it.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }
}

/// What the publishers have in common.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) plan: Arc<Plan>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Clock,
    pub(crate) ahead: Arc<Semaphore>,
    pub(crate) progress: Arc<Progress>,
    /// Publish nothing more, but wait for what was sent.
    pub(crate) stop: CancellationToken,
    /// Wait for nothing any more.
    pub(crate) give_up: CancellationToken,
}

impl Errand {
    /// The broker has this event.
    fn confirm(&self, device: u32, seq: u32) {
        self.ledger.published(device, seq);
        self.progress.confirmed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Fleet {
    /// Connects all publishers. It is the first that talks to the broker, so what is wrong with it is said here.
    ///
    /// # Errors
    /// The connection cannot be made.
    pub(crate) async fn connect(config: &Config, plan: &Plan) -> Result<Self, Failure> {
        let start = |number: u32| Publisher::start_with(config, format!("{}-fleet-{number}", plan.run));
        let publishers: Result<Vec<_>, _> = (0..plan.publishers).map(start).collect();
        let fleet = Self { publishers: publishers.map_err(|error| Failure::Usage(error.to_string()))? };
        let started = Instant::now();
        for publisher in &fleet.publishers {
            loop {
                match timeout(Duration::from_millis(50), publisher.connected()).await {
                    Ok(true) => break,
                    Err(_) if !is_hopeless(publisher, started.elapsed()) => {}
                    _ => {
                        let why = publisher.last_error().unwrap_or_else(|| "the broker does not answer".to_owned());
                        fleet.abort();
                        return Err(unreachable(&plan.mqtt.url, &why));
                    }
                }
            }
        }
        Ok(fleet)
    }

    /// Starts to publish.
    pub(crate) fn publish(&self, errand: &Errand) -> JoinSet<Result<(), PublishError>> {
        let mut tasks = JoinSet::new();
        for (number, publisher) in (0..).zip(&self.publishers) {
            tasks.spawn(publish(publisher.clone(), number, errand.clone()));
        }
        tasks
    }

    /// Why a connection is down; `None` when all are up.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.publishers.iter().find_map(Publisher::last_error)
    }

    /// Says goodbye, as far as the broker listens.
    pub(crate) async fn close(&self) {
        let mut closing = JoinSet::new();
        for publisher in &self.publishers {
            let publisher = publisher.clone();
            closing.spawn(async move { publisher.close().await });
        }
        let all = async { while closing.join_next().await.is_some() {} };
        if timeout(CLOSE_LIMIT, all).await.is_err() {
            self.abort();
        }
    }

    fn abort(&self) {
        self.publishers.iter().for_each(Publisher::abort);
    }
}

fn is_hopeless(publisher: &Publisher, waited: Duration) -> bool {
    waited > CONNECT_LIMIT || (waited > CONNECT_PATIENCE && publisher.last_error().is_some())
}

fn unreachable(url: &str, why: &str) -> Failure {
    Failure::Run(format!(
        "no connection to {url}: {}\n  or leave --broker out to use the embedded broker",
        in_options(why)
    ))
}

async fn publish(publisher: Publisher, number: u32, errand: Errand) -> Result<(), PublishError> {
    let plan = Arc::clone(&errand.plan);
    let mut random = fastrand::Rng::with_seed(plan.seed.wrapping_add(u64::from(number) << 32));
    let mut devices = Devices::new(&plan, number);
    let mut pace = Pace::new(&plan);
    let mut unconfirmed = Unconfirmed { waiting: VecDeque::new(), errand: &errand };
    let pad = "x".repeat(plan.payload);
    let chunk = plan.chunk();
    let mut places = 0;
    let stopped = errand.stop.cancelled();
    tokio::pin!(stopped);
    let mut payload = Vec::with_capacity(plan.payload);
    while let Some((device, seq, topic)) = devices.next(&mut random) {
        if places == 0 {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                // The semaphore is never closed.
                Ok(permit) = errand.ahead.acquire_many(chunk) => permit.forget(),
            }
            places = chunk;
        }
        places -= 1;
        if let Some(wait) = pace.wait() {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                () = sleep(wait) => {}
            }
        }
        reading::write(&mut payload, seq, errand.clock.ns(), celsius(&mut random), &pad, plan.payload);
        let publication = Publication::new(topic, std::mem::take(&mut payload)).with_qos(plan.qos);
        payload.reserve(plan.payload);
        tokio::select! {
            biased;
            outcome = publisher.start(publication) => unconfirmed.push(device, seq, outcome?),
            () = &mut stopped => break,
        }
        unconfirmed.look().await?;
    }
    unconfirmed.settle(0).await
}

/// The readings of a publisher's devices: round by round, in each round every device once in an order of its own.
struct Devices {
    topics: Vec<(u32, TopicName)>,
    events: u64,
    devices: u32,
    round: u32,
    at: usize,
}

impl Devices {
    fn new(plan: &Plan, publisher: u32) -> Self {
        let own = (publisher..plan.devices).step_by(plan.publishers as usize);
        let topic = |device| Some((device, TopicName::new(&reading::topic(&plan.run, device)).ok()?));
        Self { topics: own.filter_map(topic).collect(), events: plan.events, devices: plan.devices, round: 0, at: 0 }
    }

    /// The next device, the number of its reading, and its topic.
    fn next(&mut self, random: &mut fastrand::Rng) -> Option<(u32, u32, TopicName)> {
        loop {
            if self.at == 0 {
                random.shuffle(&mut self.topics);
            }
            let (device, topic) = self.topics.get(self.at)?;
            let first = u64::from(self.round) * u64::from(self.devices);
            if first >= self.events {
                return None;
            }
            let reading = (first + u64::from(*device) < self.events).then(|| (*device, self.round, topic.clone()));
            self.at += 1;
            if self.at == self.topics.len() {
                self.at = 0;
                self.round += 1;
            }
            if reading.is_some() {
                return reading;
            }
        }
    }
}

/// When the next event is due.
struct Pace {
    start: Instant,
    interval: Option<Duration>,
    sent: u32,
}

impl Pace {
    fn new(plan: &Plan) -> Self {
        let interval = (plan.rate > 0).then(|| Duration::from_secs(1) * plan.publishers / narrow(plan.rate));
        Self { start: Instant::now(), interval, sent: 0 }
    }

    /// How long the next event has to wait; `None` when it is due.
    fn wait(&mut self) -> Option<Duration> {
        let due = self.start + self.interval? * self.sent;
        self.sent += 1;
        let now = Instant::now();
        (due > now).then(|| due - now)
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Tells how a publication ended.
type Confirmation = oneshot::Receiver<Result<Receipt, PublishError>>;

/// Publications that were handed over and are not confirmed, oldest first.
struct Unconfirmed<'a> {
    waiting: VecDeque<(u32, u32, Confirmation)>,
    errand: &'a Errand,
}

impl Unconfirmed<'_> {
    fn push(&mut self, device: u32, seq: u32, outcome: Confirmation) {
        self.errand.progress.started.fetch_add(1, Ordering::Relaxed);
        self.waiting.push_back((device, seq, outcome));
    }

    /// Takes in what was confirmed, now and then; waits when too much is unconfirmed.
    async fn look(&mut self) -> Result<(), PublishError> {
        if self.waiting.len() >= UNCONFIRMED {
            return self.settle(UNCONFIRMED - LOOK_EVERY).await;
        }
        if !self.waiting.len().is_multiple_of(LOOK_EVERY) {
            return Ok(());
        }
        while let Some((device, seq, outcome)) = self.waiting.front_mut() {
            match outcome.try_recv() {
                Ok(outcome) => {
                    outcome?;
                    self.errand.confirm(*device, *seq);
                }
                Err(oneshot::error::TryRecvError::Empty) => break,
                Err(oneshot::error::TryRecvError::Closed) => return Err(PublishError::Closed),
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Waits until at most `left` are unconfirmed.
    async fn settle(&mut self, left: usize) -> Result<(), PublishError> {
        while self.waiting.len() > left {
            let Some((device, seq, outcome)) = self.waiting.front_mut() else { break };
            tokio::select! {
                biased;
                outcome = outcome => {
                    outcome.unwrap_or(Err(PublishError::Closed))?;
                }
                () = self.errand.give_up.cancelled() => return Ok(()),
            }
            self.errand.confirm(*device, *seq);
            self.waiting.pop_front();
        }
        Ok(())
    }
}

/// Room temperature, and now and then much more.
fn celsius(random: &mut fastrand::Rng) -> f64 {
    let tenths = random.u32(150..300);
    let hot = random.u32(0..HOT_ONE_IN) == 0;
    f64::from(tenths) / 10.0 + if hot { LIMIT_CELSIUS } else { 0.0 }
}
