//! Which devices are connected, kept from their monitoring messages.
//!
//! The rules are those of the applications page, section "Maintaining connection status using monitoring messages":
//! retained messages at subscribe give the state to start from, a device without one is unknown, a connect makes it
//! connected, and a disconnect disconnected, *unless* it says that the client ID was reused (288): then a newer
//! connection exists and the device is still connected. Two things are added, because monitoring comes at QoS 0 from
//! several servers: what is older than the latest known message changes nothing, and neither does the end of an older
//! connection than the known one.
//!
//! A pure state machine: no clock, no I/O. Memory is bounded by a capacity; what is evicted becomes unknown.
//!
//! Subscribe as `a:org:app`. Members of `A:org:app` each see a part of the messages, and `A:org:app:instance` gets no
//! retained ones.

mod order;
mod status;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::SystemTime;

use order::Order;
pub use status::{Change, Connection, DeviceKey, Status};

use super::monitoring::{Action, CloseCode, MonitorMessage};

/// Which device is forgotten when there are more than the capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// A disconnected one if there is any, among equals the one that has been silent for longest. Keeps what is alive.
    #[default]
    DisconnectedFirst,
    /// The one that has been silent for longest.
    LongestSilent,
}

/// What a message did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The change of the device that the message was about; `None` when its state stays.
    pub change: Option<Change>,
    /// The device that was forgotten to make room: it is unknown now.
    pub evicted: Option<Change>,
    /// Whether the message was older than what is known, and so was left aside.
    pub outdated: bool,
}

/// The connection states of devices.
#[derive(Debug)]
pub struct Tracker {
    capacity: NonZeroUsize,
    eviction: Eviction,
    devices: HashMap<DeviceKey, Entry>,
    order: Order,
    connected: usize,
    /// Entries of an older round were not heard of since the last [`Tracker::resync`].
    round: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    status: Status,
    /// Where it stands in the order of eviction.
    turn: u64,
    round: u64,
}

impl Tracker {
    /// A tracker of at most `capacity` devices.
    #[must_use]
    pub fn new(capacity: NonZeroUsize, eviction: Eviction) -> Self {
        Self { capacity, eviction, devices: HashMap::new(), order: Order::default(), connected: 0, round: 0 }
    }

    /// Applies a monitoring message of a device that arrived at `arrived`.
    ///
    /// Retained messages are applied like others. A message without a time counts as sent when it arrived, and none
    /// counts as sent later than that, so a wrong clock cannot hide what comes after.
    pub fn apply(&mut self, device: &DeviceKey, message: &MonitorMessage, arrived: SystemTime) -> Applied {
        let now = match message.action {
            Action::Connect => Connection::Connected,
            Action::Disconnect if message.close_code() == CloseCode::ClientIdReused => Connection::Connected,
            Action::Disconnect => Connection::Disconnected,
            // A failed attempt says nothing about a connection that may exist, and the others are no states.
            _ => return Applied::default(),
        };
        let sent = message.time.map_or(arrived, |time| time.min(arrived));
        let before = self.devices.get(device).map(|entry| &entry.status);
        if before.is_some_and(|status| is_outdated(status, message, sent)) {
            self.confirm(device);
            return Applied { outdated: true, ..Applied::default() };
        }
        let from = before.map_or(Connection::Unknown, |status| status.connection);
        let status = next_status(before, message, now, sent);
        let change = (from != now).then(|| Change { device: device.clone(), from, to: now, at: sent });
        let evicted = if before.is_none() { self.make_room(arrived) } else { None };
        self.put(device, status);
        Applied { change, evicted, outdated: false }
    }

    /// The state of a device.
    #[must_use]
    pub fn connection(&self, device: &DeviceKey) -> Connection {
        self.status(device).map_or(Connection::Unknown, |status| status.connection)
    }

