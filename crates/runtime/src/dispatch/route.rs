//! A route at work on one instance: everything that an event of it needs, behind one pointer that no other instance
//! touches, so that handling an event never contends with another thread for a reference count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidemill_core::{Event, Handler, Scope, SinkId};

use super::age::AgeLimit;
use super::fill::RecordKey;
use super::key::Key;
use super::lanes::LaneKey;
use crate::config::{Expired, Order};
use crate::dedup::Dedup;
use crate::observe::RouteMetrics;
use crate::sink::SinkHandle;

/// Where handlers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Execution {
    /// Tried on the spot, on the instance's own task; costs nothing when the handler does not wait. The default.
    #[default]
    Inline,
    /// Every event in a task of its own, on any thread of the runtime: for handlers that burn CPU.
    Spawn,
}

/// How often and how long a failing event is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// 0: no limit.
    pub(crate) max_attempts: u32,
    /// Zero: no limit.
    pub(crate) max_elapsed: Duration,
    pub(crate) min_delay: Duration,
    pub(crate) max_delay: Duration,
}

/// Which sinks a route has emitted to, on any instance: nobody knows before.
#[derive(Debug)]
pub(crate) struct Emits(Box<[AtomicBool]>);

impl Emits {
    pub(crate) fn new(sinks: usize) -> Self {
        Self((0..sinks).map(|_| AtomicBool::new(false)).collect())
    }

    /// The route emits to this sink.
    pub(crate) fn note(&self, sink: usize) {
        // A look alone leaves the line shared between processors.
        if let Some(seen) = self.0.get(sink).filter(|seen| !seen.load(Ordering::Relaxed)) {
            seen.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it has emitted to this sink.
    pub(crate) fn any_to(&self, sink: usize) -> bool {
        self.0.get(sink).is_some_and(|seen| seen.load(Ordering::Relaxed))
    }
}

/// See the module's description.
pub(crate) struct RouteRuntime {
    pub(crate) id: u16,
    pub(crate) scope: Arc<Scope>,
    pub(crate) capture_names: Arc<[Box<str>]>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) key: Key,
    pub(crate) order: Order,
    pub(crate) execution: Execution,
    pub(crate) timeout: Option<Duration>,
    pub(crate) age: AgeLimit,
    pub(crate) on_expired: Expired,
    pub(crate) dedup: Option<Arc<Dedup>>,
    pub(crate) retry: RetryPolicy,
    /// The idempotency key of its records.
    pub(crate) record_key: Option<RecordKey>,
    pub(crate) sinks: Arc<[SinkHandle]>,
    pub(crate) emits: Arc<Emits>,
    /// Where publications go.
    pub(crate) publish: SinkHandle,
    pub(crate) dead_letters: Option<SinkHandle>,
    pub(crate) metrics: RouteMetrics,
}

impl RouteRuntime {
    /// Where records for this sink are handed in.
    pub(crate) fn sink(&self, sink: SinkId) -> &SinkHandle {
        match sink.index() {
            None => &self.publish,
            Some(at) => {
                self.emits.note(at);
                &self.sinks[at]
            }
        }
    }

    /// The lane of an event of this route; `None` where no order is kept.
    #[inline]
    pub(crate) fn lane(&self, event: &Event) -> Option<LaneKey> {
        (self.order == Order::Keyed).then(|| self.key.lane(self.id, event))
    }
}

impl std::fmt::Debug for RouteRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteRuntime").field("scope", &self.scope).finish_non_exhaustive()
    }
}
