//! Instances: one member connection of the group each, with its dispatcher. An instance that breaks by a bug is ended
//! without acknowledging anything, and the supervisor starts another in its place.

use std::sync::Arc;
use std::time::Duration;

use tidemill_core::topic::TopicName;
use tidemill_core::{Handler, Publishing, Scope};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::error;

use super::identity::Identity;
use super::io_threads::IoThreads;
use super::state::{Member, Shared};
use crate::config::{Expired, Order};
use crate::dedup::{Dedup, IdempotencyKey};
use crate::dispatch::{AgeLimit, Dispatcher, Emits, Execution, Key, RecordKey, RetryPolicy, RouteRuntime, Setup};
use crate::observe::Metrics;
use crate::router::Router;
use crate::session::link::Link;
use crate::session::transport::Connector;
use crate::session::{Backoff, ConnectOptions, Connection, Manifest, Outgoing, Parting, PartingCell, Place};
use crate::session::{SessionError, SessionErrorKind, Settings, Status};
use crate::sink::SinkHandle;

/// A checked route, the same for all instances.
pub(super) struct RoutePlan {
    pub(super) name: Box<str>,
    pub(super) capture_names: Arc<[Box<str>]>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) key: Key,
    pub(super) order: Order,
    pub(super) execution: Execution,
    pub(super) timeout: Option<Duration>,
    pub(super) age: AgeLimit,
    pub(super) on_expired: Expired,
    pub(super) dedup: Option<Arc<Dedup>>,
    pub(super) idempotency_key: Option<IdempotencyKey>,
    /// Which sinks it has emitted to.
    pub(super) emits: Arc<Emits>,
    pub(super) retry: RetryPolicy,
}

/// Everything that the instances of a worker have in common.
pub(super) struct Plan {
    pub(super) identity: Identity,
    /// The client ID of the connection that only publishes.
    pub(super) publisher_id: String,
    pub(super) connector: Arc<dyn Connector>,
    /// The client ID is filled in per instance.
    pub(super) options: ConnectOptions,
    pub(super) settings: Settings,
    pub(super) connect_timeout: Duration,
    pub(super) backoff: Backoff,
    pub(super) router: Arc<Router>,
    pub(super) routes: Vec<RoutePlan>,
    pub(super) sink_names: Arc<[Box<str>]>,
    pub(super) concurrency: usize,
    pub(super) stall_after: Duration,
    /// Per route, the place of the subscription that brings its events.
    pub(super) covers: Vec<usize>,
    /// How long sinks have, when an instance is cut, to write what its events wait for.
    pub(super) last_call: Duration,
    /// How long its connection has after that.
    pub(super) goodbye: Duration,
    /// What the broker takes from handlers.
    pub(super) publishing: Publishing,
    pub(super) metrics: Metrics,
    /// Where the worker says that it is present, if it does.
    pub(super) presence: Option<TopicName>,
    /// Where a canary is sent at the start, if one is.
    pub(super) canary: Option<String>,
    /// What the broker may hold for this replica, where that is written down.
    pub(super) manifest: Option<Arc<Manifest>>,
}

/// What the instances need while the worker runs, and what holds the sinks open.
pub(super) struct Outlets {
    pub(super) sinks: Arc<[SinkHandle]>,
    /// Where publications go.
    pub(super) publish: SinkHandle,
    pub(super) dead_letters: Option<SinkHandle>,
}

/// How an instance ended.
pub(super) enum InstanceEnd {
    /// It left, or was forced to stop.
    Ended,
    /// The broker cannot be used.
    Failed(SessionError),
    /// A bug: one of its tasks panicked.
    Crashed(JoinError),
    /// It was cut while a handler blocked its thread, and has ended without that handler.
    Blocked,
}

/// Which instance of its worker it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// Its place, from 0; a replacement has the same.
    pub(super) slot: u32,
    /// Counts up over all instances that the worker has ever started.
    pub(super) serial: u64,
}

/// Tells an instance to go.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    pub(super) leave: CancellationToken,
    /// No more than a last call is left: handlers are cut.
    pub(super) cut: CancellationToken,
    parting: Arc<PartingCell>,
}

impl Stop {
    /// One that is told whenever this one is, and can be told alone.
    pub(super) fn child(&self) -> Self {
        Self { leave: self.leave.child_token(), cut: self.cut.child_token(), parting: Arc::default() }
    }

    /// Asks to leave without loss.
    pub(super) fn leave(&self, parting: Parting) {
        self.parting.set(parting);
        self.leave.cancel();
    }

    /// Whether it was told to be back in a moment.
    pub(super) fn keeps_place(&self) -> bool {
        self.parting.get() == Parting::KeepPlace
    }

    /// Whether it has left to be back in a moment.
    pub(super) fn has_kept_place(&self) -> bool {
        self.parting.is_done(Parting::KeepPlace)
    }

    /// Whether it was told to leave for good and the broker may still hold something for it.
    pub(super) fn owes_farewell(&self) -> bool {
        self.parting.get() == Parting::Leave && !self.parting.is_done(Parting::Leave)
    }
}

impl Plan {
    /// Whether an instance and its replacement have the same client ID.
    pub(super) fn keeps_ids(&self) -> bool {
        self.identity.keeps_ids()
    }

