//! The sinks of a run: they write down what they have, and fail as the plan says.

use std::sync::atomic::{AtomicU32, Ordering};

use tidemill_core::{Record, Rejection, Sink, SinkError, async_trait};
use tokio::time::sleep;

use crate::log::{Effect, Log, What};
use crate::payload;
use crate::plan::SinkTroubles;

/// What a sink is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Records,
    DeadLetters,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Troubled {
    log: Log,
    takes: For,
    troubles: SinkTroubles,
    writes: AtomicU32,
}

impl Troubled {
    pub(crate) fn new(log: Log, takes: For, troubles: SinkTroubles) -> Self {
        Self { log, takes, troubles, writes: AtomicU32::new(0) }
    }

    fn refuses(&self, effect: Effect) -> bool {
        let Self { troubles, .. } = self;
        troubles.refuses > 0 && effect.attempt.is_multiple_of(troubles.refuses)
    }
}

#[async_trait]
impl Sink for Troubled {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let write = self.writes.fetch_add(1, Ordering::Relaxed);
        sleep(self.troubles.latency).await;
        let now = self.log.now();
        if self.troubles.down.iter().any(|down| down.contains(&now)) {
            return Err(SinkError::unavailable("it is down, as drawn"));
        }
        if self.troubles.panics > 0 && write % self.troubles.panics == 1 {
            std::panic::resume_unwind(Box::new("the sink panics, as drawn"));
        }
        let mut rejections = Vec::new();
        for (index, record) in batch.iter().enumerate() {
            if self.takes == For::DeadLetters {
                self.log.add(What::Buried(payload::letter_of(record)));
                continue;
            }
            match Effect::parse(&record.payload) {
                Some(effect) if self.refuses(effect) => {
                    self.log.add(What::Refused(effect));
                    rejections.push(Rejection { index, reason: "refused, as drawn".to_owned() });
                }
                Some(effect) => self.log.add(What::Written(effect)),
                None => self.log.wrong("a record came that nobody emitted"),
            }
        }
        if rejections.is_empty() { Ok(()) } else { Err(SinkError::rejected(rejections)) }
    }
}
