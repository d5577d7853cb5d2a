//! The worker of the demo, from its start until it has left its group.

use std::sync::Arc;
use std::time::Duration;

use tidemill::{Config, Route, RunError, Summary, Worker, WorkerHandle, WorkerStatus, report};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::alerts::Alerts;
use super::args::Plan;
use super::fleet::Errand;
use super::handler::{ALERTS, Thermostats};
use super::reading;
use crate::connect::in_options;
use crate::exit::Failure;

/// Longest wait for every instance to join the group.
const JOIN_LIMIT: Duration = Duration::from_secs(15);

/// The configuration of the worker and, as far as the connection goes, of the fleet.
pub(crate) fn config(plan: &Plan) -> Config {
    let mut config = Config::default();
    config.instances = plan.instances.into();
    config.mqtt = plan.mqtt.clone();
    config.group.name = Some(plan.run.clone());
    "demo".clone_into(&mut config.identity.prefix);
    config.dead_letters.topic_prefix = format!("tidemill/dead/{}", plan.run);
    // Its handlers never wait, so a longer time would only be spent on a broker that is gone.
    config.drain.deadline = Duration::from_secs(5);
    config
}

/// A worker that runs.
#[derive(Debug)]
pub(crate) struct Running {
    handle: WorkerHandle,
    leave: CancellationToken,
    ended: CancellationToken,
    task: JoinHandle<Result<Summary, RunError>>,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be assembled as configured.
    pub(crate) fn start(config: Config, errand: &Errand, alerts: &Alerts) -> Result<Self, Failure> {
        let handler = Thermostats {
            ledger: Arc::clone(&errand.ledger),
            clock: errand.clock,
            ahead: Arc::clone(&errand.ahead),
            chunk: errand.plan.chunk(),
        };
        let worker = Worker::builder(config)
            .add_route(Route::new(reading::pattern(&errand.plan.run), handler).named("readings"))
            .sink(ALERTS, alerts.sink())
            .build()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let (leave, ended) = (CancellationToken::new(), CancellationToken::new());
        let handle = worker.handle();
        let (asked, ends) = (leave.clone(), ended.clone().drop_guard());
        let task = tokio::spawn(async move {
            let _ends = ends;
            worker.run_until(asked.cancelled_owned()).await
        });
        Ok(Self { handle, leave, ended, task })
    }

    /// Waits until every instance shares the events.
    ///
    /// # Errors
    /// The worker has ended, or some instance cannot join; it says why.
    pub(crate) async fn joined(&mut self) -> Result<(), Failure> {
        tokio::select! {
            ready = timeout(JOIN_LIMIT, self.handle.ready()) => ready.map_err(|_| self.not_joined()),
            ended = &mut self.task => Err(Failure::Run(match ended {
                Ok(Ok(_)) => "the worker ended before it was ready".to_owned(),
                Ok(Err(error)) => in_options(&report(&error)),
                Err(crash) => format!("the worker crashed: {crash}"),
            })),
        }
    }

    fn not_joined(&self) -> Failure {
        let status = self.handle.status();
        let joined = status.instances.iter().filter(|instance| instance.phase == tidemill::Phase::Ready).count();
        let all = status.instances.len();
        let why = status.instances.into_iter().find_map(|instance| instance.last_error);
        Failure::Run(format!(
            "only {joined} of {all} instances joined the group: {}; lower --instances or raise the broker's limits",
            why.unwrap_or_else(|| "the broker does not answer their subscription".to_owned())
        ))
    }

    /// The worker as it is now.
    pub(crate) fn status(&self) -> WorkerStatus {
        self.handle.status()
    }

    /// Cancelled when the worker has ended, for whatever reason.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Leaves the group without loss. Says why that did not go well, or why it ended earlier.
    pub(crate) async fn leave(self) -> Result<WorkerStatus, (WorkerStatus, String)> {
        self.leave.cancel();
        let result = self.task.await;
        let status = self.handle.status();
        match result {
            Ok(Ok(_)) => Ok(status),
            Ok(Err(error)) => Err((status, in_options(&report(&error)))),
            Err(crash) => Err((status, format!("the worker crashed: {crash}"))),
        }
    }
}
