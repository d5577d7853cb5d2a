//! The sink against a real RabbitMQ behind a proxy that cuts connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod real_server;
