//! The worker: one process's part of the group. It is built once, with every mistake reported at once, and then run.

mod broker_sink;
mod builder;
mod canary;
mod elastic;
mod ending;
mod fleet;
mod identity;
mod instance;
mod io_threads;
mod kill_switch;
mod reload;
mod route;
mod run;
mod scaling;
mod signal;
mod state;

pub use builder::WorkerBuilder;
#[cfg(feature = "platform")]
pub(crate) use identity::Identity;
pub(crate) use kill_switch::Attempts;
pub use route::Route;
pub use run::{Summary, Worker};
pub use scaling::{ScaledBy, ScalingDecision, ScalingMode, ScalingStatus};
pub use signal::{Shutdown, Signals, shutdown_signal};
pub use state::{InstanceStatus, WorkerHandle, WorkerStatus};

pub(crate) use state::Shared;
