//! What runs in a pod: a worker that knows nothing of where it runs. Its configuration comes from the file and the
//! variables that the chart gives it, SIGTERM makes it leave, and its exit code says how that went.
//!
//! INVARIANT: an event is in the journal before its handler is done, hence before it is acknowledged.

use std::io::Write;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use tidemill_core::{Context, Event, ResultExt, handler_fn};
use tidemill_runtime::{Config, Route, Worker, shutdown_signal, telemetry};

use super::Error;
use super::args::PodArgs;
use super::journal::{Entry, Journal, now_ns};

/// Where events are published to.
pub(super) const TOPIC: &str = "rollout/{n}";

/// Runs until SIGTERM.
///
/// # Errors
/// A configuration that cannot work, or events that were still unfinished at the drain's deadline.
pub(super) async fn run(args: &PodArgs) -> Result<(), Error> {
    // A pod never outlives the program that plays Kubernetes.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| Error::because("bind the pod to its parent", error))?;
    let config = Config::load().map_err(|error| Error::because("load the configuration", error))?;
    telemetry::init(&config.log).map_err(|error| Error::because("set logging up", error))?;
    let journal = Journal::create(&args.journal).map_err(|error| Error::because("open the journal", error))?;
    let (journal, work) = (std::sync::Arc::new(journal), args.work);
    let handler = handler_fn(move |event: Event, _: Context| {
        let journal = std::sync::Arc::clone(&journal);
        async move {
            let seq = event.payload().get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
            let seq = seq.ok_or("no number").permanent()?;
            // Half of the events are written down before the work and half after it, so that a pod which is killed in
            // between leaves both kinds: those that come again a second time, and those that must come again at all.
            let early = seq % 2 == 0;
            if early {
                journal.write(Entry { seq, at_ns: now_ns() })?;
            }
            if !work.is_zero() {
                tokio::time::sleep(work).await;
            }
            if !early {
                journal.write(Entry { seq, at_ns: now_ns() })?;
            }
            Ok(())
        }
    });
    let worker = Worker::builder(config)
        .add_route(Route::new(TOPIC, handler))
        .build()
        .map_err(|error| Error::because("build the worker", error))?;
    let handle = worker.handle();
    tokio::spawn(async move {
        let Some(address) = handle.admin_address().await else { return };
        let mut out = std::io::stdout();
        // Nobody listens any more when the pod was given up.
        let _ = writeln!(out, "{address}").and_then(|()| out.flush());
    });
    worker.run_until(shutdown_signal()).await.map(|_| ()).map_err(|error| Error::because("run the worker", error))
}
