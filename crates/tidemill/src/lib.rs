#![doc = include_str!("../../../README.md")]

pub use tidemill_core::*;
pub use tidemill_runtime::*;

/// Where records go.
pub mod sinks {
    pub use tidemill_sinks::*;
}
