//! The signals that a process listens to.
//!
//! SIGINT and SIGTERM ask it to end; nobody listens to them unless [`shutdown_signal`] is called. The first asks to leave
//! without loss, the second to end at once, and the third is the system's: it ends the process as if no handler had ever
//! been there.
//!
//! SIGHUP asks to read the configuration file again. A worker listens to it by itself, while it runs, if it watches a
//! file and is not at a terminal; in any other process SIGHUP ends it, as the system has it.

use std::fmt;
use std::future::Future;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the future that is given to [`Worker::run_until`](crate::Worker::run_until) ends with: how a second request is
/// made, after which the worker does not wait any longer for what is unfinished.
pub trait Shutdown: Send {
    /// Ready when the worker is asked a second time.
    fn again(self) -> impl Future<Output = ()> + Send;
}

/// There is no second request.
impl Shutdown for () {
    async fn again(self) {
        std::future::pending::<()>().await;
    }
}

/// The signals that come after the first.
pub struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

impl Signals {
    fn listen() -> Self {
        let listen = |kind, name: &str| {
            signal(kind)
                .inspect_err(|error| tracing::error!(%error, "{name} cannot be awaited; stop this program another way"))
                .ok()
        };
        Self {
            terminate: listen(SignalKind::terminate(), "SIGTERM"),
            interrupt: listen(SignalKind::interrupt(), "SIGINT"),
        }
    }

    /// Waits for the next SIGINT or SIGTERM; for ever where the system refuses to say. Cancel-safe.
    pub async fn next(&mut self) {
        tokio::select! {
            () = received(self.terminate.as_mut()) => {}
            () = received(self.interrupt.as_mut()) => {}
        }
    }
}

impl Shutdown for Signals {
    async fn again(mut self) {
        self.next().await;
        let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            if let Err(error) = signal_hook::flag::register_conditional_default(signal, always.clone()) {
                tracing::error!(%error, signal, "a third signal will not end this program; SIGKILL does");
            }
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Waits for SIGINT or SIGTERM; for ever where the system refuses to say. What it ends with waits for the next.
///
/// Inside a Tokio runtime signals count from this call on, not only once the future is polled.
pub fn shutdown_signal() -> impl Future<Output = Signals> + Send + 'static {
    let early = Handle::try_current().is_ok().then(Signals::listen);
    async move {
        let mut signals = early.unwrap_or_else(Signals::listen);
        signals.next().await;
        signals
    }
}

/// SIGHUP, which asks to read the configuration again. A process at a terminal is left to end with it.
pub(super) struct Hangups(Option<Signal>);

impl Hangups {
    pub(super) fn listen() -> Self {
        let at_terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
        Self(if at_terminal { None } else { signal(SignalKind::hangup()).ok() })
    }

    /// Waits for the next; for ever where there are none. Cancel-safe.
    pub(super) async fn next(&mut self) {
        received(self.0.as_mut()).await;
    }
}
