//! A sink that answers as a function says, and keeps book of what it was given and when.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Record, Sink, SinkError, SinkTraits, async_trait};
use tokio::time::{Instant, sleep};

/// How a write goes: it takes so long, then ends so.
pub(crate) type Answer = (Duration, Result<(), SinkError>);
type Script = Arc<dyn Fn(usize, &[Record]) -> Answer + Send + Sync>;

/// A finished write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) records: Vec<Record>,
    pub(crate) began: Instant,
    pub(crate) ok: bool,
}

/// See the module's description.
#[derive(Clone)]
pub(crate) struct Target {
    traits: SinkTraits,
    script: Script,
    begun: Arc<AtomicUsize>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    writes: Arc<Mutex<Vec<Write>>>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("traits", &self.traits).finish_non_exhaustive()
    }
}

/// What is under way ends also when it is cut.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Target {
    /// A sink whose n-th write (from 0) of these records goes as the function says.
    pub(crate) fn new(script: impl Fn(usize, &[Record]) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            traits: SinkTraits::default(),
            script: Arc::new(script),
            begun: Arc::default(),
            now: Arc::default(),
            most: Arc::default(),
            writes: Arc::default(),
        }
    }

    /// One whose writes all end well after that time.
    pub(crate) fn slow(time: Duration) -> Self {
        Self::new(move |_, _| (time, Ok(())))
    }

    pub(crate) fn with_traits(mut self, traits: SinkTraits) -> Self {
        self.traits = traits;
        self
    }

    /// Writes that have begun.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Most writes that were under way at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn writes(&self) -> Vec<Write> {
        self.writes.lock().unwrap().clone()
    }

    /// Payloads of what was written, in order.
    pub(crate) fn payloads(&self) -> Vec<String> {
        self.written().iter().map(|record| String::from_utf8(record.payload.to_vec()).unwrap()).collect()
    }

    pub(crate) fn written(&self) -> Vec<Record> {
        self.writes().into_iter().filter(|write| write.ok).flat_map(|write| write.records).collect()
    }
}

#[async_trait]
impl Sink for Target {
    fn traits(&self) -> SinkTraits {
        self.traits
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let _under_way = UnderWay(&self.now);
        let began = Instant::now();
        let (time, result) = (self.script)(number, batch);
        sleep(time).await;
        let rejected: Vec<usize> =
            result.as_ref().err().map_or_else(Vec::new, |error| error.rejections().iter().map(|r| r.index).collect());
        let ok = result.is_ok() || !rejected.is_empty();
        let kept = batch.iter().enumerate().filter(|(at, _)| !rejected.contains(at));
        let records = kept.map(|(_, record)| record.clone()).collect();
        self.writes.lock().unwrap().push(Write { records, began, ok });
        result
    }
}
