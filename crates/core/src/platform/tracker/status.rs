//! What is known about one device, and how it changes.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::platform::Name;

/// A device, as its monitoring topic names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    /// Its type.
    pub device_type: Name,
    /// Its ID.
    pub device: Name,
}

/// `type/id`.
impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device_type, self.device)
    }
}

/// Whether a device is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Connection {
    /// No message tells: the device never connected, its retained message expired (after 8 days by the proxy, 45 by the
    /// server), or it was evicted.
    #[default]
    Unknown,
    /// It is.
    Connected,
    /// It is not.
    Disconnected,
}

/// What is known about a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether it is connected.
    pub connection: Connection,
    /// Since when, as far as the messages tell.
    pub since: SystemTime,
    /// When the latest message was sent that the state rests on.
    pub last_message: SystemTime,
    /// When the connection began that the latest message is about, if it said so.
    pub connect_time: Option<SystemTime>,
    /// Why the last connection ended, when the latest message was a disconnect. 288 stands beside a connected device.
    pub close_code: Option<crate::platform::CloseCode>,
}

impl Status {
    /// How long the device has been in its state; zero when `now` is earlier.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.since).unwrap_or_default()
    }

    /// How old the latest message is; zero when `now` is earlier.
    #[must_use]
    pub fn silence(&self, now: SystemTime) -> Duration {
        now.duration_since(self.last_message).unwrap_or_default()
    }
}

/// A device changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Which.
    pub device: DeviceKey,
    /// The state before.
    pub from: Connection,
    /// The state now; never equal to the one before.
    pub to: Connection,
    /// When: the time of the message, or of forgetting.
    pub at: SystemTime,
}
