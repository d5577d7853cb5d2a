//! Many runs of a worker, each drawn from a seed: faulty handlers and sinks, lost connections, all settings that matter,
//! on the embedded broker under paused time. After each run a checker that knows nothing of the worker looks whether
//! the guarantees of `docs/GUARANTEES.md` were kept.
//!
//! `TIDEMILL_SEEDS=5000` runs more seeds, `TIDEMILL_SEED=17` runs one and shows its log if it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bench;
mod check;
mod crew;
mod fairness;
mod handler;
mod log;
mod payload;
mod plan;
mod publisher;
mod real_broker;
mod run;
mod script;
mod seeds;
mod sinks;
mod stalls;
mod tap;
