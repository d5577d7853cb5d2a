//! Routes as the user declares them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidemill_core::Handler;

use crate::config::Order;
use crate::dedup::{Dedup, IdempotencyKey};
use crate::dispatch::{Execution, Key, Stamp};
use crate::layer::HandlerLayer;

/// A topic pattern bound to a handler. What it leaves open comes from the configuration.
#[must_use]
pub struct Route {
    pub(super) pattern: String,
    pub(super) name: Option<String>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) key: Key,
    pub(super) order: Option<Order>,
    pub(super) execution: Execution,
    pub(super) timeout: Option<Duration>,
    pub(super) max_attempts: Option<u32>,
    pub(super) stamp: Option<Stamp>,
    pub(super) max_age: Option<Duration>,
    pub(super) dedup: Option<Arc<Dedup>>,
    pub(super) idempotency_key: Option<IdempotencyKey>,
    pub(super) layers: Vec<Arc<dyn HandlerLayer>>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("pattern", &self.pattern).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Route {
    /// Binds a pattern such as `plant/{line}/temperature` to a handler. The pattern is checked when the worker is built.
    pub fn new(pattern: impl Into<String>, handler: impl Handler) -> Self {
        Self {
            pattern: pattern.into(),
            name: None,
            handler: Arc::new(handler),
            key: Key::Topic,
            order: None,
            execution: Execution::default(),
            timeout: None,
            max_attempts: None,
            stamp: None,
            max_age: None,
            dedup: None,
            idempotency_key: None,
            layers: Vec::new(),
        }
    }

    /// Names the route in metrics, logs and dead letters; without a name it goes by its pattern.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets what order is kept by; the topic otherwise.
    pub fn key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Sets in which order events are handled; `dispatch.order` otherwise.
    pub fn order(mut self, order: Order) -> Self {
        self.order = Some(order);
        self
    }

    /// Sets where the handler runs.
    pub fn execution(mut self, execution: Execution) -> Self {
        self.execution = execution;
        self
    }

    /// Cuts an attempt that takes longer; `dispatch.timeout` otherwise. A cut drops the handler's future at its current
    /// `.await`, and counts as a failed attempt.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Says where the publisher's time stamp stands: the age of events is measured by it, and shown as
    /// `tidemill_publish_to_handle_seconds`.
    pub fn published_at(mut self, stamp: Stamp) -> Self {
        self.stamp = Some(stamp);
        self
    }

    /// Sets the age at which an event is too old to be handled; `dispatch.max_age` otherwise.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Puts a layer around the handler, inside of those that were added before and of those of the worker. See
    /// [`layer`](crate::layer) for what there is, and for the order.
    pub fn layer(mut self, layer: impl HandlerLayer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Handles an event once only, as far as its idempotency key and the store can tell: one that was finished before is
    /// acknowledged and not handled. The events of a key then wait for their records to be written before the next of
    /// the key is handled.
    pub fn dedup(mut self, dedup: Dedup) -> Self {
        self.dedup = Some(Arc::new(dedup));
        self
    }

    /// Gives the records of this route an idempotency key: made of that of their event, the sink's name and, for the
    /// second and further records that one event emits to the same sink, their number. A record that has one from its
    /// handler keeps it. An idempotent sink then has every record once, whatever is delivered or written again, provided
    /// that the handler emits the same records in the same order each time, and that sinks keep their names.
    pub fn idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// Sets how often an event is tried before it goes to the dead letters, 0 for no limit; `retry.max_attempts`
    /// otherwise.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }
}
