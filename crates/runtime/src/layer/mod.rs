//! Layers: what stands between the runtime and a handler. They are [tower](https://docs.rs/tower) layers over one
//! boxed service, whose request is an [`Attempt`].
//!
//! ```text
//!  retry ── panic guard ── worker's layers ── route's layers ── handler
//!   stay in the runtime     first added is outermost, in both
//!         └──── timeout: from here ─────────────────────────┘ beside what waits for a turn
//! ```
//!
//! - [`TraceLayer`]: a span for each attempt.
//! - [`RateLimitLayer`]: so many a second, for all or for each key.
//! - [`ConcurrencyLimitLayer`], [`GlobalConcurrencyLimitLayer`]: so many at a time, on each route or on all together.
//! - [`LoadControlLayer`]: so many at a time as end within a target time.
//! - [`TimeoutLayer`]: a time limit for what is inside of it.
//! - [`from_fn`]: one of your own, from a function. Or any [`Layer`] whose service is a [`HandlerService`].
//!
//! Every attempt passes through them, retries too. An error that comes out of a layer fails the attempt and means retry,
//! unless it carries another disposition ([`AttemptFailed`]). A layer that returns `Ok` without passing the attempt on
//! acknowledges the event. A panic in a layer is a failed attempt.
//!
//! ```
//! use std::time::Duration;
//!
//! use tidemill_core::prelude::*;
//! use tidemill_runtime::layer::{Attempt, Next, Rate, RateLimitLayer, TimeoutLayer, TraceLayer, from_fn};
//! use tidemill_runtime::{Config, Route, Worker};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let handler = handler_fn(|_: Event, _: Context| async { Ok(()) });
//!
//! // Notes in a sink what was handled; written before the event is acknowledged, like what the handler emits.
//! let audit = from_fn(|mut attempt: Attempt, next: Next| async move {
//!     let mut cx = attempt.cx.lend();
//!     let topic = attempt.event.topic().to_owned();
//!     next.run(attempt).await?;
//!     cx.emit("audit", Record::new(topic))?;
//!     Ok(())
//! });
//!
//! let mut config = Config::default();
//! config.group.name = Some("enrichers".to_owned());
//! let route = Route::new("plant/{line}/temperature", handler)
//!     .layer(RateLimitLayer::new(Rate::per_second(10)).per_key(|event| event.capture("line").unwrap_or_default().to_owned()))
//!     .layer(TimeoutLayer::new(Duration::from_secs(5)));
//! let worker = Worker::builder(config)
//!     .layer(TraceLayer::new()) // outside of everything, on every route
//!     .layer(audit)
//!     .add_route(route)
//!     .build()?;
//! # Ok(())
//! # }
//! ```

mod attempt;
mod failed;
mod func;
mod layered;
mod load_control;
mod rate_limit;
mod service;
mod trace;
mod waits;

pub use attempt::Attempt;
pub use failed::AttemptFailed;
pub use func::{FromFn, Next, from_fn};
pub use layered::Layered;
pub use load_control::LoadControlLayer;
pub(crate) use rate_limit::Gate;
pub use rate_limit::{Rate, RateLimitLayer};
pub use service::{HandlerLayer, HandlerService, Stack};
pub use trace::TraceLayer;

/// At most so many attempts at a time, for each route it is added to, across instances. Added to a worker, every route
/// has a limit of its own; see [`GlobalConcurrencyLimitLayer`].
pub use tower::limit::ConcurrencyLimitLayer;
/// At most so many attempts at a time, for all that it and its clones are added to, across routes and instances.
pub use tower::limit::GlobalConcurrencyLimitLayer;
/// A time limit for what is inside of it, waits for a turn included: it belongs inside of rate and concurrency limits.
/// Cutting is a failed attempt, and means retry. [`Route::timeout`](crate::Route::timeout) is a limit for the whole
/// attempt.
pub use tower::timeout::TimeoutLayer;
pub use tower::{Layer, Service, ServiceBuilder};
