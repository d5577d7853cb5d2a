//! `tidemill demo`: a broker, a simulated fleet and a worker in one process, and an account of every single event.
//!
//! ```text
//! fleet ── publishers ──> broker ──> worker: N instances ──> handler ──> alerts
//!   │                                                           │
//!   └────────────────── ledger: published, handled ─────────────┘──> report, exit code
//! ```
//!
//! ORDER: the fleet connects first, so that a broker that cannot be used is one plain message; nothing is published
//! before every instance has joined the group; the worker leaves before anything is counted.

mod alerts;
mod args;
mod bits;
mod clock;
mod fleet;
mod handler;
mod ledger;
mod live;
mod reading;
mod report;
mod stage;
mod verdict;
mod watch;
mod worker;

use std::sync::Arc;

use tidemill::profile::Profile;
use tidemill::{Config, WorkerStatus, report as chain, shutdown_signal};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use args::DemoArgs;

use alerts::Alerts;
use args::Plan;
use clock::Clock;
use fleet::{Errand, Fleet, Progress};
use ledger::Ledger;
use live::Live;
use report::Report;
use verdict::Sums;
use watch::{End, Watched};
use worker::Running;

use crate::connect::label;
use crate::exit::{Failure, Outcome};
use crate::figures::grouped;
use crate::logs::{self, Filter};
use crate::names;
use crate::paint::Paint;
use crate::terminal;

/// Runs the demo.
///
/// # Errors
/// Wrong arguments, or a run that could not begin. A run that went wrong is told in its report.
pub(crate) fn run(args: &DemoArgs) -> Result<Outcome, Failure> {
    let filter = Filter::parse(args.log.as_deref().unwrap_or(args::LOG))?;
    let plan = args.plan(names::of_run("demo"))?;
    if args.scene || args.platform {
        let stage = stage::stage(args, &plan)?;
        let ground = stage::Ground::of(args, &plan);
        return on_threads(stage::play(stage, ground, filter));
    }
    let alerts = Alerts::at(args.alerts.as_deref())?;
    on_threads(demo(args, plan, filter, &alerts))
}

/// Runs it, unless somebody asks twice to stop.
fn on_threads(work: impl Future<Output = Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("no threads to run on: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            result = work => result,
            () = twice_asked_to_stop() => Err(Failure::Run("stopped at once; nothing was accounted for".to_owned())),
        }
    })
}

/// Ready at the second signal: whoever asks twice does not want to wait.
async fn twice_asked_to_stop() {
    shutdown_signal().await;
    shutdown_signal().await;
}

async fn demo(args: &DemoArgs, mut plan: Plan, filter: Filter, alerts: &Alerts) -> Result<Outcome, Failure> {
    let broker = match plan.embedded {
        true => Some(Broker::start(BrokerConfig::default()).await.map_err(|error| Failure::Run(chain(&error)))?),
        false => None,
    };
    if let Some(broker) = &broker {
        plan.mqtt.url = broker.url();
        plan.mqtt.broker = Profile::Tidemill;
    }
    let interrupted = CancellationToken::new();
    let _listening = listen(interrupted.clone());
    let config = worker::config(&plan);
    let fleet = or_stopped(&interrupted, Fleet::connect(&config, &plan)).await?;
    let live = Live::new();
    logs::start(filter, live.bars())?;

    let errand = errand(plan)?;
    let result = run_worker(config, &errand, &fleet, alerts, &live, interrupted).await;
    fleet.close().await;
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    let Ran { end, status, first_ns } = result?;

    let report = report(&errand, status.dead_lettered, first_ns, alerts, &end)?;
    terminal::tell(&report.text(Paint::stderr()));
    if args.json {
        terminal::line(&report.json())?;
    }
    Ok(if report.is_good() { Outcome::Good } else { Outcome::Bad })
}

/// How a run went.
struct Ran {
    end: End,
    status: WorkerStatus,
    first_ns: u64,
}

/// From joining the group to having left it, and all the publishing in between.
async fn run_worker(
    config: Config,
    errand: &Errand,
    fleet: &Fleet,
    alerts: &Alerts,
    live: &Live,
    interrupted: CancellationToken,
) -> Result<Ran, Failure> {
    let mut worker = Running::start(config, errand, alerts)?;
    if let Err(failure) = or_stopped(&interrupted, worker.joined()).await {
        if !worker.ended().is_cancelled() {
            // The failure is what counts, however the leaving goes.
            let _ = worker.leave().await;
        }
        return Err(failure);
    }
    terminal::tell(&headline(&errand.plan));
    let first_ns = errand.clock.ns();
    let watched = Watched { fleet, errand, worker: &worker, interrupted };
    let over = CancellationToken::new();
    let watching = async {
        let end = watched.until_over(fleet.publish(errand)).await;
        over.cancel();
        end
    };
    let (end, ()) = tokio::join!(watching, live.run(errand, &over));
    let ended_first = worker.ended().is_cancelled();
    Ok(match (worker.leave().await, end) {
        (Ok(status), end) => Ran { end, status, first_ns },
        // What went wrong first explains the rest.
        (Err((status, _)), End::Failed(why)) if !ended_first => Ran { end: End::Failed(why), status, first_ns },
        (Err((status, why)), _) => Ran { end: End::Failed(why), status, first_ns },
    })
}

/// Cancels the token at the first signal.
fn listen(interrupted: CancellationToken) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        shutdown_signal().await;
        interrupted.cancel();
    }))
}

/// What comes of it, unless somebody asks to stop first.
async fn or_stopped<T>(
    interrupted: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = work => result,
        () = interrupted.cancelled() => Err(Failure::Run("stopped before anything was published".to_owned())),
    }
}

fn errand(plan: Plan) -> Result<Errand, Failure> {
    let ledger = Ledger::new(plan.events, plan.devices, plan.instances)
        .map_err(|error| Failure::Run(format!("the ledger cannot be set up: {error}")))?;
    Ok(Errand {
        ledger: Arc::new(ledger),
        clock: Clock::start(),
        ahead: Arc::new(Semaphore::new(plan.ahead as usize)),
        progress: Arc::new(Progress::default()),
        stop: CancellationToken::new(),
        give_up: CancellationToken::new(),
        plan: Arc::new(plan),
    })
}

fn report<'a>(
    errand: &'a Errand,
    dead_lettered: u64,
    first_ns: u64,
    alerts: &'a Alerts,
    end: &'a End,
) -> Result<Report<'a>, Failure> {
    let total = errand.ledger.total();
    let sums = Sums {
        published: errand.progress.confirmed(),
        unconfirmed: errand.progress.started() - errand.progress.confirmed(),
        handled: total.handled,
        dead_lettered,
        lost: errand.ledger.missing(),
        duplicated: total.duplicated,
        out_of_order: total.out_of_order,
        alerts: total.alerts,
        alerts_written: alerts.written()?,
    };
    Ok(Report {
        plan: &errand.plan,
        sums,
        members: errand.ledger.members(),
        elapsed_ns: total.last_ns.saturating_sub(first_ns),
        end,
        alerts: alerts.kept(),
    })
}

fn headline(plan: &Plan) -> String {
    let count = |count: u64, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{} {many}", grouped(count)),
    };
    format!(
        "{}, {} -> {} (MQTT {}, QoS {}) -> {}",
        count(plan.events, "event", "events"),
        count(u64::from(plan.devices), "device", "devices"),
        if plan.embedded { "embedded broker" } else { &plan.mqtt.url },
        label(plan.mqtt.version),
        plan.qos.level(),
        count(u64::from(plan.instances), "instance", "instances")
    )
}
