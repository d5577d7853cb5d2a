//! The worker of a benchmark, in a process of its own: the real library, a handler that costs what it is told to, and
//! an account of what it saw.

mod handler;
pub(crate) mod journal;
pub(crate) mod seen;
pub(crate) mod tally;

use std::sync::Arc;
use std::time::Duration;

use tidemill::config::{IdentityMode, Instances, Order as KeyOrder};
use tidemill::{Config, Execution, Route, Worker, WorkerHandle, report};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::clock;
use super::process::child::{Orders, say};
use super::process::{Order, Said, Sent, WorkerFigures, WorkerJob};
use super::template::Template;
use super::usage::{Moment, memory_kib};
use super::work::Work;
use crate::connect::in_options;
use handler::{Lateness, Worked};
use journal::Journal;
use tally::Tally;

/// How often windows are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for every instance to join the group.
const JOIN: Duration = Duration::from_secs(20);
/// What has not come after so long without any event is not going to.
const SETTLED: Duration = Duration::from_secs(3);
/// How long a durable session outlives its connection: longer than any change of a benchmark.
const EXPIRY: Duration = Duration::from_secs(120);

fn config(job: &WorkerJob) -> Config {
    let mut config = Config::default();
    config.instances = Instances::Fixed(job.instances);
    config.mqtt = job.link.mqtt();
    config.mqtt.window = job.window;
    config.group.name = Some(job.run.clone());
    // What is lost is counted anyway, and the canary's connection would be measured too.
    config.group.verify = tidemill::config::Verify::Never;
    config.identity.prefix.clone_from(&job.run);
    if let Some(replica) = &job.replica {
        config.identity.mode = IdentityMode::Durable;
        config.identity.replica = Some(replica.clone());
        config.mqtt.session_expiry = EXPIRY;
    }
    config.dispatch.concurrency = job.concurrency;
    if job.unordered {
        config.dispatch.order = KeyOrder::Unordered;
    }
    config.dead_letters.topic_prefix = format!("tidemill/dead/{}", job.run);
    config.drain.deadline = Duration::from_secs(10);
    config
}

/// Works until it is told to finish and has finished, or the parent is gone.
///
/// # Errors
/// It cannot be assembled or cannot join, or it ends by itself.
pub(crate) async fn run(job: WorkerJob, mut orders: Orders) -> Result<(), String> {
    let tally = Arc::new(Tally::new(job.publishers));
    let journal = job.journal.as_deref().map(Journal::create).transpose();
    let handler = Worked {
        tally: Arc::clone(&tally),
        work: job.work,
        journal: journal.map_err(|error| format!("no journal: {error}"))?,
        late: Lateness::default(),
    };
    let template: Template = job.template.parse()?;
    let mut route = Route::new(template.pattern(&job.run), handler).named("bench");
    if matches!(job.work, Work::Cpu(_)) {
        route = route.execution(Execution::Spawn);
    }
    let worker = Worker::builder(config(&job)).add_route(route).build().map_err(|error| error.to_string())?;
    let handle = worker.handle();
    let leave = CancellationToken::new();
    let asked = leave.clone();
    let mut task = tokio::spawn(async move { worker.run_until(asked.cancelled_owned()).await });
    tokio::select! {
        ready = timeout(JOIN, handle.ready()) => ready.map_err(|_| not_joined(&handle))?,
        ended = &mut task => return Err(match ended {
            Ok(Ok(_)) => "it ended before it was ready".to_owned(),
            Ok(Err(error)) => report(&error),
            Err(crash) => format!("it crashed: {crash}"),
        }),
    }
    say(&Said::Ready { url: String::new() });
    let mut bench = Bench::new(&job, Arc::clone(&tally), handle.clone());
    let sent = tokio::select! {
        sent = bench.run(&mut orders) => sent,
        ended = &mut task => return Err(match ended {
            Ok(Ok(_)) => "it ended by itself".to_owned(),
            Ok(Err(error)) => report(&error),
            Err(crash) => format!("it crashed: {crash}"),
        }),
    };
    bench.stop_measuring();
    leave.cancel();
    let summary = task.await.map_err(|crash| format!("it crashed: {crash}"))?;
    let mut figures = bench.figures;
    figures.dead_lettered = match summary {
        Ok(summary) => summary.dead_lettered,
        Err(error) => return Err(report(&error)),
    };
    tally.report(&mut figures);
    figures.lost = sent.map_or(0, |sent| tally.missing(&sent));
    (_, figures.peak_kib) = memory_kib();
    say(&Said::Worked(Box::new(figures)));
    Ok(())
}

fn not_joined(handle: &WorkerHandle) -> String {
    let status = handle.status();
    let joined = status.instances.iter().filter(|instance| instance.phase == tidemill::Phase::Ready).count();
    let all = status.instances.len();
    let why = status.instances.into_iter().find_map(|instance| instance.last_error);
    let why = why.unwrap_or_else(|| "the broker does not answer their subscription".to_owned());
    format!(
        "only {joined} of {all} instances joined the group: {}; fewer instances may be within its limits",
        in_options(&why)
    )
}

