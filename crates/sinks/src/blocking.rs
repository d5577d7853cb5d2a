//! Runs blocking work on a state away from the async threads.
//!
//! The state is locked on the blocking thread only, so that no lock is held over an await and a caller that gives up
//! leaves the state whole: the job runs to its end and the next one waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use tidemill_core::SinkError;
use tokio::task;

/// Runs `job` on the state on a blocking thread and hands back its result.
///
/// Not cancel-safe in its effect: when the future is dropped, a job that began still runs to its end.
///
/// # Errors
/// `Unavailable` when the job panicked or the async runtime is shutting down. A state whose job panicked is used
/// again, so a job has to leave it usable at every step.
pub(crate) async fn run<S, R>(
    state: &Arc<Mutex<S>>,
    job: impl FnOnce(&mut S) -> R + Send + 'static,
) -> Result<R, SinkError>
where
    S: Send + 'static,
    R: Send + 'static,
{
    let state = Arc::clone(state);
    let task = task::spawn_blocking(move || job(&mut state.lock().unwrap_or_else(PoisonError::into_inner)));
    task.await.map_err(SinkError::unavailable)
}
