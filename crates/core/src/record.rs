//! Records: what goes into a sink.

use std::time::SystemTime;

use bytes::Bytes;

use crate::topic::TopicName;
use crate::{BoxError, Captures, Publication};

/// One unit of output. What a handler emits becomes a record; sinks write batches of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// What to write.
    pub payload: Bytes,
    /// What order is kept by; the runtime fills in the event's key when it is `None`.
    pub key: Option<Bytes>,
    /// Topic of the event it came from; the runtime fills it in.
    pub topic: Option<TopicName>,
    /// What the route captured from that topic; the runtime fills it in. Read it with [`Record::capture`].
    pub captures: Captures,
    /// Time of the event it came from: the publisher's time stamp where the route knows one, else when it arrived. The
    /// runtime fills it in when it is `None`.
    pub time: Option<SystemTime>,
    /// Same for the same record after a redelivery; lets a sink write it once. Never guessed from the payload.
    pub idempotency_key: Option<String>,
    /// MIME type of the payload.
    pub content_type: Option<String>,
    /// Free name-value pairs, written by sinks that have a place for them.
    pub headers: Vec<(String, String)>,
    /// Set on what a handler publishes: the worker sends it to the broker as it stands, whatever else the record says.
    pub publication: Option<Box<Publication>>,
}

impl Record {
    /// A record of raw bytes.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// Sets the key that order is kept by.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Sets the MIME type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the time.
    #[must_use]
    pub fn with_time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// The level of the event's topic that its route captured under this name.
    #[must_use]
    pub fn capture(&self, name: &str) -> Option<&str> {
        self.captures.get(self.topic.as_ref()?.as_str(), name)
    }

    /// What the record costs in a batch, in bytes: payload, key and headers.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let publication = self.publication.as_ref().map_or(0, |publication| publication.payload.len());
        self.payload.len() + self.key.as_ref().map_or(0, Bytes::len) + headers + publication
    }
}

/// What can be emitted: a [`Record`], or with the `json` feature anything that serde can serialize.
pub trait IntoRecord {
    /// Makes the record.
    ///
    /// # Errors
    /// What the serializer says.
    fn into_record(self) -> Result<Record, BoxError>;
}

impl IntoRecord for Record {
    fn into_record(self) -> Result<Record, BoxError> {
        Ok(self)
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize> IntoRecord for T {
    fn into_record(self) -> Result<Record, BoxError> {
        Ok(Record::new(serde_json::to_vec(&self)?).with_content_type("application/json"))
    }
}
