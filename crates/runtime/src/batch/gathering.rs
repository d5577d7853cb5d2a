//! The batch that is gathering: who is in it, and when it is full.
//!
//! INVARIANT: a batch that is handed out holds at least one and at most `max_events` entries, and at most `max_bytes`
//! unless it is a single one. An entry is in one batch. Attempts that were given up before their batch was handed out are
//! not in it, and do not count as soon as they would make it full.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemill_core::{Context, HandlerResult};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{BatchItem, BatchSettings};

/// What an attempt gets back: its result, and its context with what was emitted.
pub(super) type Reply = (HandlerResult, Context);

/// An attempt that waits in a batch. It has given up when nobody listens to the reply.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) item: BatchItem,
    pub(super) reply: oneshot::Sender<Reply>,
}

impl Entry {
    fn size_bytes(&self) -> usize {
        self.item.event.payload().len() + self.item.event.topic().len()
    }
}

/// A batch that has just been begun: somebody has to wait until it is closed.
#[derive(Debug)]
pub(super) struct Begun {
    number: u64,
    at: Instant,
    closed: oneshot::Receiver<Vec<Entry>>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    entries: Vec<Entry>,
    bytes: usize,
    close: oneshot::Sender<Vec<Entry>>,
}

impl Open {
    fn forget_those_who_gave_up(&mut self) {
        self.entries.retain(|entry| !entry.reply.is_closed());
        self.bytes = self.entries.iter().map(Entry::size_bytes).sum();
    }
}

/// Hands the batch out.
fn close(open: &mut Option<Open>) {
    if let Some(Open { close, entries, .. }) = open.take() {
        // The waiting side may be gone with its runtime; whoever waits in the batch hears of it when this is dropped.
        drop(close.send(entries));
    }
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    begun: u64,
}

/// Where attempts gather.
#[derive(Debug)]
pub(super) struct Gathering {
    settings: BatchSettings,
    state: Mutex<State>,
}

impl Gathering {
    pub(super) fn new(settings: BatchSettings) -> Self {
        Self { settings, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an attempt into the batch that is gathering. Gives the batch if it was begun for it.
    pub(super) fn join(&self, entry: Entry) -> Option<Begun> {
        let mut guard = self.state();
        let state = &mut *guard;
        let bytes = entry.size_bytes();
        if let Some(open) = &mut state.open
            && (open.close.is_closed() || !self.has_room(open, bytes))
        {
            close(&mut state.open);
        }
        let mut begun = None;
        let open = state.open.get_or_insert_with(|| {
            state.begun += 1;
            let (close, closed) = oneshot::channel();
            begun = Some(Begun { number: state.begun, at: Instant::now(), closed });
            Open { number: state.begun, entries: Vec::new(), bytes: 0, close }
        });
        open.bytes += bytes;
        open.entries.push(entry);
        // One that has room for nothing more need not wait.
        if !self.has_room(open, 0) {
            close(&mut state.open);
        }
        begun
    }

    /// Whether an attempt of so many bytes fits in.
    fn has_room(&self, open: &mut Open, bytes: usize) -> bool {
        let fits = |open: &Open| {
            open.entries.is_empty()
                || open.entries.len() < self.settings.max_events
                    && open.bytes.saturating_add(bytes.max(1)) <= self.settings.max_bytes
        };
        if !fits(open) {
            open.forget_those_who_gave_up();
        }
        fits(open)
    }

    /// Waits until the batch is full or its linger is over, and gives who is in it. Nobody, when all have given up.
    pub(super) async fn closed(&self, begun: Begun) -> Vec<Entry> {
        let Begun { number, at, mut closed } = begun;
        let mut entries = match at.checked_add(self.settings.linger) {
            _ if self.settings.linger.is_zero() => self.take(number, &mut closed).await,
            Some(until) => match timeout_at(until, &mut closed).await {
                Ok(entries) => entries.unwrap_or_default(),
                Err(_) => self.take(number, &mut closed).await,
            },
            None => closed.await.unwrap_or_default(),
        };
        entries.retain(|entry| !entry.reply.is_closed());
        entries
    }

    async fn take(&self, number: u64, closed: &mut oneshot::Receiver<Vec<Entry>>) -> Vec<Entry> {
        let own = self.state().open.take_if(|open| open.number == number);
        match own {
            Some(open) => open.entries,
            // It was full at that very moment.
            None => closed.await.unwrap_or_default(),
        }
    }
}
