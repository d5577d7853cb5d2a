//! Events, contexts, paused time, a store that fails to order, and a batch handler that remembers.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::topic::TopicName;
use tidemill_core::{BoxError, Context, Event, HandlerError, HandlerResult, Record, Scope, async_trait};
use tidemill_runtime::batch::{BatchHandler, BatchItem};
use tidemill_runtime::dedup::{DedupKey, DedupStore};
use tokio::time::{Instant, sleep};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Runs it on one thread whose clock only moves when everything waits.
pub(crate) fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(work)
}

/// An event of topic `t`.
pub(crate) fn event(payload: impl Into<String>) -> Event {
    Event::new(TopicName::new("t").unwrap(), payload.into())
}

/// A context of route `r` with a sink `out`.
pub(crate) fn context() -> Context {
    Context::new(Arc::new(Scope::new("r", "i-1", Arc::from(["out".into()]))))
}

/// The payloads of what was emitted.
pub(crate) fn emitted(cx: &mut Context) -> Vec<String> {
    cx.take_emitted().into_iter().map(|e| String::from_utf8(e.record.payload.to_vec()).unwrap()).collect()
}

pub(crate) fn key(number: u8) -> DedupKey {
    DedupKey::from_bytes([number; 16])
}

/// What a store does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Fails,
    Hangs,
    Panics,
}

/// A store that must be waited for, in any mood, and that counts how often it is asked.
#[derive(Debug)]
pub(crate) struct Moody {
    pub(crate) mood: Mutex<Mood>,
    pub(crate) known: Mutex<Vec<DedupKey>>,
    pub(crate) asked: Mutex<usize>,
}

impl Moody {
    pub(crate) fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self { mood: Mutex::new(mood), known: Mutex::default(), asked: Mutex::default() })
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    async fn ask(&self) -> Result<(), BoxError> {
        *self.asked.lock().unwrap() += 1;
        tokio::task::yield_now().await;
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Fine => Ok(()),
            Mood::Fails => Err("out of order".into()),
            Mood::Hangs => std::future::pending().await,
            Mood::Panics => panic!("out of luck"),
        }
    }
}

#[async_trait]
impl DedupStore for Moody {
    async fn contains(&self, key: &DedupKey) -> Result<bool, BoxError> {
        self.ask().await?;
        Ok(self.known.lock().unwrap().contains(key))
    }

    async fn insert(&self, key: &DedupKey) -> Result<(), BoxError> {
        self.ask().await?;
        self.known.lock().unwrap().push(*key);
        Ok(())
    }
}

/// A call of a batch handler.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) payloads: Vec<String>,
    pub(crate) bytes: usize,
}

/// A batch handler that does what the payloads say, word by word:
/// `ok` emits the payload, `err` and `permanent` fail with it, `short` ends the results before it, `long` gives one
/// result too many, `sort` sorts the batch backwards, `panic` panics, `hang` never ends, a number waits for so many
/// milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Does {
    calls: Arc<Mutex<Vec<Call>>>,
    cut: Arc<Mutex<usize>>,
}

impl Does {
    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The payloads of each batch so far.
    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        self.calls().into_iter().map(|call| call.payloads).collect()
    }

    /// How many calls were cut or panicked.
    pub(crate) fn cut(&self) -> usize {
        *self.cut.lock().unwrap()
    }
}

/// Counts itself when it is dropped half way.
struct Unfinished<'a>(&'a Mutex<usize>, bool);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.1 {
            *self.0.lock().unwrap() += 1;
        }
    }
}

pub(crate) fn text(item: &BatchItem) -> String {
    String::from_utf8(item.event.payload().to_vec()).unwrap()
}

#[async_trait]
impl BatchHandler for Does {
    async fn handle(&self, batch: &mut [BatchItem]) -> Vec<HandlerResult> {
        let bytes = batch.iter().map(|item| item.event.payload().len() + item.event.topic().len()).sum();
        let call = Call { at: Instant::now(), payloads: batch.iter().map(text).collect(), bytes };
        self.calls.lock().unwrap().push(call);
        let mut unfinished = Unfinished(&self.cut, true);
        let does = |batch: &[BatchItem], word: &str| batch.iter().any(|item| text(item).split(' ').any(|w| w == word));
        for item in batch.iter() {
            for wait in text(item).split(' ').filter_map(|word| word.parse::<u64>().ok()) {
                sleep(Duration::from_millis(wait)).await;
            }
        }
        if does(batch, "hang") {
            std::future::pending::<()>().await;
        }
        assert!(!does(batch, "panic"), "out of luck");
        if does(batch, "sort") {
            batch.sort_by_key(|item| std::cmp::Reverse(text(item)));
        }
        let long = does(batch, "long");
        let mut results = Vec::new();
        for item in batch.iter_mut() {
            let text = text(item);
            if text.contains("short") {
                break;
            }
            // Also when it fails: must be discarded.
            item.cx.emit("out", Record::new(text.clone())).unwrap();
            results.push(match () {
                () if text.contains("permanent") => Err(HandlerError::permanent(text)),
                () if text.contains("err") => Err(HandlerError::retry(text)),
                () => Ok(()),
            });
        }
        if long {
            results.push(Ok(()));
        }
        unfinished.1 = false;
        results
    }
}
