//! Where sessions run: beside the handlers, with a stand-in for when these block, or on threads of their own (G6).

use std::future::Future;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use crate::error::{RunError, RunErrorKind};
use crate::session::StandIn;

/// Runs sessions. Dropping it ends its threads and whatever still runs on them.
#[derive(Debug)]
pub(super) struct IoThreads {
    handles: Vec<Handle>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    stand_in: Option<StandIn>,
}

impl IoThreads {
    /// Starts so many threads, each with a single-threaded runtime: a session never moves, and never contends.
    pub(super) fn start(count: u16) -> Result<Self, RunError> {
        let failed = |error| {
            RunError::new(RunErrorKind::System, "start an I/O thread; lower `runtime.io_threads`").with_source(error)
        };
        let mut all = Self::on(Vec::new(), None);
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

    /// Uses the current runtime: no switch between threads. When handlers block it, a stand-in keeps sessions going.
    pub(super) fn beside() -> Result<Self, RunError> {
        let stand_in = StandIn::start(Handle::current()).map_err(|error| {
            RunError::new(RunErrorKind::System, "start the thread that stands in for blocked ones").with_source(error)
        })?;
        Ok(Self::on(vec![Handle::current()], Some(stand_in)))
    }

    /// Uses the current runtime and nothing else: handlers that block all of it block sessions.
    pub(super) fn current() -> Self {
        Self::on(vec![Handle::current()], None)
    }

    fn on(handles: Vec<Handle>, stand_in: Option<StandIn>) -> Self {
        Self { handles, stop: CancellationToken::new(), threads: Vec::new(), stand_in }
    }

    /// Runs a future on the thread for this instance.
    pub(super) fn spawn<F>(&self, instance: usize, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = &self.handles[instance % self.handles.len()];
        match &self.stand_in {
            Some(stand_in) => handle.spawn(stand_in.attend(future)),
            None => handle.spawn(future),
        }
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
