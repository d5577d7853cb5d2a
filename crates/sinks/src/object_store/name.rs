//! What an object is called: the same for the same records, so that a repeated write overwrites instead of adding.
//!
//! Invariant: batches that differ in what they hold have different names. So a record's content counts beside its
//! idempotency key: two versions of a handler, and two sinks whose keys the handler gives, share keys and must not replace
//! each other's objects.

use std::time::UNIX_EPOCH;

use ring::digest::{Context, SHA256};
use tidemill_core::Record;

use crate::digest::hex;

/// A hash over the records of an object, in their order.
pub(super) struct Name(Context);

impl Name {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Takes one more record in. Its time counts where it has no idempotency key: what is equal in all else may be two
    /// readings, and the time of arrival tells them apart. With a key it would make a redelivered record another one.
    pub(super) fn add(&mut self, record: &Record) {
        match &record.idempotency_key {
            Some(key) => self.field(b'i', key.as_bytes()),
            None => {
                let since = record.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
                self.field(b't', &since.as_nanos().to_be_bytes());
            }
        }
        self.field(b'p', &record.payload);
        if let Some(topic) = &record.topic {
            self.field(b'o', topic.as_str().as_bytes());
        }
        if let Some(key) = &record.key {
            self.field(b'k', key);
        }
        if let Some(content_type) = &record.content_type {
            self.field(b'c', content_type.as_bytes());
        }
        for (name, value) in &record.headers {
            self.field(b'n', name.as_bytes());
            self.field(b'v', value.as_bytes());
        }
    }

    /// With its length, so that no two lists of fields look alike.
    fn field(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update(&[kind]);
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// 32 hexadecimal digits.
    pub(super) fn finish(self) -> String {
        hex(&self.0.finish().as_ref()[..16])
    }
}
