//! The `publish` program; everything of substance is in [`tidemill_benches::publish`].

use std::process::ExitCode;

use clap::Parser;
use tidemill_benches::publish::{self, Args};

fn main() -> ExitCode {
    match publish::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("publish: {}", tidemill_core::report(&error));
            ExitCode::FAILURE
        }
    }
}
