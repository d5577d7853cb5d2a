//! What a running worker shows of itself: to the admin server, to handles, to tests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::scaling::{Scaling, ScalingDecision, ScalingStatus};
use crate::config::{Config, ElasticConfig, Instances};
use crate::error::BuildError;
use crate::observe::{Busy, Metrics, Outcome, Snapshot};
use crate::session::link::Link;
use crate::session::{Phase, Status};
use crate::sink::{SinkState, SinkStatus};

/// Deliveries that nobody has looked at for this long mean that the dispatcher is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// One instance, as the worker's state knows it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: Arc<str>,
    pub(crate) status: Arc<Status>,
    pub(crate) link: Arc<Link>,
    pub(crate) busy: Arc<Busy>,
}

/// State that a running worker shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) group: Option<String>,
    /// How many instances there should be.
    pub(crate) scaling: Scaling,
    pub(crate) window: usize,
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "only the admin server reads it"))]
    pub(crate) registry: prometheus::Registry,
    pub(crate) metrics: Metrics,
    pub(crate) routes: Vec<Box<str>>,
    /// In the order of their numbers; the built-in ones last.
    pub(crate) sinks: Vec<Arc<SinkState>>,
    members: Mutex<Vec<Member>>,
    changed: Notify,
    draining: AtomicBool,
    /// Which subscriptions the kill switch has paused, by their place in the plan.
    pub(crate) paused: watch::Sender<Vec<bool>>,
    paused_routes: Mutex<Vec<Box<str>>>,
    admin_address: watch::Sender<Option<std::net::SocketAddr>>,
    /// The worker is gone.
    pub(crate) ended: CancellationToken,
    progress: Mutex<Vec<Progress>>,
}

#[derive(Clone, Debug)]
struct Progress {
    id: Arc<str>,
    taken: u64,
    since: Instant,
}

