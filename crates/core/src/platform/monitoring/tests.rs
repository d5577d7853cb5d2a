//! Monitoring messages as they occur, and closing codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
