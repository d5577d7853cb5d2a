//! The handler of a benchmark: it works as it is told and enters what it saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidemill::prelude::*;
use tokio::time::sleep;

use super::super::clock;
use super::super::stamp::Stamp;
use super::super::work::Work;
use super::journal::{Entry, Journal};
use super::tally::Tally;
use crate::names::instance_number;

/// Of one measured lateness, so much is believed: one part in so many.
const BELIEF: i64 = 16;

/// See the module's description.
pub(super) struct Worked {
    pub(super) tally: Arc<Tally>,
    pub(super) work: Work,
    pub(super) journal: Option<Journal>,
    pub(super) late: Lateness,
}

#[async_trait]
impl Handler for Worked {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let began_ns = clock::now_ns();
        let stamp = Stamp::read(event.payload()).zip(instance_number(cx.instance()));
        let Some((stamp, instance)) = stamp else { return Err(HandlerError::permanent("no event of this benchmark")) };
        match self.work {
            Work::None => {}
            Work::Wait(time) => self.late.wait(time, began_ns).await,
            Work::Cpu(time) => while clock::now_ns() < began_ns + clock::ns(time) {},
        }
        if let Some(journal) = &self.journal {
            let instance = u32::try_from(instance).unwrap_or(u32::MAX);
            journal.write(&Entry { stamp, handled_ns: began_ns, instance })?;
        }
        match self.tally.handled(instance, cx.instance(), &stamp, began_ns, clock::now_ns()) {
            true => Ok(()),
            false => Err(HandlerError::permanent("no event of this benchmark")),
        }
    }
}

/// Timers are late by a millisecond or so. What they usually are late by is taken off every wait, so that waits are as
/// long as they should be on average. It is a mean of what was seen and no sum of what is left, so that however many
/// handlers learn at the same time it does not swing.
#[derive(Debug, Default)]
pub(super) struct Lateness(AtomicI64);

impl Lateness {
    async fn wait(&self, time: Duration, began_ns: u64) {
        let asked = self.asked(i64::try_from(clock::ns(time)).unwrap_or(i64::MAX));
        sleep(Duration::from_nanos(u64::try_from(asked).unwrap_or(0))).await;
        let waited = i64::try_from(clock::now_ns().saturating_sub(began_ns)).unwrap_or(i64::MAX);
        self.learn(waited - asked);
    }

    /// What to ask the timer for.
    fn asked(&self, wanted: i64) -> i64 {
        (wanted - self.0.load(Ordering::Relaxed)).max(0)
    }

    fn learn(&self, late: i64) {
        let usual = self.0.load(Ordering::Relaxed);
        // Two handlers may learn at the same time; either lesson will do.
        self.0.store(usual + (late - usual) / BELIEF, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_settle_at_what_was_asked_for_however_many_wait_at_a_time() {
        let (late, wanted) = (Lateness::default(), 5_000_000);
        let mut waited = 0;
        for _ in 0..50 {
            // A timer that is always late by 1.2 ms, and a whole window that asks before anybody learns.
            let asked = late.asked(wanted);
            for _ in 0..512 {
                waited = asked + 1_200_000;
                late.learn(waited - asked);
            }
        }
        assert!((waited - wanted).abs() < 50_000, "{waited}");
    }
}
