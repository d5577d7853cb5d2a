//! The `peers` program; everything of substance is in [`tidemill_benches::peers`].

use std::process::ExitCode;

use clap::Parser;
use tidemill_benches::peers::{self, Args};

fn main() -> ExitCode {
    match peers::run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
