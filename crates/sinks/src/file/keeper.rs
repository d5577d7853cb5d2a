//! The timer behind a journal: syncs and rotates in time though no batch comes.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::journal::Journal;
use crate::blocking;

/// A running timer; ends when dropped.
pub(super) struct Keeper(JoinHandle<()>);

impl Keeper {
    pub(super) fn start(journal: Arc<Mutex<Journal>>, due: watch::Receiver<Option<Instant>>) -> Self {
        Self(tokio::spawn(keep(journal, due)))
    }

    /// Its runtime has gone or its work panicked; a new one is needed.
    pub(super) fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep(journal: Arc<Mutex<Journal>>, mut due: watch::Receiver<Option<Instant>>) {
    loop {
        let at = *due.borrow_and_update();
        let changed = match at {
            None => Ok(due.changed().await),
            Some(at) => timeout_at(at, due.changed()).await,
        };
        match changed {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                let now = Instant::now();
                if let Err(error) = blocking::run(&journal, move |journal| journal.tend(now)).await {
                    tracing::error!(%error, "file sink's timer stopped");
                    return;
                }
            }
        }
    }
}