/// The measuring of a run.
struct Bench {
    job: WorkerJob,
    tally: Arc<Tally>,
    handle: WorkerHandle,
    figures: WorkerFigures,
    /// When measuring began: usage and events until then.
    began: Option<(Moment, u64)>,
    stopped: bool,
    /// When something was handled last.
    moved: Instant,
    /// Looks at the windows: how many, and the sum of what was seen; for the run, and for this second.
    looks: [(u32, f64); 2],
}

impl Bench {
    fn new(job: &WorkerJob, tally: Arc<Tally>, handle: WorkerHandle) -> Self {
        let (idle_kib, _) = memory_kib();
        let figures = WorkerFigures { idle_kib, ..WorkerFigures::default() };
        Self {
            job: job.clone(),
            tally,
            handle,
            figures,
            began: None,
            stopped: false,
            moved: Instant::now(),
            looks: [(0, 0.0); 2],
        }
    }

    /// Runs until everything that was sent is handled or is not going to come; `None` when the parent is gone.
    async fn run(&mut self, orders: &mut Orders) -> Option<Sent> {
        let start_ns = loop {
            match orders.next().await? {
                Order::Go { start_ns } => break start_ns,
                Order::Finish(sent) => return Some(*sent),
                _ => {}
            }
        };
        let warm_ns = start_ns + self.job.warm_up_ns;
        self.tally.measure_from(warm_ns);
        let at = |ns: u64| Instant::now() + Duration::from_nanos(ns.saturating_sub(clock::now_ns()));
        let begin = at(warm_ns);
        let end = self.job.measured_ns.map(|length| at(warm_ns + length));
        let mut reports = interval(Duration::from_millis(self.job.report_ms.max(1)));
        let mut looks = interval(LOOK);
        let mut seconds = interval_at(begin + Duration::from_secs(1), Duration::from_secs(1));
        for ticks in [&mut reports, &mut looks] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut last = u64::MAX;
        let mut told = begin;
        let mut finish: Option<Sent> = None;
        loop {
            tokio::select! {
                order = orders.next() => match order? {
                    Order::Scale(instances) => self.scale(instances),
                    Order::Finish(sent) => {
                        told = Instant::now();
                        finish = Some(*sent);
                    }
                    _ => {}
                },
                _ = reports.tick() => {
                    let sums = self.tally.sums();
                    let now = sums.handled + sums.duplicated + sums.resent;
                    if now != last {
                        last = now;
                        self.moved = Instant::now();
                        // Whoever reads the journal wants to hear nothing.
                        if self.job.journal.is_none() {
                            say(&Said::Progress(sums.handled));
                        }
                    }
                    if let Some(sent) = &finish && (self.tally.missing(sent) == 0 || self.moved.max(told).elapsed() > SETTLED) {
                        return finish;
                    }
                }
                _ = looks.tick() => self.look(),
                _ = seconds.tick() => self.second(),
                () = sleep_until(begin), if self.began.is_none() => {
                    self.began = Some((Moment::now(), self.tally.sums().handled));
                    // What came before belongs to no second.
                    let _ = self.tally.second();
                }
                () = sleep_until(end.unwrap_or(begin)), if end.is_some() && !self.stopped && self.began.is_some() => {
                    self.stop_measuring();
                }
            }
        }
    }

    /// Sets the number of instances, and says when it is so.
    fn scale(&self, instances: u32) {
        let handle = self.handle.clone();
        if let Err(error) = handle.scale(instances) {
            return say(&Said::Failed(error.to_string()));
        }
        tokio::spawn(async move {
            handle.settled().await;
            say(&Said::Settled);
        });
    }

    fn look(&mut self) {
        let status = self.handle.status();
        let count = status.instances.len().max(1) as f64;
        let used = status.instances.iter().map(|instance| instance.window_use.min(1.0)).sum::<f64>() / count;
        self.figures.most_unfinished = self.figures.most_unfinished.max(status.unfinished);
        if self.began.is_some() && !self.stopped {
            for (looks, sum) in &mut self.looks {
                *looks += 1;
                *sum += used;
            }
        }
    }

    fn second(&mut self) {
        let mut second = self.tally.second();
        let (looks, sum) = std::mem::take(&mut self.looks[1]);
        second.window_use = sum / f64::from(looks.max(1));
        if !self.stopped {
            self.figures.seconds.push(second);
        }
    }

    fn stop_measuring(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        let Some((moment, handled)) = &self.began else { return };
        let now = Moment::now();
        self.figures.used = now.since(moment);
        self.figures.measured = self.tally.sums().handled - handled;
        // Without an end of its own, it ended with the last event.
        let quiet = if self.job.measured_ns.is_none() { clock::ns(self.moved.elapsed()) } else { 0 };
        self.figures.measured_ns = self.figures.used.wall_ns.saturating_sub(quiet);
        let (looks, sum) = self.looks[0];
        self.figures.window_use = sum / f64::from(looks.max(1));
    }
}
