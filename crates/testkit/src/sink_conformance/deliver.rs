//! Writing as the engine in front of a sink does, without its limits: again until everything is written or refused.

use std::ops::Range;
use std::time::Duration;

use tidemill_core::{Record, Sink, SinkError, SinkErrorKind, report};
use tokio::time::{Instant, sleep, timeout};

/// A single call, and all tries together, may take this long.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// A record that the sink refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the batch.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// Writes a batch until every record is written or refused; says which were refused.
///
/// # Panics
/// The sink hangs, stays unavailable, or says that it is set up wrongly.
pub async fn deliver(sink: &dyn Sink, batch: &[Record]) -> Vec<Refused> {
    let mut refused = Vec::new();
    // What is still to be written, later places first.
    let mut parts: Vec<Range<usize>> = std::iter::once(0..batch.len()).collect();
    while let Some(part) = parts.pop() {
        let Err(error) = persist(sink, &batch[part.clone()]).await else { continue };
        match error.kind() {
            SinkErrorKind::Rejected => {
                assert!(!error.rejections().is_empty(), "records are refused, and none is named");
                for rejection in error.rejections() {
                    assert!(rejection.index < part.len(), "a refused record is not in the batch");
                    refused.push(Refused { index: part.start + rejection.index, reason: rejection.reason.clone() });
                }
            }
            SinkErrorKind::BatchRefused if part.len() == 1 => {
                refused.push(Refused { index: part.start, reason: report(&error) });
            }
            SinkErrorKind::BatchRefused => {
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
            kind => assert!(matches!(kind, SinkErrorKind::Rejected), "{kind:?}: {}", report(&error)),
        }
    }
    refused
}

/// Writes a batch until the sink says something else than that it is unavailable.
pub(super) async fn persist(sink: &dyn Sink, batch: &[Record]) -> Result<(), SinkError> {
    let began = Instant::now();
    loop {
        match write(sink, batch).await {
            Err(error) if error.kind() == SinkErrorKind::Unavailable => {
                assert!(began.elapsed() < PATIENCE, "unavailable for {PATIENCE:?}: {}", report(&error));
                sleep(error.retry_after().unwrap_or(PAUSE).min(PATIENCE / 10)).await;
            }
            result => return result,
        }
    }
}

/// Writes a batch once.
pub(super) async fn write(sink: &dyn Sink, batch: &[Record]) -> Result<(), SinkError> {
    let result = timeout(PATIENCE, sink.write(batch)).await;
    assert!(result.is_ok(), "a write did not come back within {PATIENCE:?}: give the sink a time limit");
    result.unwrap_or(Ok(()))
}

/// Opens the sink, which must succeed.
pub(super) async fn open(sink: &dyn Sink) {
    let began = Instant::now();
    loop {
        let result = timeout(PATIENCE, sink.open()).await;
        match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                let again = error.kind() == SinkErrorKind::Unavailable && began.elapsed() < PATIENCE;
                assert!(again, "cannot be opened: {}", report(&error));
                sleep(PAUSE).await;
            }
            Err(_) => assert!(result.is_ok(), "open did not come back within {PATIENCE:?}"),
        }
    }
}

/// Closes the sink, which must succeed.
pub(super) async fn close(sink: &dyn Sink) {
    let result = timeout(PATIENCE, sink.close()).await;
    assert!(matches!(result, Ok(Ok(()))), "cannot be closed: {result:?}");
}