impl Shared {
    pub(crate) fn new(
        config: &Config,
        window: usize,
        registry: prometheus::Registry,
        metrics: Metrics,
        routes: Vec<Box<str>>,
        sinks: Vec<Arc<SinkState>>,
    ) -> Self {
        Self {
            group: config.group_label(),
            scaling: Scaling::new(
                config.instances,
                config.elastic.clone(),
                config.group_label().is_some() || config.broadcast,
            ),
            window,
            registry,
            metrics,
            routes,
            sinks,
            members: Mutex::default(),
            changed: Notify::new(),
            draining: AtomicBool::new(false),
            paused: watch::Sender::new(Vec::new()),
            paused_routes: Mutex::default(),
            admin_address: watch::Sender::new(None),
            ended: CancellationToken::new(),
            progress: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, member: Member) {
        self.lock().push(member);
        self.changed.notify_waiters();
    }

    pub(crate) fn remove(&self, id: &str) {
        self.lock().retain(|member| &*member.id != id);
        self.changed.notify_waiters();
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address that the admin server listens on.
    #[cfg(feature = "admin")]
    pub(crate) fn set_admin_address(&self, address: std::net::SocketAddr) {
        self.admin_address.send_replace(Some(address));
    }

    /// Shows which routes are paused.
    pub(crate) fn set_paused_routes(&self, routes: Vec<Box<str>>) {
        *self.paused_routes.lock().unwrap_or_else(PoisonError::into_inner) = routes;
    }

    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether as many instances as are wanted are connected and subscribed, and the worker is not leaving.
    pub(crate) fn is_ready(&self) -> bool {
        let ready = self.lock().iter().filter(|member| member.status.phase() == Phase::Ready).count();
        !self.is_draining() && ready >= self.scaling.wanted() as usize
    }

    /// Sinks that keep the worker from being called ready, and why.
    pub(crate) fn unready_sinks(&self) -> Vec<String> {
        let why = |sink: &Arc<SinkState>| Some(format!("sink {:?}: {}", sink.name, sink.unready()?));
        self.sinks.iter().filter_map(why).collect()
    }

    /// Instances whose dispatcher has looked at nothing for a long time although deliveries wait: progress, not age.
    pub(crate) fn stuck(&self) -> Vec<Arc<str>> {
        let members = self.members();
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.retain(|seen| members.iter().any(|member| member.id == seen.id));
        let mut stuck = Vec::new();
        for member in members {
            let taken = member.link.taken();
            let at = match progress.iter().position(|seen| seen.id == member.id) {
                Some(at) => at,
                None => {
                    progress.push(Progress { id: Arc::clone(&member.id), taken, since: Instant::now() });
                    progress.len() - 1
                }
            };
            let seen = &mut progress[at];
            if seen.taken != taken || !member.link.has_inbound() {
                seen.taken = taken;
                seen.since = Instant::now();
            } else if seen.since.elapsed() >= STUCK {
                stuck.push(member.id);
            }
        }
        stuck
    }

    /// What the instances are doing now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let members = self.lock();
        Snapshot {
            wanted: self.scaling.wanted(),
            phases: members.iter().map(|member| member.status.phase()).collect(),
            occupied: members.iter().map(|member| member.status.occupied()).sum(),
            capacity: self.window * members.len(),
            busy: members.iter().filter(|member| member.busy.running() > 0).count(),
            oldest: members.iter().map(|member| member.busy.oldest_age()).max().unwrap_or_default(),
            sinks: self.sinks.iter().map(|sink| (sink.name.clone(), sink.oldest_age())).collect(),
        }
    }

    /// Routes with events that are not finished, and how many.
    pub(crate) fn unfinished_by_route(&self) -> Vec<(Box<str>, u64)> {
        let routes = self.routes.iter().map(|route| (route.clone(), self.metrics.unfinished(route)));
        routes.filter(|(_, events)| *events > 0).collect()
    }

    pub(crate) fn status(&self) -> WorkerStatus {
        let (received, finished) = self.metrics.totals(&self.routes);
        let instances: Vec<_> = self.members().iter().map(|member| InstanceStatus::of(member, self.window)).collect();
        WorkerStatus {
            version: env!("CARGO_PKG_VERSION"),
            group: self.group.clone(),
            ready: self.is_ready() && self.unready_sinks().is_empty(),
            draining: self.is_draining(),
            received,
            handled: finished[Outcome::Handled as usize],
            dead_lettered: finished[Outcome::DeadLettered as usize],
            dropped: finished[Outcome::Dropped as usize],
            abandoned: finished[Outcome::Abandoned as usize],
            unfinished: received.saturating_sub(finished.iter().sum()),
            routes: self.routes.len(),
            paused_routes: self.paused_routes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            sinks: self.sinks.iter().map(|sink| sink.status()).collect(),
            scaling: self.scaling.status(u32::try_from(instances.len()).unwrap_or(u32::MAX)),
            instances,
        }
    }

    /// An operator asks for a number of instances; `None` gives the number back to the configuration.
    pub(crate) fn ask(&self, instances: Option<u32>) -> Result<(), BuildError> {
        let decision = match instances {
            Some(instances) => self.scaling.hold(instances)?,
            None => self.scaling.release(),
        };
        self.report(decision);
        Ok(())
    }

    /// The configuration file says something else.
    pub(crate) fn configure(&self, instances: Instances, elastic: ElasticConfig) {
        self.report(self.scaling.configure(instances, elastic));
    }

    /// The load asks for another number of instances.
    pub(crate) fn decide(&self, from: u32, to: u32, reason: impl std::fmt::Display) {
        self.report(self.scaling.decide(from, to, reason));
    }

    /// The number of instances has changed: log and metric.
    fn report(&self, decision: Option<ScalingDecision>) {
        let Some(ScalingDecision { from, to, by, reason, .. }) = decision else { return };
        self.metrics.scaled(from, to, by);
        tracing::info!(from, to, by = by.label(), reason, "worker scales");
    }
}

/// A worker as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Version of the runtime.
    pub version: &'static str,
    /// Name of the group; `None` without one.
    pub group: Option<String>,
    /// Every instance is connected and subscribed, the worker is not leaving, and no sink forbids it.
    pub ready: bool,
    /// The worker is leaving its group.
    pub draining: bool,
    /// Events received so far.
    pub received: u64,
    /// Events that ended as handled.
    pub handled: u64,
    /// Events that ended in the dead letters.
    pub dead_lettered: u64,
    /// Events that were dropped by policy.
    pub dropped: u64,
    /// Events whose session was lost before they were finished.
    pub abandoned: u64,
    /// Events received and not finished.
    pub unfinished: u64,
    /// How many routes the worker has.
    pub routes: usize,
    /// Routes whose kill switch has tripped, or that emit to a sink whose breaker is open where that pauses them: they
    /// are unsubscribed until their events can be handled again.
    pub paused_routes: Vec<Box<str>>,
    /// The sinks, the built-in ones last.
    pub sinks: Vec<SinkStatus>,
    /// How many instances there should be, and who says so.
    pub scaling: ScalingStatus,
    /// The instances.
    pub instances: Vec<InstanceStatus>,
}

