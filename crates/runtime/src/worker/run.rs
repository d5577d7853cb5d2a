//! Running a worker: start everything, keep it running, leave without loss.
//!
//! ORDER of leaving (G7): not ready; every instance unsubscribes, finishes and acknowledges what it has, and
//! disconnects; then no event can reach a sink any more, so the sinks are flushed and closed; then handlers stop.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tidemill_core::{Handler, Sink, SinkTraits, report};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use super::broker_sink::{BrokerSink, LazyPublisher};
use super::builder::WorkerBuilder;
use super::ending::{Ending, share};
use super::fleet::Fleet;
use super::instance::{Outlets, Plan};
use super::io_threads::IoThreads;
use super::signal::Shutdown;
use super::state::{Shared, WorkerHandle};
use crate::config::{Config, ConfigProblem, SinkSettings};
use crate::error::{RunError, RunErrorKind};
use crate::guard::{guarded, panicked};
use crate::observe::Outcome;
use crate::presence::Announcer;
use crate::session::{Phase, Publisher};
use crate::sink::{self, SinkEngine, SinkHandle};

/// What the sinks that are open get to close, when another cannot be opened.
const LAST_CALL: Duration = Duration::from_secs(5);

/// A named sink.
pub(super) struct SinkPlan {
    pub(super) name: Box<str>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) traits: SinkTraits,
    pub(super) settings: SinkSettings,
}

/// One process's part of the group, ready to run.
pub struct Worker {
    /// As it holds, with what follows from an identity on the platform.
    pub(super) config: Config,
    /// As it was given, which a changed file is compared with.
    pub(super) given: Config,
    pub(super) plan: Arc<Plan>,
    sinks: Vec<SinkPlan>,
    pub(super) shared: Arc<Shared>,
    advice: Vec<ConfigProblem>,
    /// No thread is started for sessions.
    one_runtime: bool,
    /// Tells the handles when the worker is gone, however it ends.
    _ended: DropGuard,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a worker did, from its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Events received.
    pub received: u64,
    /// Events whose handler returned `Ok` and whose records were written.
    pub handled: u64,
    /// Events written to the dead-letter destination.
    pub dead_lettered: u64,
    /// Events dropped by policy.
    pub dropped: u64,
    /// Events whose session was lost before they were finished.
    pub abandoned: u64,
}

impl Worker {
    /// Begins to assemble a worker.
    pub fn builder(config: Config) -> WorkerBuilder {
        WorkerBuilder::new(config)
    }

    pub(super) fn assembled(
        (given, config): (Config, Config),
        plan: Plan,
        sinks: Vec<SinkPlan>,
        shared: Arc<Shared>,
        advice: Vec<ConfigProblem>,
        one_runtime: bool,
    ) -> Self {
        let ended = shared.ended.clone().drop_guard();
        Self { config, given, plan: Arc::new(plan), sinks, shared, advice, one_runtime, _ended: ended }
    }

    /// What is allowed and worth a word, in the configuration, the routes and the sinks; logged at the start.
    #[must_use]
    pub fn warnings(&self) -> Vec<ConfigProblem> {
        let mut all = self.given.warnings();
        all.extend(self.advice.iter().cloned());
        all
    }

