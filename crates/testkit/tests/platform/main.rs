//! The emulated platform as its clients see it: who gets in, what closes a connection, who shares what, and what
//! monitoring says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod connecting;
mod monitoring;
mod publishing;
mod sharing;
mod support;
