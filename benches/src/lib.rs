//! Benchmarks of Tidemill. Linux only: they read `/proc` and pin threads to cores.
//!
//! - [`feed`]: a raw feed of events against the worker, against a hand-written floor and against other clients;
//! - [`callgrind`]: instructions and allocations of a program, exactly;
//! - [`publish`]: the way out: publications per second;
//! - `sinks`, with the feature of that name: each sink next to the client that it is built on;
//! - [`peers`]: Tidemill against other frameworks and clients, each a process of its own;
//! - [`rollout`]: what Kubernetes does to a group, with processes in the place of pods;
//! - [`stats`]: what several runs come to;
//! - `benches/micro.rs`: criterion benchmarks of single steps.

pub mod callgrind;
mod client;
pub mod feed;
pub mod peers;
pub mod publish;
pub mod rollout;
#[cfg(feature = "sinks")]
pub mod sinks;
pub mod stats;
