//! A sink that remembers what was written, and does what it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tidemill_core::{Record, Sink, SinkError, async_trait};

/// What a [`Recording`] sink was told to do, and what it did.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) written: Vec<Record>,
    pub(crate) batches: Vec<usize>,
    pub(crate) opened: usize,
    pub(crate) closed: usize,
    /// Answers of the next writes; a write without one succeeds.
    pub(crate) answers: VecDeque<Result<(), SinkError>>,
    pub(crate) open_fails: bool,
}

/// A sink that remembers. Writes wait while it is blocked.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) recorded: Arc<Mutex<Recorded>>,
    blocked: tokio::sync::watch::Sender<bool>,
    pub(crate) attempts: Arc<std::sync::atomic::AtomicUsize>,
}

impl Recording {
    pub(crate) fn new() -> Self {
        let blocked = tokio::sync::watch::Sender::new(false);
        Self { recorded: Arc::default(), blocked, attempts: Arc::default() }
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Recorded) -> T) -> T {
        look(&mut self.recorded.lock().unwrap())
    }

    pub(crate) fn payloads(&self) -> Vec<String> {
        self.with(|all| all.written.iter().map(|r| String::from_utf8(r.payload.to_vec()).unwrap()).collect())
    }

    pub(crate) fn block(&self, block: bool) {
        self.blocked.send_replace(block);
    }

    /// The next write for which nothing is said yet ends like this.
    pub(crate) fn answer(&self, error: SinkError) {
        self.with(|all| all.answers.push_back(Err(error)));
    }

    /// The next write for which nothing is said yet ends well.
    pub(crate) fn succeed(&self) {
        self.with(|all| all.answers.push_back(Ok(())));
    }

    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[async_trait]
impl Sink for Recording {
    async fn open(&self) -> Result<(), SinkError> {
        self.with(|all| {
            if all.open_fails {
                return Err(SinkError::unavailable("it stays shut"));
            }
            all.opened += 1;
            Ok(())
        })
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        self.attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut blocked = self.blocked.subscribe();
        drop(blocked.wait_for(|blocked| !blocked).await);
        self.with(|all| {
            all.batches.push(batch.len());
            let answer = all.answers.pop_front().unwrap_or(Ok(()));
            let rejections = answer.as_ref().err().map_or(&[][..], SinkError::rejections);
            if answer.is_ok() || !rejections.is_empty() {
                let kept =
                    batch.iter().enumerate().filter(|(at, _)| !rejections.iter().any(|other| other.index == *at));
                all.written.extend(kept.map(|(_, record)| record.clone()));
            }
            answer
        })
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.with(|all| all.closed += 1);
        Ok(())
    }
}
