//! The `tidemill` program. Every command is a module of its own; this file only picks one.

mod args;
mod bench;
mod check;
mod client;
mod connect;
mod dead;
mod demo;
mod doctor;
mod exit;
mod figures;
mod group;
mod health;
mod logs;
mod names;
mod number;
mod paint;
mod scene;
mod terminal;

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
        // It has an exit code of its own for a configuration that cannot be used.
        Command::Check(args) => return check::run(&args),
        Command::Dead(args) => dead::run(&args),
        Command::Group(args) => group::run(&args),
        Command::Demo(args) => demo::run(&args),
        // It has an exit code of its own for a broker that cannot be used.
        Command::Doctor(args) => return doctor::run(&args),
        Command::Health(args) => health::run(&args),
    };
    exit::of(result)
}
