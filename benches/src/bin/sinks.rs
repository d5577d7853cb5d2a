//! The `sinks` program; everything of substance is in [`tidemill_benches::sinks`].

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tidemill_benches::sinks::{self, Args};

/// For what still runs on blocking threads at the end.
const FAREWELL: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sinks: start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(sinks::run(args));
    runtime.shutdown_timeout(FAREWELL);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sinks: {}", tidemill_core::report(&error));
            ExitCode::FAILURE
        }
    }
}