    /// All that is known about a device; `None` when it is unknown.
    #[must_use]
    pub fn status(&self, device: &DeviceKey) -> Option<&Status> {
        self.devices.get(device).map(|entry| &entry.status)
    }

    /// All devices that are known, in no order.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceKey, &Status)> {
        self.devices.iter().map(|(device, entry)| (device, &entry.status))
    }

    /// How many devices are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether no device is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// How many devices are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.connected
    }

    /// Starts a new round after the own connection was lost: messages may have been missed. Subscribe again, apply the
    /// retained messages that come, then call [`forget_unconfirmed`](Self::forget_unconfirmed).
    pub fn resync(&mut self) {
        self.round += 1;
    }

    /// Ends a round: devices that no message came for since [`resync`](Self::resync) are unknown, as at a first
    /// subscribe. Returns their changes, at the time `now`.
    pub fn forget_unconfirmed(&mut self, now: SystemTime) -> Vec<Change> {
        let round = self.round;
        let silent: Vec<DeviceKey> =
            self.devices.iter().filter(|(_, entry)| entry.round < round).map(|(device, _)| device.clone()).collect();
        silent.iter().filter_map(|device| self.forget(device, now)).collect()
    }

    /// Forgets a device, e.g. because it was deleted: it is unknown at the time `now`.
    pub fn forget(&mut self, device: &DeviceKey, now: SystemTime) -> Option<Change> {
        let entry = self.devices.remove(device)?;
        self.order.remove(self.rank(entry.status.connection), entry.turn);
        let from = entry.status.connection;
        self.connected -= usize::from(from == Connection::Connected);
        Some(Change { device: device.clone(), from, to: Connection::Unknown, at: now })
    }

    fn make_room(&mut self, now: SystemTime) -> Option<Change> {
        if self.devices.len() < self.capacity.get() {
            return None;
        }
        let device = self.order.first()?.clone();
        self.forget(&device, now)
    }

    fn confirm(&mut self, device: &DeviceKey) {
        if let Some(entry) = self.devices.get_mut(device) {
            entry.round = self.round;
        }
    }

    fn put(&mut self, device: &DeviceKey, status: Status) {
        let connection = status.connection;
        let turn = self.order.push(self.rank(connection), device);
        self.connected += usize::from(connection == Connection::Connected);
        if let Some(old) = self.devices.insert(device.clone(), Entry { status, turn, round: self.round }) {
            self.order.remove(self.rank(old.status.connection), old.turn);
            self.connected -= usize::from(old.status.connection == Connection::Connected);
        }
    }

    /// Lower ranks are evicted first.
    fn rank(&self, connection: Connection) -> u8 {
        match self.eviction {
            Eviction::DisconnectedFirst => u8::from(connection == Connection::Connected),
            Eviction::LongestSilent => 0,
        }
    }
}

/// Whether a message tells less than what is known: it was sent earlier, or it ends an older connection.
fn is_outdated(known: &Status, message: &MonitorMessage, sent: SystemTime) -> bool {
    let older_connection = match (message.connect_time, known.connect_time) {
        (Some(ended), Some(current)) => message.action == Action::Disconnect && ended < current,
        // A connect need not say when it began, and its own time is a little later than that: no comparison.
        _ => false,
    };
    sent < known.last_message || older_connection
}

fn next_status(before: Option<&Status>, message: &MonitorMessage, now: Connection, sent: SystemTime) -> Status {
    let since = before.filter(|status| status.connection == now).map_or(sent, |status| status.since);
    let reused = message.action == Action::Disconnect && now == Connection::Connected;
    Status {
        connection: now,
        since,
        last_message: sent,
        // A reuse ends the connection that it names; when the newer one began it does not say.
        connect_time: if reused {
            before.and_then(|status| status.connect_time).filter(|time| Some(*time) > message.connect_time)
        } else {
            message.connect_time
        },
        close_code: (message.action == Action::Disconnect).then(|| message.close_code()),
    }
}
