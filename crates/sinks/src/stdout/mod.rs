//! Records as lines on standard output, for pipes, containers whose logs are collected, and first steps.

mod config;
#[cfg(test)]
mod conformance;
mod sink;
#[cfg(test)]
mod tests;

pub use config::StdoutConfig;
pub use sink::Stdout;