    /// Slots beyond `count` for which the broker may still have a session, from an earlier run of this replica.
    pub(super) fn ghosts(&self, count: u32) -> Vec<u32> {
        let slots = self.manifest.as_ref().map(|manifest| manifest.slots()).unwrap_or_default();
        slots.into_iter().filter(|slot| *slot >= count).collect()
    }

    /// Runs an instance to its end.
    pub(super) async fn run(
        &self,
        io: &IoThreads,
        shared: &Shared,
        outlets: &Outlets,
        seat: Seat,
        status: Arc<Status>,
        stop: Stop,
    ) -> InstanceEnd {
        let id = self.identity.instance_id(seat);
        let client_id = match self.identity.client_id(&id) {
            Ok(client_id) => client_id,
            Err(error) => {
                let message = format!("the platform takes no instance by the name {id:?}; shorten `identity.prefix`");
                let error = SessionError::new(SessionErrorKind::Unsupported, message).with_source(error);
                return InstanceEnd::Failed(error);
            }
        };
        let force = CancellationToken::new();
        let link = Arc::new(Link::default());
        let connection = Connection {
            connector: Arc::clone(&self.connector),
            options: ConnectOptions { client_id, ..self.options.clone() },
            settings: self.settings.clone(),
            connect_timeout: self.connect_timeout,
            backoff: self.backoff.clone(),
            link: Arc::clone(&link),
            outgoing: Outgoing::new(None),
            status: Arc::clone(&status),
            paused: shared.paused.subscribe(),
            leave: stop.leave.clone(),
            force: force.clone(),
            parting: Arc::clone(&stop.parting),
            place: self.manifest.as_ref().map(|manifest| Place::new(manifest, seat.slot)),
        };
        let metrics = self.metrics.instance(&id);
        let busy = metrics.busy();
        let dispatcher = Dispatcher::new(Setup {
            link: Arc::clone(&link),
            status: Arc::clone(&status),
            router: Arc::clone(&self.router),
            routes: self.routes(&id, outlets),
            concurrency: self.concurrency,
            stall_after: self.stall_after,
            metrics,
            force: stop.cut.clone(),
        });
        let id: Arc<str> = id.into();
        shared.add(Member { id: Arc::clone(&id), status, link: Arc::clone(&link), busy });
        let mut session = AbortOnDropHandle::new(io.spawn(seat.slot as usize, connection.run()));
        let mut dispatcher = AbortOnDropHandle::new(tokio::spawn(dispatcher.run()));
        let dispatched = async {
            tokio::select! {
                biased;
                dispatched = &mut dispatcher => Some(dispatched),
                () = async { stop.cut.cancelled().await; sleep(self.last_call).await } => None,
            }
        };
        tokio::pin!(dispatched);
        let (session, dispatched) = tokio::select! {
            session = &mut session => {
                match &session {
                    Err(_) => stop.cut.cancel(),
                    // What its handlers still hold is stale: they get the drain's deadline to end, and no more.
                    Ok(Err(_)) => stop.leave.cancel(),
                    Ok(Ok(())) => {}
                }
                (session, dispatched.await)
            }
            dispatched = &mut dispatched => {
                // The dispatcher ends first only when it is cut or by a bug; either way nobody is left to handle events.
                if matches!(dispatched, Some(Ok(()))) {
                    tokio::select! {
                        () = link.all_written() => {}
                        () = sleep(self.last_call) => {}
                    }
                }
                force.cancel();
                let session = timeout(self.goodbye, &mut session).await;
                // A broker that does not even let go is left.
                (session.unwrap_or(Ok(Ok(()))), dispatched)
            }
        };
        if dispatched.is_none() {
            // Waiting longer would mean waiting for ever: a thread cannot be taken away from a handler (G10).
            error!(instance = &*id, "a handler blocks its thread and cannot be cut; the instance ends without it");
        }
        shared.remove(&id);
        match (session, dispatched) {
            (Err(crash), _) | (_, Some(Err(crash))) => InstanceEnd::Crashed(crash),
            (_, None) => InstanceEnd::Blocked,
            (Ok(Err(error)), _) => InstanceEnd::Failed(error),
            (Ok(Ok(())), _) => InstanceEnd::Ended,
        }
    }

    fn routes(&self, instance: &str, outlets: &Outlets) -> Vec<Arc<RouteRuntime>> {
        let runtime = |(at, plan): (usize, &RoutePlan)| {
            Arc::new(RouteRuntime {
                id: u16::try_from(at).unwrap_or(u16::MAX),
                scope: Arc::new(
                    Scope::new(plan.name.clone(), instance, Arc::clone(&self.sink_names))
                        .with_publishing(self.publishing),
                ),
                capture_names: Arc::from(&*plan.capture_names),
                handler: Arc::clone(&plan.handler),
                key: plan.key.clone(),
                order: plan.order,
                execution: plan.execution,
                timeout: plan.timeout,
                age: plan.age.clone(),
                on_expired: plan.on_expired,
                dedup: plan.dedup.clone(),
                retry: plan.retry,
                record_key: plan.idempotency_key.clone().map(RecordKey::new),
                sinks: Arc::clone(&outlets.sinks),
                emits: Arc::clone(&plan.emits),
                publish: outlets.publish.clone(),
                dead_letters: outlets.dead_letters.clone(),
                metrics: self.metrics.route(at, &plan.name),
            })
        };
        self.routes.iter().enumerate().map(runtime).collect()
    }
}
