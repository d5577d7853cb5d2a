//! Asking a sink what it promises, opening it at the worker's start, once or until it opens, and closing it at its end.

use std::time::Duration;

use tidemill_core::{Sink, SinkError, SinkErrorKind, SinkTraits, report};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::warn;

use crate::config::{SinkSettings, SinkStart};
use crate::guard::{guarded, guarded_call, panicked};
use crate::session::Backoff;

/// Asks the sink what it promises. Ask once and keep the answer: whatever rests on it stays the same for a worker's life.
///
/// # Errors
/// What the sink panicked with.
pub(crate) fn promises(sink: &dyn Sink) -> Result<SinkTraits, String> {
    guarded_call(|| sink.traits()).map_err(|panic| panicked("the sink", &*panic))
}

/// Opens the sink within its time. A sink that is set up wrongly is not tried again.
///
/// # Errors
/// The last failure, or that there was no answer.
pub(crate) async fn open(name: &str, sink: &dyn Sink, settings: &SinkSettings) -> Result<(), SinkError> {
    let limit = settings.start_timeout;
    let until = Instant::now() + limit;
    let mut backoff = Backoff::new(settings.min_delay, settings.max_delay);
    let mut last = None;
    loop {
        let failure = match timeout_at(until, guarded(async { sink.open().await })).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(failure))) => failure,
            Ok(Err(panic)) => SinkError::unavailable(panicked("the sink", &*panic)),
            Err(_) => return Err(last.unwrap_or_else(|| no_answer(limit))),
        };
        if settings.start == SinkStart::Fail || failure.kind() == SinkErrorKind::Misconfigured {
            return Err(failure);
        }
        let delay = backoff.next().max(failure.retry_after().unwrap_or_default());
        if delay >= until.saturating_duration_since(Instant::now()) {
            return Err(failure);
        }
        warn!(
            sink = name,
            error = report(&failure),
            ?delay,
            ?limit,
            "sink cannot be opened; trying again until the limit"
        );
        last = Some(failure);
        sleep(delay).await;
    }
}

/// Closes the sink within that time, and tells if it could not be closed.
pub(crate) async fn close(name: &str, sink: &dyn Sink, limit: Duration) {
    match timeout(limit, guarded(async { sink.close().await })).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(failure))) => warn!(sink = name, error = report(&failure), "sink could not be closed"),
        Ok(Err(panic)) => warn!(sink = name, error = panicked("the sink", &*panic), "sink could not be closed"),
        Err(_) => warn!(sink = name, ?limit, "sink did not close in time"),
    }
}

fn no_answer(limit: Duration) -> SinkError {
    SinkError::unavailable(format!("no answer within {limit:?}; raise `start_timeout` if its target needs longer"))
}
