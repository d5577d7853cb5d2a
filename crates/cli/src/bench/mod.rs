//! `tidemill bench`: what a worker and a broker can do, and how many instances a load needs.
//!
//! ```text
//! this process ──┬── publishers (open loop, one thread) ──> broker ──> worker: N instances ──> handler
//!                │        what was sent                                        what was seen
//!                └──────────────── figures of both, and of the broker's process ──> result
//! ```
//!
//! Publishers, worker and embedded broker are processes of their own: CPU time and memory of each are known apart, and
//! each can be killed. Events carry a number and the time that they were due at, so loss, repetition, order and latency
//! are told from every single event.

mod args;
mod bound;
mod broker;
mod clock;
mod compare;
mod histogram;
mod html;
mod load;
mod output;
mod process;
mod range;
mod rebalance;
mod run;
mod scenario;
mod schedule;
mod stage;
mod stamp;
mod sweep;
mod template;
mod terminal;
mod usage;
mod venue;
mod work;
mod worker;

use clap::{Args, Subcommand};
use tidemill::shutdown_signal;
use tokio_util::sync::CancellationToken;

use crate::exit::{Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  Flat out on the embedded broker
    tidemill bench run
  A steady load, with latencies that mean something
    tidemill bench run --rate 20K --instances 4 --work 5ms
    tidemill bench run --scenario sharedsub-4-8-20K-20K --html report.html
  How many instances does this work need
    tidemill bench sweep --work 5ms --instances 1..16 --window 16,64,256
  What joining, leaving and crashing cost
    tidemill bench rebalance --broker mosquitto
  A difference, or only noise
    tidemill bench run --broker mqtt://127.0.0.1:1883 --json >> before.json
    tidemill bench compare before.json after.json

Exit codes:
  0   measured, and nothing was lost
  1   events were lost, or the measurement failed
  64  wrong usage";

/// Arguments of `tidemill bench`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures once: throughput, latency, shares, loss, CPU time and memory.
    Run(Box<run::RunArgs>),
    /// Measures with several numbers of instances and windows, and recommends one of each.
    Sweep(Box<sweep::SweepArgs>),
    /// Measures what a change of the group costs: joining, leaving, kill -9, a broker's restart.
    Rebalance(Box<rebalance::RebalanceArgs>),
    /// Tells whether two results differ, or only fluctuate.
    Compare(compare::CompareArgs),
    /// One of the processes of a benchmark.
    #[command(hide = true)]
    Child,
}

/// Runs a benchmark.
///
/// # Errors
/// Wrong arguments, or a measurement that could not be made.
pub(crate) fn run(args: &BenchArgs) -> Result<Outcome, Failure> {
    match &args.command {
        Command::Run(args) => block_on(|stop| run::run(args, stop)),
        Command::Sweep(args) => block_on(|stop| sweep::run(args, stop)),
        Command::Rebalance(args) => block_on(|stop| rebalance::run(args, stop)),
        Command::Compare(args) => compare::run(args),
        Command::Child => process::child::run(),
    }
}

/// This process only watches its children, so one thread is enough and takes least from what is measured.
///
/// The first signal cancels the token, the second ends it at once.
fn block_on<F>(work: impl FnOnce(CancellationToken) -> F) -> Result<Outcome, Failure>
where
    F: Future<Output = Result<Outcome, Failure>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Run(format!("no threads to run on: {error}")))?.block_on(async {
        let stop = CancellationToken::new();
        let twice = async {
            shutdown_signal().await;
            stop.cancel();
            shutdown_signal().await;
        };
        tokio::select! {
            // First, so that it listens before anything is started.
            biased;
            () = twice => Err(Failure::Run("stopped at once; nothing was accounted for".to_owned())),
            result = work(stop.clone()) => result,
        }
    })
}

/// What comes of it, unless somebody asks to stop first.
async fn or_stopped<T>(stop: &CancellationToken, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        result = work => result,
        () = stop.cancelled() => Err(Failure::Run("stopped; nothing was accounted for".to_owned())),
    }
}
