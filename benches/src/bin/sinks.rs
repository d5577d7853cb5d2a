//! The `sinks` program; everything of substance is in [`tidemill_benches::sinks`].

use std::process::ExitCode;

use clap::Parser;
use tidemill_benches::sinks::{self, Args};

#[tokio::main]
async fn main() -> ExitCode {
    match sinks::run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sinks: {}", tidemill_core::report(&error));
            ExitCode::FAILURE
        }
    }
}