/// An instance as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InstanceStatus {
    /// Its ID, which is its MQTT client ID.
    pub id: String,
    /// Where its connection stands.
    pub phase: Phase,
    /// Number of its session, counting from 1; 0 before the first.
    pub epoch: u64,
    /// Events received over all sessions.
    pub received: u64,
    /// Acknowledgements sent over all sessions.
    pub acked: u64,
    /// Events of this session that are not acknowledged.
    pub unacknowledged: usize,
    /// How much of the window is in use, from 0 to 1 and beyond when the broker overshoots.
    pub window_use: f64,
    /// Handlers that are waiting.
    pub running: usize,
    /// Events that wait for their lane, for a free place, or for their next attempt.
    pub queued: usize,
    /// How long the oldest event has waited whose handler waits or is tried again, in seconds.
    pub oldest_unfinished_seconds: f64,
    /// Why the connection is down.
    pub last_error: Option<String>,
}

impl InstanceStatus {
    fn of(member: &Member, window: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "windows are small numbers")]
        let window_use = member.status.occupied() as f64 / window.max(1) as f64;
        Self {
            id: member.id.to_string(),
            phase: member.status.phase(),
            epoch: member.status.epoch(),
            received: member.status.received(),
            acked: member.status.acked(),
            unacknowledged: member.status.unacked(),
            window_use,
            running: member.busy.running(),
            queued: member.busy.queued(),
            oldest_unfinished_seconds: member.busy.oldest_age().as_secs_f64(),
            last_error: member.status.last_error(),
        }
    }
}

/// Looks at a worker while it runs. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct WorkerHandle(Arc<Shared>);

impl WorkerHandle {
    /// Number of the newest session of any instance. Cheap, unlike the whole status.
    #[cfg(feature = "platform")]
    pub(crate) fn epoch(&self) -> u64 {
        self.0.lock().iter().map(|member| member.status.epoch()).max().unwrap_or_default()
    }

    /// Whether any instance is connected and subscribed.
    #[cfg(feature = "platform")]
    pub(crate) fn is_receiving(&self) -> bool {
        self.0.lock().iter().any(|member| member.status.phase() == Phase::Ready)
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The worker as it is now.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        self.0.status()
    }

    /// Waits for the address that the admin server listens on. `None` when the worker has ended without one, for which a
    /// worker without an admin server makes it wait. Cancel-safe.
    pub async fn admin_address(&self) -> Option<std::net::SocketAddr> {
        let mut address = self.0.admin_address.subscribe();
        tokio::select! {
            biased;
            Ok(address) = address.wait_for(Option::is_some) => *address,
            () = self.0.ended.cancelled() => None,
        }
    }

    /// IDs of instances that make no progress although deliveries wait: a handler blocks their thread. `/livez` says so.
    #[must_use]
    pub fn stuck(&self) -> Vec<Arc<str>> {
        self.0.stuck()
    }

    /// Sets how many instances there should be, until [`scale_auto`](Self::scale_auto). Instances that are too many leave
    /// without loss, those with the highest numbers first. Returns at once; [`settled`](Self::settled) waits until it is
    /// so.
    ///
    /// # Errors
    /// The number is 0 or above 1024 or outside the limits of an elastic worker, or the worker has no group, in which more
    /// than one would make sense.
    pub fn scale(&self, instances: u32) -> Result<(), BuildError> {
        self.0.ask(Some(instances))
    }

    /// Gives the number of instances back to the configuration: to the load, between the limits of `instances`, or to
    /// its fixed number. Returns at once.
    pub fn scale_auto(&self) {
        // Only a number can be refused.
        let _ = self.0.ask(None);
    }

    /// Waits until as many instances as are wanted are connected and subscribed, whatever the sinks do, or until the worker
    /// has ended. Cancel-safe.
    pub async fn ready(&self) {
        self.wait_until(Shared::is_ready).await;
    }

    /// Waits until exactly as many instances as are wanted are there, all connected and subscribed, or until the worker
    /// has ended. Cancel-safe.
    pub async fn settled(&self) {
        self.wait_until(|shared| shared.is_ready() && shared.lock().len() == shared.scaling.wanted() as usize).await;
    }

    async fn wait_until(&self, condition: impl Fn(&Shared) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            let members = self.0.members();
            let phases: Vec<_> = members.iter().map(|member| member.status.watch()).collect();
            if condition(&self.0) {
                return;
            }
            let mut moves: futures_util::stream::FuturesUnordered<_> =
                phases.into_iter().map(|mut phase| async move { phase.changed().await.is_ok() }).collect();
            tokio::select! {
                () = self.0.ended.cancelled() => return,
                () = changed => {}
                Some(true) = futures_util::StreamExt::next(&mut moves) => {}
            }
        }
    }
}
