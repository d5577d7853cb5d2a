//! Bytes as hexadecimal digits, and the key of a batch.

use std::fmt::Write;

/// Two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        _ = write!(text, "{byte:02x}");
    }
    text
}

/// What tells a batch that comes again: a hash of its records' idempotency keys, in their order.
#[cfg(any(feature = "clickhouse", feature = "http"))]
pub(crate) struct BatchKey(Option<ring::digest::Context>);

#[cfg(any(feature = "clickhouse", feature = "http"))]
impl BatchKey {
    pub(crate) fn new() -> Self {
        Self(Some(ring::digest::Context::new(&ring::digest::SHA256)))
    }

    /// Takes one more record in.
    pub(crate) fn add(&mut self, record: &tidemill_core::Record) {
        match (&mut self.0, &record.idempotency_key) {
            (Some(keys), Some(key)) => {
                // With its length, so that no two lists of keys are the same bytes.
                keys.update(&(key.len() as u64).to_be_bytes());
                keys.update(key.as_bytes());
            }
            (keys, _) => *keys = None,
        }
    }

    /// `None` when a record has no key: then nobody knows whether it came before.
    pub(crate) fn finish(self) -> Option<String> {
        self.0.map(|keys| hex(keys.finish().as_ref()))
    }
}
