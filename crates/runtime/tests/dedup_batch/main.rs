//! Dedup and batch handlers: against naive models, under paused time, in a worker whose broker is played packet by
//! packet, and against a real Redis server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod rig;
mod support;

mod batched_worker;
mod batches;
mod checks;
mod deduped_worker;
mod memory;
mod random_batches;
#[cfg(feature = "redis")]
mod real_server;
#[cfg(feature = "redis")]
mod redis_server;
