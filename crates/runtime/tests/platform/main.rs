//! Workers as members of the emulated platform: who they are there, how they share, what is refused at build, what they
//! publish, and which devices they know to be connected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod building;
mod publishing;
mod refusals;
mod shares;
mod support;
mod tracking;
