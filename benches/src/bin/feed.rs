//! The `feed` program; everything of substance is in [`tidemill_benches::feed`].

use std::process::ExitCode;

use clap::Parser;
use tidemill_benches::feed::{self, Args};

fn main() -> ExitCode {
    match feed::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("feed: {}", tidemill_core::report(&error));
            ExitCode::FAILURE
        }
    }
}
