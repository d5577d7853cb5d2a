//! Threads of their own for the sessions: whatever handlers do to the user's runtime, reads, pings and acks go on (G6).

use std::future::Future;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use crate::error::{RunError, RunErrorKind};

/// Runs sessions. Dropping it ends its threads and whatever still runs on them.
#[derive(Debug)]
pub(super) struct IoThreads {
    handles: Vec<Handle>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl IoThreads {
    /// Starts so many threads, each with a single-threaded runtime: a session never moves, and never contends.
    pub(super) fn start(count: u16) -> Result<Self, RunError> {
        let failed = |error| {
            RunError::new(RunErrorKind::System, "start an I/O thread; lower `runtime.io_threads`").with_source(error)
        };
        let mut all = Self { handles: Vec::new(), stop: CancellationToken::new(), threads: Vec::new() };
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
            all.handles.push(runtime.handle().clone());
            let stop = all.stop.clone();
            let thread = std::thread::Builder::new()
                .name(format!("tidemill-io-{number}"))
                .spawn(move || {
                    runtime.block_on(stop.cancelled());
                    // A name look-up may still block one of its helper threads: do not wait for it.
                    runtime.shutdown_background();
                })
                .map_err(failed)?;
            all.threads.push(thread);
        }
        Ok(all)
    }

    /// Uses the current runtime instead: no switch between threads, but handlers that block all of it block sessions.
    pub(super) fn current() -> Self {
        Self { handles: vec![Handle::current()], stop: CancellationToken::new(), threads: Vec::new() }
    }

    /// Runs a future on the thread for this instance.
    pub(super) fn spawn<F>(&self, instance: usize, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handles[instance % self.handles.len()].spawn(future)
    }
}

impl Drop for IoThreads {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to clean up.
            let _ = thread.join();
        }
    }
}
