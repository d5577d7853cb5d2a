//! `cargo xtask`: the tasks of this repository, in Rust, so that they run alike on every machine.
//!
//! To add a command: write a module with `Args` and `run`, add a variant to [`Task`] and an arm to [`run`]. A command
//! gets the [`Checkout`] it works on and answers with an exit code; only what stops it altogether is a [`Failure`].

mod bench_gate;
mod bench_report;
mod chart;
mod checkout;
mod counts;
mod failure;
mod image;
mod install;
mod process;
mod repo_checks;
mod report;
mod steps;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use checkout::Checkout;
use failure::Failure;

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                             everything, as continuous integration runs it
  cargo xtask test --fast                      while you work: what breaks most often
  cargo xtask test --only clippy --only repo   these steps alone
  cargo xtask test --no-install                without touching the system's packages
  cargo xtask chart --update                   the README of the chart, after a change of its values
  cargo xtask bench-gate                       instructions and allocations per event against the baseline
  cargo xtask bench-report --only feed,demo    measures anew, and writes the figures into docs/benchmarks.md
  cargo xtask image --bin example-01-hello     an OCI image of a worker";

#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Tasks of this repository", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Install what the checks need, run every check, and sum up
    Test(test::Args),
    /// Check the chart for Kubernetes, or write its README
    Chart(chart::Args),
    /// Compare what an event costs with the committed baseline, under valgrind
    BenchGate(bench_gate::Args),
    /// Run every benchmark, and write the figures into the documents
    BenchReport(bench_report::Args),
    /// Build an OCI image of a worker, without a container engine
    Image(image::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {}", failure.chain());
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode, Failure> {
    let checkout = Checkout::here()?;
    match task {
        Task::Test(args) => test::run(&checkout, &args),
        Task::Chart(args) => chart::run(&checkout, &args),
        Task::BenchGate(args) => bench_gate::run(&checkout, &args),
        Task::BenchReport(args) => bench_report::run(&checkout, &args),
        Task::Image(args) => image::run(&checkout, &args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_in_the_help_parses() {
        for line in EXAMPLES.lines().filter(|line| line.contains("cargo xtask")) {
            // Two spaces or more separate the command from its explanation.
            let command = line.trim_start().split("  ").next().unwrap();
            let words = command.strip_prefix("cargo ").unwrap().split(' ');
            assert!(Cli::try_parse_from(words).is_ok(), "does not parse: {command}");
        }
    }
}
