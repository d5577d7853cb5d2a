//! The feed benchmark: how much CPU a client spends on one event, with a server that costs it nothing to wait for.
//!
//! A [`server`] streams events that were encoded beforehand, as fast as the socket takes them and never beyond the
//! client's Receive Maximum. Every client runs in a process of its own, so that its `getrusage` is about it alone,
//! and the clients take turns within every run, so that a slow minute of the machine hits all of them.

mod args;
pub mod clients;
mod error;
mod instructions;
mod load;
mod orchestrate;
mod report;
pub mod rusage;
pub mod server;
mod serving;

pub use args::Args;
pub use error::Error;
pub use load::{FILTER, Load, PATTERN};
pub use rusage::pin;
pub use server::{Feed, Gate, ServeError};
pub(crate) use serving::Serving;

use args::Command;

/// Runs what the command line asks for.
///
/// # Errors
/// What went wrong, with the client it went wrong with.
pub fn run(args: Args) -> Result<(), Error> {
    if let Some(Command::Client(client)) = args.command {
        return clients::run(&client);
    }
    let options = args.run;
    let setup = orchestrate::Setup::new(&options)?;
    if options.instructions {
        let counts = instructions::count(&setup)?;
        instructions::print(&counts, &setup, options.json);
    } else {
        let runs = orchestrate::run_all(&setup, options.runs)?;
        report::print(&report::summarize(&setup.clients, &runs), &setup, options.runs, options.json);
    }
    Ok(())
}
