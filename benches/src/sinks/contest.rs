//! One sink and the client that it is built on.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tidemill_core::{Record, Sink, SinkError, SinkTraits};
use tokio::time::Instant;

type Make = Box<dyn Fn() -> Box<dyn Sink> + Send + Sync>;

/// Both sides, made anew for each measurement. The bare side is a [`Sink`] only so that both are driven alike.
pub(super) struct Contest {
    pub(super) name: &'static str,
    /// What the bare side does.
    pub(super) bare_means: &'static str,
    pub(super) ours: Make,
    pub(super) bare: Make,
    /// Lives as long as it is measured.
    _server: Box<dyn Any + Send + Sync>,
}

impl Contest {
    pub(super) fn new<O: Sink, B: Sink>(
        name: &'static str,
        bare_means: &'static str,
        ours: impl Fn() -> O + Send + Sync + 'static,
        bare: impl Fn() -> B + Send + Sync + 'static,
    ) -> Self {
        let (ours, bare): (Make, Make) = (Box::new(move || Box::new(ours())), Box::new(move || Box::new(bare())));
        Self { name, bare_means, ours, bare, _server: Box::new(()) }
    }

    /// Keeps a server as long as this.
    pub(super) fn with_server(mut self, server: impl Any + Send + Sync) -> Self {
        self._server = Box::new(server);
        self
    }
}

/// What went through a sink.
#[derive(Debug, Default)]
pub(super) struct Counts {
    records: AtomicU64,
    batches: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Counts {
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    pub(super) fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// When the last batch was written.
    pub(super) fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sink whose batches are counted.
pub(super) struct Counted {
    sink: Box<dyn Sink>,
    counts: Arc<Counts>,
}

impl Counted {
    pub(super) fn new(sink: Box<dyn Sink>, counts: Arc<Counts>) -> Self {
        Self { sink, counts }
    }
}

#[async_trait]
impl Sink for Counted {
    fn traits(&self) -> SinkTraits {
        self.sink.traits()
    }

    async fn open(&self) -> Result<(), SinkError> {
        self.sink.open().await
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        self.sink.write(batch).await?;
        self.counts.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.counts.batches.fetch_add(1, Ordering::Relaxed);
        *self.counts.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.sink.close().await
    }
}
