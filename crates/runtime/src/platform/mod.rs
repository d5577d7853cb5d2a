//! Workers on IBM Watson IoT Platform, Maximo IoT and what speaks their dialect: who the worker is, what its routes may
//! be, what it may publish, and which devices are connected.
//!
//! The rules themselves are those of [`tidemill_core::platform`]; here they meet the configuration. A worker becomes a
//! member of the platform by `identity.mode = "platform"` and the section `[platform]`.

mod guard;
mod membership;
mod routes;
mod routing;
mod settings;
mod tracking;

pub(crate) use guard::Guard;
pub(crate) use membership::{Membership, rules};
pub(crate) use routes::{check_dead_letters, check_routes};
pub use routing::PlatformRoutes;
pub use tracking::{DeviceTracker, TrackedDevice, TrackerSettings, TrackerStatus};
