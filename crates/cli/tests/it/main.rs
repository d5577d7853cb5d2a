//! The `tidemill` program as its users see it: arguments in, text and exit codes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bench;
mod check;
mod dead;
mod doctor;
mod group;
mod mosquitto;
mod pipes;
mod processes;
mod scene;
mod support;
mod usage;
