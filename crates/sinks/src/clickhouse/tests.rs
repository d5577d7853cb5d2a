//! The sink against a real ClickHouse, and against answers of newer ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod real_server;
