//! A feed on a thread of its own. It ends, at the latest, with the value that stands for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::server::{Feed, Served};
use super::{Error, Load, pin};

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Serving {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    outcome: Receiver<Result<Served, Error>>,
    served: Option<Served>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Starts a feed for one client, on these cores or on any. Gives up after so long without progress.
    pub(crate) fn start(load: Load, patience: Duration, cores: &[usize]) -> Result<Self, Error> {
        let failed = |source| Error::because("feed the client", source);
        let feed = Feed::bind(load, patience).map_err(failed)?;
        let addr = feed.addr().map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, cores) = (Arc::clone(&stop), cores.to_vec());
        let (sender, outcome) = mpsc::sync_channel(1);
        let serve = move || {
            if !cores.is_empty() {
                pin(&cores)?;
            }
            feed.serve(&stopped).map_err(failed)
        };
        let thread = thread::Builder::new().name("feed".to_owned()).spawn(move || {
            // Nobody listens when the client was given up.
            let _ = sender.send(serve());
        });
        let thread = thread.map_err(|source| Error::because("start the thread of the feed", source))?;
        Ok(Self { addr, stop, outcome, served: None, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits a while for its end. Says whether it is over.
    pub(crate) fn is_over(&mut self, wait: Duration) -> Result<bool, Error> {
        if self.served.is_none() {
            match self.outcome.recv_timeout(wait) {
                Ok(outcome) => self.served = Some(outcome?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(source) => return Err(Error::because("feed the client: the feed crashed", source)),
            }
        }
        Ok(self.served.is_some())
    }

    /// What it did, once it is over.
    pub(crate) fn finish(mut self, patience: Duration) -> Result<Served, Error> {
        self.is_over(patience)?;
        self.served.ok_or_else(|| Error::new("feed the client: the feed does not end"))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
