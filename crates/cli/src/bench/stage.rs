//! One measurement from its beginning to its end: publishers, worker and broker as processes, and the figures of all.
//!
//! ORDER: publishers and worker are connected before time zero; everything that was published is waited for before
//! anybody leaves; nothing is waited for without a limit.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::bound::Point;
use super::clock;
use super::or_stopped;
use super::process::parent::Child;
use super::process::{BrokerFigures, Job, LoadFigures, LoadJob, Order, Said, WorkerFigures, WorkerJob};
use super::usage::{self, Moment, Used};
use super::venue::Venue;
use crate::exit::Failure;
use crate::figures::{ratio, rounded};

/// How long a child may take to connect.
pub(crate) const READY: Duration = Duration::from_secs(30);
/// Between the last connection and time zero.
const HEAD_START: Duration = Duration::from_millis(100);
/// How often the broker is asked.
const ASK: Duration = Duration::from_millis(250);
/// When nothing moves for so long, nothing more is published; after twice as long nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) load: LoadJob,
    pub(crate) worker: WorkerJob,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) load: LoadFigures,
    pub(crate) worker: WorkerFigures,
    /// The process of the broker, if it is ours.
    pub(crate) broker: Option<Used>,
    /// Mean events that the broker held for the group: under way, and waiting.
    pub(crate) inflight: Option<f64>,
    pub(crate) queued: Option<f64>,
    /// How busy the machine was, 0 to 1.
    pub(crate) machine: Option<f64>,
    /// Somebody asked to stop.
    pub(crate) stopped: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) sent: u64,
    pub(crate) handled: u64,
    /// Part of the time that is over, 0 to 1 and beyond.
    pub(crate) part: f64,
}

impl Measured {
    /// Events per second while it was measured.
    pub(crate) fn events_per_s(&self) -> f64 {
        ratio(self.worker.measured, self.worker.measured_ns) * 1e9
    }

    /// The figures that a bound is told from.
    pub(crate) fn point(&self, setup: &Setup) -> Point {
        let (worker, load) = (&self.worker, &self.load);
        let latency = worker.latency.percentiles();
        Point {
            instances: setup.worker.instances,
            window: setup.worker.window,
            concurrency: setup.worker.concurrency,
            events_per_s: rounded(self.events_per_s(), 1),
            offered_per_s: setup.load.schedule.map(|schedule| schedule.rate as f64),
            ahead: setup.load.schedule.is_none().then_some(setup.load.ahead),
            handler_mean_ms: if worker.handler.count() == 0 { 0.0 } else { rounded(worker.handler.mean_ns() / 1e6, 4) },
            p50_ms: latency.p50,
            p99_ms: latency.p99,
            window_use: rounded(worker.window_use, 3),
            cores: usage::cores(),
            worker_cores: rounded(worker.used.cores(), 3),
            worker_thread: rounded(worker.used.busiest(), 3),
            worker_thread_waits: rounded(worker.used.waited(), 3),
            publishers_cores: rounded(load.used.cores(), 3),
            publishers_thread: rounded(load.used.busiest(), 3),
            publishers_thread_waits: rounded(load.used.waited(), 3),
            broker_cores: self.broker.map(|used| rounded(used.cores(), 3)),
            broker_thread: self.broker.map(|used| rounded(used.busiest(), 3)),
            broker_thread_waits: self.broker.map(|used| rounded(used.waited(), 3)),
            inflight: self.inflight,
            machine: self.machine.map(|busy| rounded(busy, 3)),
            lost: worker.lost,
            refused: load.sent.refused(),
            duplicated: worker.duplicated,
        }
    }
}

/// Means of what the broker said.
#[derive(Default)]
struct Asked {
    answers: u64,
    inflight: u64,
    queued: u64,
}

