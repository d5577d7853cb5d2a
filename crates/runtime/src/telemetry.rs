//! Logs: text with colours on a terminal, JSON elsewhere. Programs call this once; the library itself never does.

use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// The logs could not be set up.
#[derive(Debug)]
pub struct TelemetryError(String);

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TelemetryError {}

/// Whether a text is a filter of logs: a level, or directives that each name one. A directive that ends at its `=` is none:
/// it would let everything of its target through.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    const FIX: &str = "write a level such as `info`, or directives such as `info,tidemill_runtime=debug`";
    if let Some(open) = filter.split(',').map(str::trim).find(|directive| directive.ends_with('=')) {
        return Err(TelemetryError(format!("{open:?} names no level; {FIX}")));
    }
    EnvFilter::try_new(filter).map_err(|error| TelemetryError(format!("{error}; {FIX}")))
}

/// Sends logs to standard error as the configuration says.
///
/// # Errors
/// `log.filter` cannot be parsed, or the process already has a subscriber.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = parse(&config.filter).map_err(|TelemetryError(why)| TelemetryError(format!("log.filter: {why}")))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let result = if json { builder.json().try_init() } else { builder.with_ansi(colours).try_init() };
    result.map_err(|error| TelemetryError(format!("the process already has a log subscriber: {error}")))
}
