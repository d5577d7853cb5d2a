//! Workers against brokers in processes of their own, over sockets and in real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod real_broker;
