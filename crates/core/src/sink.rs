//! Sinks: where records go. A sink only writes batches; batching, retries and limits belong to the engine before it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{BoxError, Record};

/// What a sink promises, so that the engine in front of it and the operator know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkTraits {
    /// Records of one key must reach the target in order. Several writes may be in flight, but never two that hold
    /// records of the same key: a key's next batch waits for its previous one.
    pub ordered: bool,
    /// All records must reach the target in the order in which they were emitted, whatever their keys: one write at a
    /// time, whatever the settings say.
    pub serial: bool,
    /// Writing a record with the same idempotency key again leaves one record in the target.
    pub idempotent: bool,
}

impl SinkTraits {
    /// Says that records of one key must stay in order.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Says that all records must stay in order, so that there is one write at a time.
    #[must_use]
    pub fn serial(mut self) -> Self {
        self.serial = true;
        self
    }

    /// Says that the target suppresses records with a known idempotency key.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
}

/// A place where records go.
///
/// The engine calls `open` until it succeeds once, then `write`, and `close` once after the last write. As many writes
/// are under way at once as the sink's settings say (one, unless they say more) and [`SinkTraits`] allow.
///
/// All may wait. A write that takes longer than the sink's `write_timeout` is dropped at its current `.await` and counts
/// as [`SinkErrorKind::Unavailable`], and so does a panic: the same batch comes again. So `write` is cancel-safe (what
/// was dropped leaves nothing behind), or the sink is [idempotent](SinkTraits::idempotent), or a timeout costs
/// duplicates.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// What the sink promises.
    fn traits(&self) -> SinkTraits {
        SinkTraits::default()
    }

    /// Gets ready to write: connects, checks permissions, creates what is missing.
    ///
    /// # Errors
    /// What the worker's start should fail with.
    async fn open(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Writes a batch of at least one record. `Ok` means that every record is as safe as this sink can make it:
    /// the events that they came from are acknowledged next.
    ///
    /// # Errors
    /// A [`SinkError`] whose kind tells the engine whether to try again, and which records were not written.
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError>;

    /// Releases what `open` acquired, after everything was written.
    ///
    /// # Errors
    /// What could not be brought to an end; it is logged.
    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// What a failed write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkErrorKind {
    /// The target does not answer or is busy: nothing of the batch is known to be written, try all of it again.
    Unavailable,
    /// The target refuses some records for what they are; see [`SinkError::rejections`]. The others were written.
    Rejected,
    /// The target refuses the batch without saying which record is to blame; nothing of it was written. The engine
    /// writes its halves until it knows.
    BatchRefused,
    /// The sink itself is set up wrongly; trying again does not help until someone mends it.
    Misconfigured,
}

/// One record that the target refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its place in the batch.
    pub index: usize,
    /// Why, without the record's content.
    pub reason: String,
}

/// A failed open, write or close.
#[derive(Debug)]
pub struct SinkError {
    kind: SinkErrorKind,
    source: BoxError,
    rejections: Vec<Rejection>,
    retry_after: Option<Duration>,
}

impl SinkError {
    fn new(kind: SinkErrorKind, source: BoxError) -> Self {
        Self { kind, source, rejections: Vec::new(), retry_after: None }
    }

    /// The target does not answer or is busy.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::new(SinkErrorKind::Unavailable, source.into())
    }

    /// The sink is set up wrongly.
    pub fn misconfigured(source: impl Into<BoxError>) -> Self {
        Self::new(SinkErrorKind::Misconfigured, source.into())
    }

    /// The target refuses the batch as a whole and does not say for which record.
    pub fn batch_refused(source: impl Into<BoxError>) -> Self {
        Self::new(SinkErrorKind::BatchRefused, source.into())
    }

    /// Sets how long the target asks to be left alone before the next try.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// These records are refused, the others of the batch were written.
    #[must_use]
    pub fn rejected(rejections: Vec<Rejection>) -> Self {
        let reason = rejections.first().map_or_else(|| "no reason given".to_owned(), |first| first.reason.clone());
        Self { rejections, ..Self::new(SinkErrorKind::Rejected, reason.into()) }
    }

    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> SinkErrorKind {
        self.kind
    }

    /// The refused records; empty unless the kind is [`SinkErrorKind::Rejected`].
    #[must_use]
    pub fn rejections(&self) -> &[Rejection] {
        &self.rejections
    }

    /// How long the target asks to be left alone before the next try.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SinkErrorKind::Unavailable => f.write_str("sink unavailable"),
            SinkErrorKind::Rejected => write!(f, "sink refused {} record(s)", self.rejections.len()),
            SinkErrorKind::BatchRefused => f.write_str("sink refused the batch"),
            SinkErrorKind::Misconfigured => f.write_str("sink set up wrongly"),
        }
    }
}

impl std::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
