//! Monitoring messages: who connected, who disconnected and why.
//!
//! Nothing that arrives is lost: fields that are not known, and known ones with a value of an unexpected type, are kept
//! as they came.

mod close_code;
mod message;
#[cfg(test)]
mod tests;
mod time;

pub use close_code::{CloseCode, Retry};
pub use message::{Action, MonitorError, MonitorMessage, Protocol};
