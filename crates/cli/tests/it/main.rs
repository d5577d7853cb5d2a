//! The `tidemill` program as its users see it: arguments in, text and exit codes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bench;
mod dead;
mod doctor;
mod mosquitto;
mod processes;
mod scene;
mod support;
mod usage;
