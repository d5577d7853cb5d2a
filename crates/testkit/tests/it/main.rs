//! The broker as its clients see it, packet by packet under paused time, and through clients that others wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod access;
mod clients;
mod delivery;
mod lifecycle;
mod limits;
mod malformed;
mod mosquitto;
mod pressure;
mod profiles;
mod quirks;
mod retained;
mod script;
mod server;
mod sessions;
mod shared;
mod shared_property;
mod sink_conformance;
mod support;
mod trace;
mod wills;
