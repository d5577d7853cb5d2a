//! The end of a worker and its two deadlines: first it drains, for at most `drain.deadline`; then whatever is left is
//! cut, within `drain.force`.
//!
//! INVARIANT (G10): the clock starts when the worker is told to leave and never stops. Every step of the end asks it how
//! long it may take, so the steps together never take longer than both deadlines.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::signal::Shutdown;
use crate::config::DrainConfig;

/// Why a worker is forced to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The drain's deadline has passed.
    Deadline,
    /// It was asked a second time.
    Asked,
}

/// Shares of `drain.force` after which the steps of the end are over.
pub(super) mod share {
    /// Sinks write what they have, and the events that waited for it are acknowledged.
    pub(in super::super) const LAST_CALL: f64 = 0.5;
    /// Connections say goodbye.
    pub(in super::super) const GOODBYE: f64 = 0.7;
    /// Sinks close.
    pub(in super::super) const CLOSE: f64 = 0.9;
    /// Handlers stop.
    pub(in super::super) const STOP: f64 = 1.0;
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) deadline: Duration,
    force: Duration,
    leave: CancellationToken,
    cut: CancellationToken,
    cut_at: OnceLock<(Instant, Cause)>,
}

impl Ending {
    pub(super) fn new(config: &DrainConfig) -> Self {
        Self {
            deadline: config.deadline,
            force: config.force,
            leave: CancellationToken::new(),
            cut: CancellationToken::new(),
            cut_at: OnceLock::new(),
        }
    }

    /// Keeps the time for ever: lets the worker leave when `shutdown` is ready, and forces it to end when it takes too
    /// long or is asked again.
    pub(super) async fn keep_time<T: Shutdown>(&self, shutdown: impl Future<Output = T> + Send) {
        let asked = async {
            let again = shutdown.await;
            self.leave.cancel();
            again.again().await;
        };
        let overdue = async {
            self.leave.cancelled().await;
            sleep(self.deadline).await;
        };
        let cause = tokio::select! {
            () = asked => Cause::Asked,
            () = overdue => Cause::Deadline,
        };
        match cause {
            Cause::Asked => info!(within = ?self.force, "asked again: what is unfinished is cut"),
            Cause::Deadline => warn!(within = ?self.force, "the drain's deadline passed: what is unfinished is cut"),
        }
        // Nobody else sets it.
        let _ = self.cut_at.set((Instant::now(), cause));
        self.cut.cancel();
        std::future::pending::<()>().await;
    }

    /// The worker leaves, for whatever reason; the clock starts, unless it runs already.
    pub(super) fn leave(&self) {
        self.leave.cancel();
    }

    /// Ready when the worker is to leave. Cancel-safe.
    pub(super) async fn leaving(&self) {
        self.leave.cancelled().await;
    }

    /// Ready when the worker is forced to end. Cancel-safe.
    pub(super) async fn forced(&self) -> Cause {
        self.cut.cancelled().await;
        self.cut_at.get().map_or(Cause::Deadline, |(_, cause)| *cause)
    }

    /// Ready when so much of `drain.force` has passed since the worker was forced to end; never before that. Cancel-safe.
    pub(super) async fn after(&self, share: f64) {
        self.cut.cancelled().await;
        if let Some((at, _)) = self.cut_at.get() {
            sleep_until(*at + self.force.mul_f64(share)).await;
        }
    }
}
