//! What every event of a benchmark carries in front of its padding: who sent it as its how-manieth, and when it was due.

/// First bytes, which no other payload is likely to have.
const MAGIC: u32 = 0x746D_6231;
/// Bytes of a stamp; no payload is smaller.
pub(crate) const BYTES: usize = 32;

/// See the module's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    /// Number of the key within the run.
    pub(crate) key: u32,
    /// The publisher sent it on an earlier connection too, and cannot know whether it arrived.
    pub(crate) resent: bool,
    /// Counts the events of this publisher from 0.
    pub(crate) seq: u64,
    /// When it was to be sent, on the clock of the machine.
    pub(crate) due_ns: u64,
}

impl Stamp {
    pub(crate) fn bytes(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[0..4].copy_from_slice(&MAGIC.to_be_bytes());
        out[4..8].copy_from_slice(&self.publisher.to_be_bytes());
        out[8..12].copy_from_slice(&self.key.to_be_bytes());
        out[12] = u8::from(self.resent);
        out[16..24].copy_from_slice(&self.seq.to_be_bytes());
        out[24..32].copy_from_slice(&self.due_ns.to_be_bytes());
        out
    }

    /// The stamp at the start of a payload; `None` when that is no event of a benchmark.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_be_bytes(payload.get(at..at + 8)?.try_into().ok()?));
        (word(0)? == MAGIC).then_some(())?;
        let resent = *payload.get(12)? != 0;
        Some(Self { publisher: word(4)?, key: word(8)?, resent, seq: long(16)?, due_ns: long(24)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_is_read_as_it_was_written(publisher: u32, key: u32, resent: bool, seq: u64, due_ns: u64, more: Vec<u8>) {
            let stamp = Stamp { publisher, key, resent, seq, due_ns };
            let payload = [&stamp.bytes()[..], &more].concat();
            prop_assert_eq!(Stamp::read(&payload), Some(stamp));
            prop_assert_eq!(Stamp::read(&payload[..BYTES - 1]), None);
        }
    }
}
