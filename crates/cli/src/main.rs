//! The `tidemill` program. Every command is a module of its own; this file only picks one.

mod args;
mod demo;
mod exit;
mod logs;
mod paint;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return exit::of_parsing(&answer),
    };
    let result = match cli.command {
        Command::Demo(args) => demo::run(&args),
    };
    exit::of(result)
}
