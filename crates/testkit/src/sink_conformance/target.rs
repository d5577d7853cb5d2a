//! What the tests of a sink provide.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tidemill_core::{Record, Sink};

use crate::fault::FaultProxy;

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The record's payload, byte by byte. A target that stores columns puts it together again.
    pub payload: Bytes,
    /// The record's key, where the target keeps it.
    pub key: Option<Bytes>,
}

impl Seen {
    /// A payload whose key is not known.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), key: None }
    }

    /// Sets the key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// Which payloads a sink takes as it is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payloads {
    /// Any bytes, which come back as they were.
    #[default]
    Any,
    /// Some, for reasons of its own: each comes back as it was, or is refused.
    Selected,
    /// Any text; other bytes are refused.
    Text,
    /// JSON; everything else is refused.
    Json,
}

/// What a target can do. Everything by default; say what it cannot.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`Target::outage`] makes the server go away, and what was written survives it.
    pub outage: bool,
    /// `open` speaks to the server. Otherwise the first write is what fails.
    pub open_connects: bool,
    /// Which payloads come back.
    pub payloads: Payloads,
    /// How many records the big batch has.
    pub big_batch: u32,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { outage: true, open_connects: true, payloads: Payloads::Any, big_batch: 5000 }
    }
}

impl Capabilities {
    /// For a target whose server cannot be made to go away.
    #[must_use]
    pub fn no_outage(mut self) -> Self {
        self.outage = false;
        self
    }

    /// For a sink that does not speak to the server until it writes.
    #[must_use]
    pub fn opens_without_connecting(mut self) -> Self {
        self.open_connects = false;
        self
    }

    /// Sets which payloads come back.
    #[must_use]
    pub fn payloads(mut self, payloads: Payloads) -> Self {
        self.payloads = payloads;
        self
    }

    /// Sets how many records the big batch has.
    #[must_use]
    pub fn big_batch(mut self, records: u32) -> Self {
        self.big_batch = records;
        self
    }
}

/// A sink that is set up wrongly, and how it should say so.
#[derive(Clone)]
pub struct Misconfigured {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// What its error must say.
    pub says: &'static str,
    /// What its error must not say: the password it was given, for one.
    pub hides: Option<&'static str>,
}

impl Misconfigured {
    /// A sink whose error must say this.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, says: &'static str) -> Self {
        Self { sink, says, hides: None }
    }

    /// Sets what its error must not say.
    #[must_use]
    pub fn hides(mut self, secret: &'static str) -> Self {
        self.hides = Some(secret);
        self
    }
}

impl std::fmt::Debug for Misconfigured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Misconfigured").field("says", &self.says).finish_non_exhaustive()
    }
}

/// A sink's real server, empty at first, with what the cases need to know and do. Each test has one of its own; they may
/// share a server when each has its own table, topic or prefix there.
#[async_trait]
pub trait Target: Send + Sync {
    /// A new sink on it, as after a restart of the worker; by way of [`proxy`](Self::proxy) if there is one. Its timeouts
    /// should be short: at most some seconds.
    fn sink(&self) -> Arc<dyn Sink>;

    /// All that is in the target, earliest first where it knows an order.
    async fn read_all(&self) -> Vec<Seen>;

    /// What it can do.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Makes the server go away, as by killing it. What was confirmed must survive that.
    async fn outage(&self) {}

    /// Makes it come back.
    async fn recover(&self) {}

    /// What the sinks connect through, where they speak TCP: then their connections are cut at the worst moments.
    fn proxy(&self) -> Option<&FaultProxy> {
        None
    }

    /// A record that the target takes. Records with the same number are the same record.
    fn record(&self, number: u32, key: u32) -> Record {
        Record::new(format!(r#"{{"number":{number},"key":{key}}}"#))
            .with_content_type("application/json")
            .with_key(format!("key-{key}"))
            .with_idempotency_key(format!("id-{number}"))
    }

    /// A record that is refused for what it is.
    fn bad_record(&self) -> Option<Record> {
        None
    }

    /// A record that is refused for its length.
    fn oversize_record(&self) -> Option<Record> {
        None
    }

    /// Sinks on this target that are set up wrongly: a wrong password, a missing table.
    fn misconfigured(&self) -> Vec<Misconfigured> {
        Vec::new()
    }
}
