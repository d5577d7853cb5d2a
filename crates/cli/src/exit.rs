//! How the program ends: 0 when all is well, 64 for wrong usage, 1 for everything that went wrong afterwards. A failure
//! is one message on standard error that says what to do.

use std::fmt;
use std::process::ExitCode;

use crate::paint::Paint;
use crate::terminal;

const FAILED: u8 = 1;
const USAGE: u8 = 64;

/// Why a command could not do what it was asked to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The arguments cannot be right.
    Usage(String),
    /// It went wrong while running.
    Run(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Run(text) => f.write_str(text),
        }
    }
}

/// How a command ended that did run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Good,
    /// It has said what is not.
    Bad,
}

/// The exit code of a command's result. Prints a failure; an outcome has already been told.
pub(crate) fn of(result: Result<Outcome, Failure>) -> ExitCode {
    match result {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(FAILED),
        Err(failure) => {
            terminal::tell(&format!("{} {failure}", Paint::stderr().bad("error:")));
            ExitCode::from(match failure {
                Failure::Usage(_) => USAGE,
                Failure::Run(_) => FAILED,
            })
        }
    }
}

/// The exit code of what the parser answers instead of arguments: help and version are no failures.
pub(crate) fn of_parsing(answer: &clap::Error) -> ExitCode {
    // A closed terminal is no reason to fail once more.
    let _ = answer.print();
    if answer.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}
