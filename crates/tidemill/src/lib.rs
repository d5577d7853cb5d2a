//! The one crate that users add: core, runtime and sinks under one roof. It owns no code, only names and features.
#![doc = include_str!("../../../README.md")]

pub use tidemill_core::*;
pub use tidemill_runtime::*;

/// IBM Watson IoT Platform and Maximo IoT: the dialect, and workers that speak it.
#[cfg(feature = "platform")]
pub mod platform {
    pub use tidemill_core::platform::*;
    pub use tidemill_runtime::platform::*;
}

/// Where records go.
pub mod sinks {
    pub use tidemill_runtime::{MqttSink as Mqtt, MqttSinkConfig};
    pub use tidemill_sinks::*;
}
