//! Carries batches to the journal on a blocking thread.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tidemill_core::{Record, Sink, SinkError, SinkTraits};
use tokio::time::Instant;

use super::config::{Compression, FileConfig, Fsync};
use super::disk::Disk;
use super::error::FileError;
use super::journal::Journal;
use super::keeper::Keeper;
use super::pack::Packer;
use crate::blocking;
use crate::encode::{Encoded, Encoder};
use crate::written;

/// Appends records as lines to a file.
///
/// When `write` returns, the batch is as safe as [`Fsync`] says. A batch is written whole or not at all: after a
/// failure the file is as before, so a repeated batch does not stand there twice. What a crash leaves of an
/// unfinished line is cut off at the next start.
///
/// The file is locked while it is open: a second sink on the same path, in this process or another one, fails at
/// [`open`](Sink::open) with [`Misconfigured`](tidemill_core::SinkErrorKind::Misconfigured). A file that someone
/// else renames or deletes is let go before the next batch, and a new one is begun.
///
/// With [`Compression`] rotated files are compressed in the background. What is unfinished when the sink is closed, or
/// cut off by a crash, is left as it was and done when the sink is opened again.
///
/// A `write` that is dropped half-way still runs to its end.
pub struct File {
    path: PathBuf,
    encoder: Encoder,
    journal: Arc<Mutex<Journal>>,
    /// Whether the settings need a timer.
    is_timed: bool,
    /// Runs from the first call on, until the sink is closed or dropped.
    keeper: Mutex<Option<Keeper>>,
    compression: Compression,
    /// The same, where rotated files are compressed.
    packer: Mutex<Option<Packer>>,
}

impl File {
    /// A sink with these settings. Nothing is touched before it is opened.
    #[must_use]
    pub fn new(config: FileConfig) -> Self {
        Self::on(config, Disk::real())
    }

    pub(super) fn on(config: FileConfig, disk: Disk) -> Self {
        Self {
            path: config.path.clone(),
            encoder: Encoder::new(&config.format),
            is_timed: !config.rotate.max_age.is_zero() || matches!(config.fsync, Fsync::Interval(_)),
            compression: config.rotate.compress,
            journal: Arc::new(Mutex::new(Journal::new(config, disk))),
            keeper: Mutex::default(),
            packer: Mutex::default(),
        }
    }

    /// Follows what the timer waits for; `None` when nothing is due.
    #[cfg(test)]
    pub(super) fn due(&self) -> tokio::sync::watch::Receiver<Option<Instant>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).due()
    }

    async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Journal, Instant) -> R + Send + 'static,
    ) -> Result<R, SinkError> {
        let now = Instant::now();
        let job = move |journal: &mut Journal| (job(journal, now), journal.due(), journal.rotated());
        let (result, due, rotated) = blocking::run(&self.journal, job).await?;
        if self.is_timed {
            let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            if keeper.as_ref().is_none_or(Keeper::has_ended) {
                *keeper = Some(Keeper::start(Arc::clone(&self.journal), due));
            }
        }
        if self.compression != Compression::None {
            let mut packer = self.packer.lock().unwrap_or_else(PoisonError::into_inner);
            if packer.as_ref().is_none_or(Packer::has_ended) {
                *packer = Some(Packer::start(self.compression, rotated));
            }
        }
        Ok(result)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for File {
    fn traits(&self) -> SinkTraits {
        SinkTraits::default().ordered()
    }

    async fn open(&self) -> Result<(), SinkError> {
        Ok(self.run(Journal::open).await??)
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let Encoded { lines, rejections } = self.encoder.encode(batch);
        let (lines, result) = self
            .run(move |journal, now| {
                let result = if lines.is_empty() { Ok(()) } else { journal.write(&lines, now) };
                (lines, result)
            })
            .await?;
        self.encoder.recycle(lines);
        result?;
        written(rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        drop(self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.packer.lock().unwrap_or_else(PoisonError::into_inner).take());
        let result: Result<(), FileError> = blocking::run(&self.journal, Journal::close).await?;
        Ok(result?)
    }
}
