//! From attempts to batches and back: the only place that calls a batch handler.
//!
//! INVARIANT: every attempt that waits for its result gets exactly one, its own, unless it gives up first. A batch ends
//! with its handler, or when nobody waits for it any more.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tidemill_core::{BoxError, Context, Event, Handler, HandlerError, HandlerResult};
use tokio::sync::oneshot;
use tracing::error;

use super::gathering::{Begun, Entry, Gathering, Reply};
use super::{BatchHandler, BatchItem, BatchSettings};
use crate::guard::{guarded, panicked};

/// A [`BatchHandler`] as a handler: gathers the attempts of all instances into batches.
///
/// A batch is handled in a task of its own. An attempt that is cut while its batch gathers leaves it. One that is cut
/// while its batch is handled has failed, but what the handler does for it goes on while others wait for the batch: the
/// event may then be tried again before that is over. They joined within one linger, so with a timeout all are cut
/// within one linger; a `retry.min_delay` that is no shorter keeps the two attempts apart.
///
/// ```
/// use tidemill_core::prelude::*;
/// use tidemill_runtime::batch::{BatchHandler, BatchItem, BatchSettings, Batched};
/// # struct Database;
/// # impl Database { async fn insert(&self, _: Vec<&[u8]>) -> std::io::Result<()> { Ok(()) } }
///
/// struct Insert { database: Database }
///
/// #[async_trait]
/// impl BatchHandler for Insert {
///     async fn handle(&self, batch: &mut [BatchItem]) -> Vec<HandlerResult> {
///         let rows = batch.iter().map(|item| &**item.event.payload()).collect();
///         match self.database.insert(rows).await {
///             Ok(()) => batch.iter().map(|_| Ok(())).collect(),
///             Err(error) => batch.iter().map(|_| Err(HandlerError::retry(error.to_string()))).collect(),
///         }
///     }
/// }
///
/// let handler = Batched::new(Insert { database: Database }, BatchSettings::default().max_events(500));
/// # fn takes(_: impl Handler) {}
/// # takes(handler);
/// ```
pub struct Batched {
    handler: Arc<dyn BatchHandler>,
    gathering: Arc<Gathering>,
}

impl fmt::Debug for Batched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched").field("gathering", &self.gathering).finish_non_exhaustive()
    }
}

impl Batched {
    /// Hands events to this batch handler, in batches like these.
    #[must_use]
    pub fn new(handler: impl BatchHandler, settings: BatchSettings) -> Self {
        Self { handler: Arc::new(handler), gathering: Arc::new(Gathering::new(settings)) }
    }

    /// Waits for the result of one attempt.
    async fn together(&self, item: BatchItem) -> Option<Reply> {
        let (reply, result) = oneshot::channel();
        if let Some(begun) = self.gathering.join(Entry { item, reply }) {
            let (handler, gathering) = (Arc::clone(&self.handler), Arc::clone(&self.gathering));
            // Not in the attempt that begins the batch: when that one is cut, the others go on.
            drop(tokio::spawn(run(handler, gathering, begun)));
        }
        result.await.ok()
    }

    async fn alone(&self, item: BatchItem) -> Option<Reply> {
        let mut batch = [item];
        let results = self.handler.handle(&mut batch).await;
        let [item] = batch;
        Some((assign(results, 1).next()?, item.cx))
    }
}

#[async_trait]
impl Handler for Batched {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let first = cx.attempt() == 1;
        let item = BatchItem::new(event.clone(), cx.branch());
        let reply = if first { self.together(item).await } else { self.alone(item).await };
        let Some((result, branch)) = reply else {
            return Err(HandlerError::retry("the batch was given up before it was handled"));
        };
        result?;
        cx.merge(branch);
        Ok(())
    }

    async fn start(&self) -> Result<(), BoxError> {
        self.handler.start().await
    }

    async fn stop(&self) {
        self.handler.stop().await;
    }
}

/// The life of a batch.
async fn run(handler: Arc<dyn BatchHandler>, gathering: Arc<Gathering>, begun: Begun) {
    let entries = gathering.closed(begun).await;
    drop(gathering);
    if entries.is_empty() {
        return;
    }
    let (mut batch, mut replies) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    for (seat, Entry { mut item, reply }) in entries.into_iter().enumerate() {
        item.seat = seat;
        batch.push(item);
        replies.push(Some(reply));
    }
    let handled = {
        let handling = guarded(async { handler.handle(&mut batch).await });
        tokio::select! {
            biased;
            handled = handling => handled,
            () = all_gave_up(&mut replies) => return,
        }
    };
    let results: Box<dyn Iterator<Item = HandlerResult> + Send> = match handled {
        Ok(results) => Box::new(assign(results, batch.len())),
        Err(panic) => {
            let text = panicked("the batch handler", &*panic);
            Box::new(std::iter::repeat_with(move || Err(HandlerError::retry(text.clone()))))
        }
    };
    for (item, result) in batch.into_iter().zip(results) {
        if let Some(reply) = replies.get_mut(item.seat).and_then(Option::take) {
            // Whoever gave up in between does not need it.
            drop(reply.send((result, item.cx)));
        }
    }
}

/// Ready when nobody waits for a reply any more.
async fn all_gave_up(replies: &mut [Option<oneshot::Sender<Reply>>]) {
    for reply in replies.iter_mut().flatten() {
        reply.closed().await;
    }
}

/// One result for each event of a batch, whatever the handler gave.
fn assign(results: Vec<HandlerResult>, events: usize) -> impl Iterator<Item = HandlerResult> + Send {
    let given = results.len();
    // A handler that stops at the first failure gives too few. Too many can have come about in any way.
    let results = if given > events { Vec::new() } else { results };
    if given != events {
        error!(results = given, events, "a batch handler gave more or fewer results than its batch has events");
    }
    let missing = move || {
        let text = format!("the batch handler gave {given} results for {events} events; this one has none");
        Err(HandlerError::retry(text))
    };
    results.into_iter().chain(std::iter::repeat_with(missing)).take(events)
}
