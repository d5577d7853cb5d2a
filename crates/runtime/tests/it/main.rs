//! A worker against a broker that is played packet by packet, on one thread and under paused time.
//!
//! Each test states one behaviour; those of `docs/GUARANTEES.md` are cited by number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

mod accounting;
mod acks;
mod admin;
mod build;
mod canary;
mod connect;
mod credentials;
mod dead_letters;
mod deadline;
mod durable;
mod elastic;
mod epochs;
mod failures;
mod full_window;
mod keep_alive;
mod leaving;
mod liveness;
mod logs;
mod metrics;
mod mqtt_sink;
mod order;
mod presence;
mod pressure;
mod protocol;
mod publishing;
mod publishing_many;
mod qos0;
mod reconnect;
mod reloading;
mod scaling;
mod sink_flights;
mod sink_health;
mod sink_model;
mod sink_records;
mod sink_start;
mod sinks;
mod stalls;
mod startup;
mod state;
mod subscribe;