    /// A handle to look at the worker while it runs.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle::new(Arc::clone(&self.shared))
    }

    /// Runs until `shutdown` is ready, then leaves the group without loss, within `drain.deadline`. What is unfinished then
    /// is cut, within `drain.force`; with [`shutdown_signal`](crate::shutdown_signal) a second signal cuts it at once.
    ///
    /// A handler that blocks its thread cannot be cut. This ends without it all the same, but a Tokio runtime that is
    /// dropped waits for its threads: end the program with `std::process::exit`, as with [`RunError::exit_code`]. Without
    /// such handlers return [`Exit`](crate::Exit) from `main`.
    ///
    /// Not cancel-safe: dropping the future ends everything at once. Nothing is acknowledged wrongly then, but what was
    /// unfinished comes again.
    ///
    /// # Errors
    /// See [`RunErrorKind`]. A lost or unreachable broker is not an error unless `mqtt.startup_timeout` says so.
    pub async fn run_until<T: Shutdown>(self, shutdown: impl Future<Output = T> + Send) -> Result<Summary, RunError> {
        for problem in self.warnings() {
            warn!("{problem}");
        }
        let ending = Ending::new(&self.config.drain);
        // In a box: whoever awaits it would carry all of it along.
        let work = Box::pin(async {
            let mut started = Vec::new();
            let result = match self.start_handlers(&ending, &mut started).await {
                Ok(true) => self.run_started(&ending).await,
                Ok(false) => Ok(self.summary()),
                Err(error) => Err(error),
            };
            ending.leave();
            for handler in started {
                tokio::select! {
                    stopped = guarded(async { handler.stop().await }) => if let Err(panic) = stopped {
                        warn!("{}", panicked("a handler's `stop`", &*panic));
                    },
                    () = ending.after(share::STOP) => warn!("a handler's `stop` takes too long and is cut"),
                }
            }
            result
        });
        tokio::select! {
            result = work => result,
            () = ending.keep_time(shutdown) => Err(RunError::new(RunErrorKind::System, "the clock stopped")),
        }
    }

    /// Starts the handlers, one after another, and notes those that have. `false` when the worker is asked to end before
    /// that.
    async fn start_handlers(&self, ending: &Ending, started: &mut Vec<Arc<dyn Handler>>) -> Result<bool, RunError> {
        for route in &self.plan.routes {
            tokio::select! {
                result = guarded(async { route.handler.start().await }) => {
                    result.unwrap_or_else(|panic| Err(panicked("the handler", &*panic).into())).map_err(|error| {
                        let text = format!("start the handler of route {:?}", route.name);
                        RunError::new(RunErrorKind::HandlerStart, text).with_source(error)
                    })?;
                }
                () = ending.leaving() => {
                    info!(route = &*route.name, "asked to end before the handler of this route had started");
                    return Ok(false);
                }
            }
            started.push(Arc::clone(&route.handler));
        }
        Ok(true)
    }

    async fn run_started(&self, ending: &Ending) -> Result<Summary, RunError> {
        let io = Arc::new(match self.config.runtime.io_threads {
            _ if self.one_runtime => IoThreads::current(),
            0 => IoThreads::beside()?,
            threads => IoThreads::start(threads)?,
        });
        #[cfg(feature = "admin")]
        let _admin = match self.config.admin.enabled {
            true => Some(crate::admin::start(&self.config.admin, Arc::clone(&self.shared)).await?),
            false => None,
        };
        // Last of what may fail: what is open must be closed again.
        if !self.open_sinks(ending).await? {
            return Ok(self.summary());
        }
        let force_sinks = CancellationToken::new();
        let (outlets, mut engines) = self.start_sinks(&io, &force_sinks);
        info!(
            broker = self.config.mqtt.url,
            group = self.config.group_label(),
            instances = %self.config.instances,
            "worker starts"
        );

        let gone = CancellationToken::new();
        let presence = self.presence(&io, gone.clone());
        let result = Fleet::new(self, &io, &outlets).run(ending).await;
        gone.cancel();
        if let Some(presence) = presence {
            tokio::select! {
                _ = presence => {}
                // Its Will says goodbye for it.
                () = ending.after(share::GOODBYE) => warn!("the worker's presence could not be cleared in time"),
            }
        }

        // No instance is left, so these are the last handles: the engines write what they have and end.
        drop(outlets);
        let flushed = async { while engines.next().await.is_some() {} };
        tokio::pin!(flushed);
        let in_time = tokio::select! {
            () = &mut flushed => true,
            () = ending.after(share::LAST_CALL) => false,
        };
        if !in_time {
            force_sinks.cancel();
            tokio::select! {
                () = &mut flushed => {}
                () = ending.after(share::CLOSE) => warn!("a sink takes too long to close and is cut"),
            }
        }
        let summary = self.summary();
        info!(
            received = summary.received,
            handled = summary.handled,
            dead_lettered = summary.dead_lettered,
            dropped = summary.dropped,
            abandoned = summary.abandoned,
            "worker ended"
        );
        result.map(|()| summary)
    }

    /// Opens all sinks, or none. `false` when the worker is asked to end before that.
    async fn open_sinks(&self, ending: &Ending) -> Result<bool, RunError> {
        for (at, plan) in self.sinks.iter().enumerate() {
            let end = tokio::select! {
                opened = sink::open(&plan.name, &*plan.sink, &plan.settings) => match opened {
                    Ok(()) => continue,
                    Err(error) => {
                        let text = format!("open sink {:?}", plan.name);
                        Err(RunError::new(RunErrorKind::SinkOpen, text).with_source(error))
                    }
                },
                () = ending.leaving() => Ok(false),
            };
            ending.leave();
            let closing =
                join_all(self.sinks[..at].iter().map(|opened| sink::close(&opened.name, &*opened.sink, LAST_CALL)));
            tokio::select! {
                _ = closing => {}
                () = ending.after(share::CLOSE) => warn!("a sink takes too long to close and is cut"),
            }
            return end;
        }
        Ok(true)
    }

    fn summary(&self) -> Summary {
        let (received, finished) = self.shared.metrics.totals(&self.shared.routes);
        Summary {
            received,
            handled: finished[Outcome::Handled as usize],
            dead_lettered: finished[Outcome::DeadLettered as usize],
            dropped: finished[Outcome::Dropped as usize],
            abandoned: finished[Outcome::Abandoned as usize],
        }
    }

    fn start_sinks(
        &self,
        io: &Arc<IoThreads>,
        force: &CancellationToken,
    ) -> (Outlets, FuturesUnordered<AbortOnDropHandle<()>>) {
        let engines = FuturesUnordered::new();
        let run = |engine: SinkEngine| engines.push(AbortOnDropHandle::new(tokio::spawn(engine.run())));
        let engine = |at: usize, settings, sink: (Arc<dyn Sink>, SinkTraits), dead_letters: Option<SinkHandle>| {
            SinkEngine::new(sink, settings, Arc::clone(&self.shared.sinks[at]), dead_letters, force.clone())
        };
        // The publisher keeps what it was given: a write that is cut would be published twice.
        let patient = SinkSettings { write_timeout: Duration::ZERO, ..SinkSettings::default() };
        let publisher = self.lazy_publisher(io);
        #[cfg(feature = "platform")]
        let guard = crate::platform::Membership::of(&self.given)
            .map(|membership| Arc::new(crate::platform::Guard::new(&membership, &self.config)));
        let broker = || {
            let prefix = self.config.dead_letters.topic_prefix.clone();
            let sink = BrokerSink::new(prefix, self.config.mqtt.version, Arc::clone(&publisher));
            #[cfg(feature = "platform")]
            let sink = sink.guarded(guard.clone());
            let traits = sink.traits();
            (Arc::new(sink) as Arc<dyn Sink>, traits)
        };
        let chosen = self.config.dead_letters.sink.as_deref();
        let built_in = chosen.is_none().then(|| {
            let (built_in, handle) = engine(self.sinks.len(), patient.clone(), broker(), None);
            run(built_in);
            handle
        });
        // The chosen sink first, so that the others can be given its handle; it has nowhere to send its own refusals.
        let mut handles: Vec<Option<SinkHandle>> = self.sinks.iter().map(|_| None).collect();
        let mut dead_letters = built_in;
        let chosen_at = self.sinks.iter().position(|plan| Some(&*plan.name) == chosen);
        let order = chosen_at.into_iter().chain((0..self.sinks.len()).filter(|at| Some(*at) != chosen_at));
        for at in order {
            let plan = &self.sinks[at];
            let sink = (Arc::clone(&plan.sink), plan.traits);
            let (started, handle) = engine(at, plan.settings.clone(), sink, dead_letters.clone());
            run(started);
            if Some(at) == chosen_at {
                dead_letters = Some(handle.clone());
            }
            handles[at] = Some(handle);
        }
        let (started, publish) = engine(self.sinks.len() + 1, patient, broker(), dead_letters.clone());
        run(started);
        (Outlets { sinks: handles.into_iter().flatten().collect(), publish, dead_letters }, engines)
    }

    /// The connection for dead letters and publications; it starts with the first of them.
    fn lazy_publisher(&self, io: &Arc<IoThreads>) -> Arc<LazyPublisher> {
        let plan = Arc::clone(&self.plan);
        let io = Arc::downgrade(io);
        Arc::new(LazyPublisher::new(move || {
            let options = plan.options.for_publisher(plan.publisher_id.clone());
            let (publisher, connection) = Publisher::prepare(
                Arc::clone(&plan.connector),
                options,
                &plan.settings,
                plan.connect_timeout,
                &plan.backoff,
            );
            if let Some(io) = io.upgrade() {
                io.spawn(0, async move {
                    if let Err(error) = connection.run().await {
                        error!(error = report(&error), "the connection for dead letters and publications is unusable");
                    }
                });
            }
            publisher
        }))
    }

    /// Lets others know of this worker, where that is asked for.
    fn presence(&self, io: &Arc<IoThreads>, gone: CancellationToken) -> Option<AbortOnDropHandle<()>> {
        let plan = &self.plan;
        let topic = plan.presence.clone()?;
        let name = (plan.identity.common(), plan.identity.replica().to_owned());
        let (every, version) = (self.config.group.presence.every, self.config.mqtt.version);
        let announcer = Announcer::new(Arc::clone(&self.shared), topic, name, every, version);
        let options = announcer.with_will(plan.options.for_publisher(plan.identity.presence_id()));
        let (publisher, connection) = Publisher::prepare(
            Arc::clone(&plan.connector),
            options,
            &plan.settings,
            plan.connect_timeout,
            &plan.backoff,
        );
        let connection = AbortOnDropHandle::new(io.spawn(0, connection.run()));
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            announcer.run(publisher, gone).await;
            drop(connection);
        })))
    }

    /// Ready when the start has failed.
    pub(super) async fn startup_failed(&self) -> RunError {
        tokio::select! {
            error = self.never_connected() => error,
            error = self.shares_are_ignored() => error,
        }
    }

    /// Ready when no instance has been connected by the end of `mqtt.startup_timeout`.
    async fn never_connected(&self) -> RunError {
        let limit = self.config.mqtt.startup_timeout;
        if limit.is_zero() {
            return std::future::pending().await;
        }
        sleep(limit).await;
        let members = self.shared.members();
        if members.iter().any(|member| member.status.epoch() > 0 || member.status.phase() == Phase::Ready) {
            return std::future::pending().await;
        }
        let last = members.iter().find_map(|member| member.status.last_error());
        let text = format!("no connection to {} within {limit:?} of the start", self.config.mqtt.url);
        let error = RunError::new(RunErrorKind::Broker, text);
        match last {
            Some(last) => error.with_source(last),
            None => error,
        }
    }
}
