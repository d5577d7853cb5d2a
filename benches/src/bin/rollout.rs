//! The `rollout` program; everything of substance is in [`tidemill_benches::rollout`].

use std::process::ExitCode;

use clap::Parser;
use tidemill_benches::rollout::{self, Args};

fn main() -> ExitCode {
    match rollout::run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rollout: {}", tidemill_core::report(&error));
            ExitCode::FAILURE
        }
    }
}
