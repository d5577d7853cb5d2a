//! Logs of the program: text on standard error, beside whatever a command draws there. A line never ends up in the
//! middle of a progress bar: the bars are taken away while it is written.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::exit::Failure;

/// A filter as `--log` takes it.
#[derive(Debug)]
pub(crate) struct Filter(EnvFilter);

impl Filter {
    /// # Errors
    /// The text is no filter.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("--log {text:?}: {error}"));
        tidemill::telemetry::check_filter(text).map_err(|error| wrong(&error))?;
        EnvFilter::try_new(text).map(Self).map_err(|error| wrong(&error))
    }
}

/// Sends logs to standard error, around `bars`. To be called once.
///
/// # Errors
/// The process already has a log subscriber.
pub(crate) fn start(filter: Filter, bars: &MultiProgress) -> Result<(), Failure> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter.0)
        .with_ansi(colours)
        .with_writer(Around(bars.clone()))
        .try_init()
        .map_err(|error| Failure::Run(format!("logs cannot be set up: {error}")))
}

/// Writes to standard error while the bars are away.
#[derive(Clone)]
struct Around(MultiProgress);

impl Write for Around {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Around {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
