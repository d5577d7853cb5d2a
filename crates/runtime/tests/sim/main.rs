//! Group life by seed: workers join, leave, scale, are killed and cut off while events flow, over a broker in memory and
//! under paused time. What happened goes into one log, and the guarantees are checked against the log, not against what
//! the workers say about themselves.
//!
//! `TIDEMILL_SEEDS=n` runs so many seeds instead of 500, `TIDEMILL_SEED=n` runs one several times, `TIDEMILL_LOG=debug`
//! shows what the workers say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, missing_debug_implementations)]

#[path = "../it/support/direct.rs"]
mod direct;
mod judge;
mod life;
mod log;
mod mutations;
mod oracle;
mod replica;
mod returning;
mod scenario;
mod seeds;
mod shares;
mod tap;
mod world;
