//! One worker of a run, from start to end, and its metrics as numbers (G9).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::Registry;
use tidemill_runtime::{Execution, Route, RunError, RunErrorKind, Summary, Worker, WorkerHandle};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::handler::{Drawn, OUT};
use crate::log::Log;
use crate::plan::Plan;
use crate::sinks::{For, Troubled};
use crate::tap::{Dial, Tap, version_of};

/// After the deadline: what sinks and handlers get to let go.
const LAST_CALL: Duration = Duration::from_secs(20);

/// A running worker.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) handle: WorkerHandle,
    registry: Registry,
    stop: CancellationToken,
    running: JoinHandle<Result<Summary, RunError>>,
}

/// Sums over the metrics of a worker, after its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) received: u64,
    pub(crate) handled: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) dropped: u64,
    pub(crate) abandoned: u64,
    pub(crate) stalls: u64,
    pub(crate) retries: u64,
}

/// How a worker ended.
#[derive(Debug)]
pub(crate) struct EndedCrew {
    pub(crate) totals: Totals,
    pub(crate) deadline_passed: bool,
    pub(crate) violations: Vec<String>,
}

impl Crew {
    /// Starts a worker whose client IDs begin with `prefix`.
    pub(crate) fn start(plan: &Plan, prefix: &str, dial: Dial, log: &Log) -> Self {
        let mut config = plan.config();
        config.identity.prefix = prefix.to_owned();
        let version = version_of(plan.version);
        let handle: Arc<OnceLock<WorkerHandle>> = Arc::default();
        let handler = Drawn {
            log: log.clone(),
            menu: plan.menu.clone(),
            fillers: plan.events,
            window: usize::from(plan.window),
            instances: plan.instances as usize,
            timeout: plan.timeout,
            handle: Arc::clone(&handle),
        };
        let execution = if plan.spawn { Execution::Spawn } else { Execution::Inline };
        let route = Route::new("t/{key}/{rest}", handler).named("t").key(plan.route_key()).execution(execution);
        let registry = Registry::new();
        let worker = Worker::builder(config)
            .connector(Tap { dial, version, travel: plan.travel, log: log.clone() })
            .registry(registry.clone())
            .on_one_runtime()
            .sink(OUT, Troubled::new(log.clone(), For::Records, plan.out.clone()))
            .sink("dead", Troubled::new(log.clone(), For::DeadLetters, plan.dead.clone()))
            .add_route(route)
            .build()
            .expect("the worker is set up rightly");
        handle.set(worker.handle()).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let handle = worker.handle();
        let running = tokio::spawn(worker.run_until(async move { stopped.cancelled().await }));
        Self { handle, registry, stop, running }
    }

    /// Lets the worker leave, and looks at how it did.
    pub(crate) async fn leave(self, deadline: Duration) -> EndedCrew {
        self.stop.cancel();
        let began = Instant::now();
        let result = self.running.await.expect("the worker does not panic");
        let took = began.elapsed();
        let mut violations = Vec::new();
        if took > deadline + LAST_CALL {
            violations.push(format!("G10: leaving took {took:?}, the deadline is {deadline:?}"));
        }
        let totals = totals(&self.registry);
        let unfinished = sum(&self.registry, "tidemill_events_unfinished", None);
        let finished = totals.handled + totals.dead_lettered + totals.dropped + totals.abandoned;
        if totals.received != finished || unfinished != 0 {
            violations.push(format!("G9: {totals:?} and {unfinished} unfinished do not add up"));
        }
        let deadline_passed = match result {
            Ok(summary) => {
                let Totals { received, handled, dead_lettered, dropped, abandoned, .. } = totals;
                let counted = (received, handled, dead_lettered, dropped, abandoned);
                let Summary { received, handled, dead_lettered, dropped, abandoned, .. } = summary;
                if counted != (received, handled, dead_lettered, dropped, abandoned) {
                    violations.push(format!("G9: {summary:?} is not what the metrics say: {totals:?}"));
                }
                false
            }
            Err(error) if error.kind() == RunErrorKind::DrainDeadline => true,
            Err(error) => {
                violations.push(format!("the worker failed: {}", tidemill_core::report(&error)));
                false
            }
        };
        EndedCrew { totals, deadline_passed, violations }
    }

    pub(crate) fn received(&self) -> u64 {
        sum(&self.registry, "tidemill_events_received_total", None)
    }
}

fn totals(registry: &Registry) -> Totals {
    let finished = |outcome| sum(registry, "tidemill_events_finished_total", Some(("outcome", outcome)));
    Totals {
        received: sum(registry, "tidemill_events_received_total", None),
        handled: finished("handled"),
        dead_lettered: finished("dead_lettered"),
        dropped: finished("dropped"),
        abandoned: finished("abandoned"),
        stalls: sum(registry, "tidemill_stalls_total", None),
        retries: sum(registry, "tidemill_retries_total", None),
    }
}

/// The sum of a counter or gauge over all that carries this label.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts; a negative one becomes 0")]
fn sum(registry: &Registry, name: &str, label: Option<(&str, &str)>) -> u64 {
    let families = registry.gather();
    let metrics =
        families.iter().filter(|family| family.name() == name).flat_map(prometheus::proto::MetricFamily::get_metric);
    let carries = |metric: &&prometheus::proto::Metric| {
        label.is_none_or(|(name, value)| metric.get_label().iter().any(|l| l.name() == name && l.value() == value))
    };
    metrics.filter(carries).map(|m| m.get_counter().get_value() + m.get_gauge().get_value()).sum::<f64>() as u64
}