/// Measures once. `show` is told now and then how far it is, for the first time when events are on their way.
///
/// # Errors
/// A process cannot be started, cannot connect or ends by itself.
pub(crate) async fn measure(
    setup: &Setup,
    venue: &mut Venue,
    stop: &CancellationToken,
    mut show: impl FnMut(Progress),
) -> Result<Measured, Failure> {
    let mut load = Child::start("publishers", &Job::Load(Box::new(setup.load.clone()))).await?;
    let mut job = setup.worker.clone();
    job.link.url = or_stopped(stop, load.ready(READY)).await?;
    let mut worker = Child::start("worker", &Job::Worker(Box::new(job))).await?;
    or_stopped(stop, worker.ready(READY)).await?;

    let pid = if setup.load.with_broker { None } else { venue.pid() };
    let start_ns = clock::now_ns() + clock::ns(HEAD_START);
    for child in [&mut worker, &mut load] {
        child.tell(&Order::Go { start_ns }).await?;
    }
    let start = Instant::now() + HEAD_START;
    let warm = start + Duration::from_nanos(setup.load.warm_up_ns);
    let length_ns = setup.load.schedule.map_or(setup.load.length_ns, |schedule| schedule.length_ns);
    let end = start + Duration::from_nanos(length_ns);
    let is_flat_out = setup.load.schedule.is_none();
    let (mut began, mut ended) = (None, None);
    let look = || (pid.map(Moment::of), usage::machine());
    let (mut progress, mut asked, mut measured) = (Progress::default(), Asked::default(), Measured::default());
    let mut questions = interval(ASK);
    questions.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut moved) = ((0, 0), Instant::now());
    loop {
        tokio::select! {
            said = load.hear() => match said? {
                Said::Progress(sent) => progress.sent = sent,
                Said::Loaded(figures) => {
                    ended = ended.or_else(|| Some(look()));
                    worker.tell(&Order::Finish(Box::new(figures.sent.clone()))).await?;
                    measured.load = *figures;
                }
                _ => {}
            },
            said = worker.hear() => match said? {
                Said::Progress(handled) => {
                    progress.handled = handled;
                    if is_flat_out {
                        load.tell(&Order::Handled(handled)).await?;
                    }
                }
                Said::Worked(figures) => {
                    measured.worker = *figures;
                    break;
                }
                _ => {}
            },
            answer = venue.hear() => {
                if let Said::Stats(BrokerFigures { inflight, queued, .. }) = answer? && began.is_some() && ended.is_none() {
                    asked.answers += 1;
                    asked.inflight += inflight;
                    asked.queued += queued;
                }
            }
            _ = questions.tick() => {
                venue.ask().await?;
                let whole = end.duration_since(start).as_secs_f64();
                let by_time = start.elapsed().as_secs_f64() / whole.max(1e-9);
                let by_count = setup.load.count.map(|count| ratio(progress.handled, count));
                progress.part = by_count.unwrap_or(by_time);
                show(progress);
                if (progress.sent, progress.handled) != last {
                    last = (progress.sent, progress.handled);
                    moved = Instant::now();
                }
                let quiet = moved.elapsed();
                if quiet > 2 * PATIENCE {
                    return Err(Failure::Run("nothing is published or handled any more".to_owned()));
                }
                if quiet > PATIENCE {
                    load.tell(&Order::Stop).await?;
                }
            }
            () = sleep_until(warm), if began.is_none() => began = Some(look()),
            () = sleep_until(end), if ended.is_none() && began.is_some() && setup.load.count.is_none() => ended = Some(look()),
            () = stop.cancelled(), if !measured.stopped => {
                measured.stopped = true;
                load.tell(&Order::Stop).await?;
            }
        }
    }
    if let (Some((broker, machine)), Some((broker_end, machine_end))) = (began, ended) {
        measured.broker = broker.zip(broker_end).map(|(began, ended)| ended.since(&began));
        measured.machine = machine.zip(machine_end).map(|((busy, all), (busy_end, all_end))| {
            ratio(busy_end.saturating_sub(busy), all_end.saturating_sub(all))
        });
    }
    if asked.answers > 0 {
        measured.inflight = Some(rounded(ratio(asked.inflight, asked.answers), 1));
        measured.queued = Some(rounded(ratio(asked.queued, asked.answers), 1));
    }
    tokio::join!(load.end(), worker.end());
    Ok(measured)
}
