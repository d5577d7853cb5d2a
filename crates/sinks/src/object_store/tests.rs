//! The sink on folders and on an S3 server in this process; what goes where, by properties; settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod objects;
mod properties;
mod real_server;
#[cfg(feature = "s3")]
mod s3_server;
mod settings;
