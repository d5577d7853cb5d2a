//! Layers around handlers, driven as handlers and, where the order of everything counts, in a worker against a broker
//! that is played packet by packet. Time is paused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

mod limits;
mod load_control;
mod outcomes;
mod rate_limit;
mod timeout;
mod trace;
mod worker;
