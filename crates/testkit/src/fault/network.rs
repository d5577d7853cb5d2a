//! A network: what its connections have in common, and which of them live.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::DuplexStream;

use super::link::Link;
use super::pump::{self, AT_ONCE, Io, Pump, Tap};

#[derive(Debug)]
struct State {
    links: Vec<Link>,
    last_id: u64,
    refuses: bool,
    up: Duration,
    down: Duration,
}

/// Connections that fail on demand. Cloning it gives another handle on the same network.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Mutex<State>>);

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}

impl Faults {
    /// A network on which all is well.
    #[must_use]
    pub fn new() -> Self {
        let state = State { links: Vec::new(), last_id: 0, refuses: false, up: AT_ONCE, down: AT_ONCE };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leads a connection through the network: `far` is the broker's end of it, what comes back is the client's. Runs on
    /// the current tokio runtime.
    ///
    /// # Errors
    /// The network [refuses](Self::refuse) connections.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(&self, far: DuplexStream, tap: Option<Box<dyn Tap>>) -> io::Result<(DuplexStream, Link)> {
        let (client, near) = pump::pipe();
        let link = self.bridge(near, far, tap)?;
        Ok((client, link))
    }

    pub(super) fn bridge(&self, near: impl Io, far: impl Io, tap: Option<Box<dyn Tap>>) -> io::Result<Link> {
        let link = {
            let mut state = self.lock();
            if state.refuses {
                return Err(pump::refused());
            }
            state.last_id += 1;
            state.links.retain(Link::is_live);
            let link = Link::new(state.last_id, state.up, state.down);
            state.links.push(link.clone());
            link
        };
        drop(tokio::spawn(Pump::new(link.clone(), near, far, tap).run()));
        Ok(link)
    }

    /// The connections that have not ended, oldest first.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let mut state = self.lock();
        state.links.retain(Link::is_live);
        state.links.clone()
    }

    /// Whether connections are refused from now on; those that are there go on.
    pub fn refuse(&self, refuse: bool) {
        self.lock().refuses = refuse;
    }

    /// Whether connections are refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.lock().refuses
    }

    /// Bytes that come from now on take so long, on all connections and those to come.
    pub fn delay(&self, up: Duration, down: Duration) {
        let links = {
            let mut state = self.lock();
            (state.up, state.down) = (up, down);
            state.links.clone()
        };
        links.iter().for_each(|link| link.delay(up, down));
    }

    /// Ends every connection at once.
    pub fn cut_all(&self) {
        self.links().iter().for_each(Link::cut);
    }
}
