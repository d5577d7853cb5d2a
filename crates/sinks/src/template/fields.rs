//! The payload as JSON. Invariant: it is parsed at most once per record, however many fields are asked for.

use std::sync::OnceLock;

use serde_json::Value;
use tidemill_core::Record;

/// A record whose payload is read as JSON when a field is first asked for.
#[derive(Debug)]
pub struct Fields<'r> {
    record: &'r Record,
    /// `None` inside when the payload is no JSON.
    payload: OnceLock<Option<Value>>,
}

impl<'r> Fields<'r> {
    /// A view of this record. Parses nothing yet.
    #[must_use]
    pub fn new(record: &'r Record) -> Self {
        Self { record, payload: OnceLock::new() }
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &'r Record {
        self.record
    }

    /// The payload as JSON; `None` when it is none.
    #[must_use]
    pub fn payload(&self) -> Option<&Value> {
        self.payload.get_or_init(|| serde_json::from_slice(&self.record.payload).ok()).as_ref()
    }

    /// The value at this JSON pointer (RFC 6901; the empty pointer is the whole payload). The outer `None` says that the
    /// payload is not JSON, the inner one that it has no such value.
    #[must_use]
    pub fn get(&self, pointer: &str) -> Option<Option<&Value>> {
        self.payload().map(|payload| payload.pointer(pointer))
    }
}
