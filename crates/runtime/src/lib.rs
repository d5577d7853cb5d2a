//! Makes Tidemill handlers run: connections to the broker, ordered acknowledgement, key lanes, retries, sinks, drain,
//! metrics, admin server and configuration.
//!
//! ```text
//!         one task per instance           one task per instance, both on the user's runtime
//!  broker ── session ── link ──> dispatcher ── router ── lanes ── attempt ── handler
//!               ^                    │                               └── records ── sink engine ── sink
//!               └── window <── link ─┴── finished                                          │
//!                     └── PUBACKs in order <──────────────── link ── ticket ───────────────┘
//! ```
//!
//! A [`Worker`] runs until the future given to [`Worker::run_until`] is ready, then leaves its group without loss. It
//! ends in one of three ways: drained; stopped at the drain's deadline, with what was left unacknowledged; or failed,
//! for a reason that trying again cannot mend.

#[cfg(feature = "admin")]
mod admin;
pub mod batch;
pub mod config;
pub mod dedup;
mod dispatch;
mod error;
mod exit;
mod guard;
mod idempotency;
#[doc(hidden)]
pub mod internals;
pub mod layer;
mod observe;
#[cfg(feature = "platform")]
pub mod platform;
pub mod presence;
pub mod profile;
mod router;
mod session;
mod sink;
#[cfg(feature = "telemetry")]
pub mod telemetry;
mod wake;
mod worker;

pub use config::{Config, ConfigErrors, ConfigProblem, MqttSinkConfig, MqttVersion, Order, SinkSettings};
pub use dedup::IdempotencyKey;
pub use dispatch::{Execution, Key, Stamp};
pub use error::{BuildError, RunError, RunErrorKind};
pub use exit::Exit;
pub use session::transport::{BoxStream, Connector, Stream, connector};
pub use session::{
    Advice, Phase, PublishError, Publisher, Reason, Receipt, SessionError, SessionErrorKind, Settled, Started,
};
pub use sink::{MqttSink, SinkStatus};
pub use worker::{InstanceStatus, Route, Summary, Worker, WorkerBuilder, WorkerHandle, WorkerStatus};
pub use worker::{ScaledBy, ScalingDecision, ScalingMode, ScalingStatus, Shutdown, Signals, shutdown_signal};
