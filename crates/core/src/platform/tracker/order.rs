//! The order in which devices are evicted: by rank, then by the turn of their latest message. Each operation takes
//! logarithmic time.

use std::collections::BTreeMap;

use super::DeviceKey;

#[derive(Debug, Default)]
pub(super) struct Order {
    /// Turns are never used twice, so a key names one device.
    queue: BTreeMap<(u8, u64), DeviceKey>,
    next: u64,
}

impl Order {
    /// Puts a device last in its rank and returns its turn.
    pub(super) fn push(&mut self, rank: u8, device: &DeviceKey) -> u64 {
        let turn = self.next;
        self.next += 1;
        self.queue.insert((rank, turn), device.clone());
        turn
    }

    pub(super) fn remove(&mut self, rank: u8, turn: u64) {
        self.queue.remove(&(rank, turn));
    }

    /// The device to evict next.
    pub(super) fn first(&self) -> Option<&DeviceKey> {
        self.queue.first_key_value().map(|(_, device)| device)
    }
}

#[cfg(test)]
impl Order {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
