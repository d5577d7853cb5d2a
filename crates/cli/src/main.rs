//! The `tidemill` program. Every command is a module of its own; this file only picks one.

mod args;
mod bench;
mod dead;
mod demo;
mod doctor;
mod exit;
mod figures;
mod logs;
mod names;
mod paint;
mod scene;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return exit::of_parsing(&answer),
    };
    let result = match cli.command {
        Command::Bench(args) => bench::run(&args),
        Command::Dead(args) => dead::run(&args),
        Command::Demo(args) => demo::run(&args),
        // It has an exit code of its own for a broker that cannot be used.
        Command::Doctor(args) => return doctor::run(&args),
    };
    exit::of(result)
}
