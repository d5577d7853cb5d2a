//! Rate limits: attempts wait until the rate lets them through, in the order they came. They wait where handlers run,
//! so the session goes on reading and acknowledging meanwhile (G6), and the window bounds how many wait (G5).

mod gate;
mod keyed;
mod rate;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tidemill_core::Event;
use tower::Layer;

use super::{Attempt, HandlerService, Next, Stack, from_fn};

use keyed::Gates;

pub(crate) use gate::Gate;
pub use rate::Rate;

/// Keys that are remembered unless [`RateLimitLayer::max_keys`] says otherwise.
const MAX_KEYS: usize = 65_536;

type KeyOf = Arc<dyn Fn(&Event) -> Bytes + Send + Sync>;

/// Lets attempts through at a [`Rate`]; the others wait, first come, first served.
///
/// One limit for everything that this layer and its clones are added to: on the worker, all instances and routes share
/// it; on a route, all instances of that route. Every attempt counts, so a retry waits again. What an attempt waits does
/// not count towards the route's timeout.
///
/// ```
/// use tidemill_runtime::layer::{Rate, RateLimitLayer};
///
/// // At most 50 requests a second for all, and 5 for each device, 20 of them at once.
/// let all = RateLimitLayer::new(Rate::per_second(50));
/// let each = RateLimitLayer::new(Rate::per_second(5).burst(20))
///     .per_key(|event| event.capture("device").unwrap_or_default().to_owned());
/// # fn takes(_: impl tidemill_runtime::layer::HandlerLayer) {}
/// # takes(all); takes(each);
/// ```
#[derive(Clone)]
pub struct RateLimitLayer {
    rate: Rate,
    limit: Limit,
}

#[derive(Clone)]
enum Limit {
    One(Arc<Gate>),
    PerKey(KeyOf, Arc<Gates>),
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_key = matches!(self.limit, Limit::PerKey(..));
        f.debug_struct("RateLimitLayer").field("rate", &self.rate).field("per_key", &per_key).finish_non_exhaustive()
    }
}

impl RateLimitLayer {
    /// One limit for all attempts.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, limit: Limit::One(Arc::new(Gate::new(rate.quota()))) }
    }

    /// A limit for each key instead. Keys have queues of their own: one that is over its limit slows no other, beside
    /// the places that its events take in the window.
    #[must_use]
    pub fn per_key<K: Into<Bytes>>(self, key: impl Fn(&Event) -> K + Send + Sync + 'static) -> Self {
        let gates = Gates::new(self.rate.quota(), MAX_KEYS);
        Self { limit: Limit::PerKey(Arc::new(move |event| key(event).into()), Arc::new(gates)), ..self }
    }

    /// How many keys are remembered, 65 536 otherwise. Those that have used up nothing are forgotten first, then those
    /// used longest ago, which begin anew with a full burst. Says nothing without [`per_key`](Self::per_key).
    #[must_use]
    pub fn max_keys(self, keys: usize) -> Self {
        let limit = match self.limit {
            Limit::PerKey(key, _) => Limit::PerKey(key, Arc::new(Gates::new(self.rate.quota(), keys))),
            one @ Limit::One(_) => one,
        };
        Self { limit, ..self }
    }
}

impl Limit {
    fn gate(&self, event: &Event) -> Arc<Gate> {
        match self {
            Self::One(gate) => Arc::clone(gate),
            Self::PerKey(key, gates) => gates.of(&key(event)),
        }
    }
}

impl<S: HandlerService> Layer<S> for RateLimitLayer {
    type Service = Stack;

    fn layer(&self, inner: S) -> Stack {
        let limit = self.limit.clone();
        from_fn(move |mut attempt: Attempt, next: Next| {
            let gate = limit.gate(&attempt.event);
            async move {
                attempt.wait(gate.pass()).await;
                drop(gate);
                next.run(attempt).await
            }
        })
        .layer(inner)
    }
}
