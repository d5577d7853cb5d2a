//! Benchmarks of Tidemill. Linux only: they read `/proc` and pin threads to cores.
//!
//! - [`feed`]: a raw feed of events against the worker, against a hand-written floor and against other clients;
//! - [`peers`]: Tidemill against other frameworks and clients, each a process of its own;
//! - [`rollout`]: what Kubernetes does to a group, with processes in the place of pods;
//! - `benches/micro.rs`: criterion benchmarks of single steps.

pub mod feed;
pub mod peers;
pub mod rollout;
