//! Packet ids and acknowledgements: what may be sent, and whether PUBACKs come in the order of the PUBLISHes.

use std::fmt;

/// The packet ids of a stream: 1 to 65535, over and over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PacketIds(u16);

impl PacketIds {
    pub(super) fn next(&mut self) -> u16 {
        self.0 = if self.0 == u16::MAX { 1 } else { self.0 + 1 };
        self.0
    }
}

/// A PUBACK that breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckViolation {
    /// It came out of order, or twice.
    Order {
        /// How many PUBACKs came before it.
        position: u64,
        /// The packet id that was due.
        expected: u16,
        /// The packet id that came.
        got: u16,
    },
    /// Nothing was waiting for one.
    Unexpected {
        /// The packet id that came.
        got: u16,
    },
}

impl fmt::Display for AckViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { position, expected, got } => {
                write!(f, "PUBACK {got} came out of order: after {position} PUBACKs, {expected} was due")
            }
            Self::Unexpected { got } => write!(f, "PUBACK {got} came although every event was acknowledged"),
        }
    }
}

impl std::error::Error for AckViolation {}

/// Events sent and acknowledged; never lets more than the window be unacknowledged.
#[derive(Debug)]
pub(super) struct Ledger {
    /// `None` at QoS 0: nothing bounds the sender.
    window: Option<u64>,
    sent: u64,
    acked: u64,
    due: PacketIds,
}

impl Ledger {
    pub(super) fn new(window: Option<u16>) -> Self {
        Self { window: window.map(u64::from), sent: 0, acked: 0, due: PacketIds::default() }
    }

    /// How many more events may be sent now.
    pub(super) fn room(&self) -> u64 {
        self.window.map_or(u64::MAX, |window| window.saturating_sub(self.sent - self.acked))
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Whether nothing that was sent waits for its PUBACK.
    pub(super) fn is_settled(&self) -> bool {
        self.window.is_none() || self.sent == self.acked
    }

    pub(super) fn record_sent(&mut self, count: u64) {
        self.sent += count;
    }

    pub(super) fn acknowledge(&mut self, got: u16) -> Result<(), AckViolation> {
        if self.is_settled() {
            return Err(AckViolation::Unexpected { got });
        }
        let expected = self.due.next();
        if got != expected {
            return Err(AckViolation::Order { position: self.acked, expected, got });
        }
        self.acked += 1;
        Ok(())
    }

    /// Takes the PUBACKs of the short form (success, no properties) that `bytes` begins with; says how many bytes they
    /// were. Stops before anything else.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, AckViolation> {
        let mut taken = 0;
        for packet in bytes.chunks_exact(4) {
            let [0x40, 2, high, low] = *packet else { break };
            self.acknowledge(u16::from_be_bytes([high, low]))?;
            taken += 4;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn puback(id: u16) -> [u8; 4] {
        let [high, low] = id.to_be_bytes();
        [0x40, 2, high, low]
    }

    #[test]
    fn ids_skip_zero_when_they_wrap() {
        let mut ids = PacketIds::default();
        let all: Vec<u16> = (0..65_537).map(|_| ids.next()).collect();
        assert_eq!((all[0], all[65_534], all[65_535], all[65_536]), (1, 65_535, 1, 2));
    }

    #[test]
    fn order_is_kept_across_the_wrap() {
        let mut ledger = Ledger::new(Some(65_535));
        let mut ids = PacketIds::default();
        for _ in 0..200_000 {
            ledger.record_sent(1);
            assert_eq!(ledger.take(&puback(ids.next())), Ok(4));
        }
        assert!(ledger.is_settled());
    }

    #[test]
    fn a_swapped_pair_is_seen() {
        let mut ledger = Ledger::new(Some(10));
        ledger.record_sent(3);
        let bytes = [puback(1), puback(3), puback(2)].concat();
        assert_eq!(ledger.take(&bytes), Err(AckViolation::Order { position: 1, expected: 2, got: 3 }));
    }

    #[test]
    fn an_ack_of_nothing_is_seen() {
        let mut ledger = Ledger::new(Some(10));
        ledger.record_sent(1);
        assert_eq!(ledger.take(&[puback(1), puback(2)].concat()), Err(AckViolation::Unexpected { got: 2 }));
        assert_eq!(Ledger::new(None).acknowledge(1), Err(AckViolation::Unexpected { got: 1 }));
    }

    #[test]
    fn a_partial_packet_is_left_for_later() {
        let mut ledger = Ledger::new(Some(10));
        ledger.record_sent(2);
        let bytes = [puback(1), puback(2)].concat();
        assert_eq!(ledger.take(&bytes[..6]), Ok(4));
        assert_eq!((ledger.acked(), ledger.room()), (1, 9));
    }
}
