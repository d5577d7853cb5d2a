//! One sink and the client that it is built on.

use std::any::Any;
use std::sync::Arc;

use tidemill_core::Sink;

type Make = Box<dyn Fn() -> Arc<dyn Sink> + Send + Sync>;

/// Both sides, made anew for each measurement. The bare side is a [`Sink`] only so that both are driven alike: it is what
/// a user of the client would write for the same records with the same promise, without batching, retries or errors.
pub(super) struct Contest {
    /// What the bare side does.
    pub(super) bare_means: &'static str,
    /// Records of a write, where it is not what the command line says.
    pub(super) batch: Option<u32>,
    pub(super) ours: Make,
    pub(super) bare: Make,
    /// Lives as long as it is measured.
    _server: Box<dyn Any + Send + Sync>,
}

impl Contest {
    pub(super) fn new<O: Sink, B: Sink>(
        bare_means: &'static str,
        ours: impl Fn() -> O + Send + Sync + 'static,
        bare: impl Fn() -> B + Send + Sync + 'static,
    ) -> Self {
        let (ours, bare): (Make, Make) = (Box::new(move || Arc::new(ours())), Box::new(move || Arc::new(bare())));
        Self { bare_means, batch: None, ours, bare, _server: Box::new(()) }
    }

    /// Keeps a server as long as this.
    pub(super) fn with_server(mut self, server: impl Any + Send + Sync) -> Self {
        self._server = Box::new(server);
        self
    }

    /// Sets how many records a write has.
    pub(super) fn with_batch(mut self, records: u32) -> Self {
        self.batch = Some(records);
        self
    }
}
