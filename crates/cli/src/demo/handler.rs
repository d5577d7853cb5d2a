//! The handler of the demo: a threshold alert, which also enters every event into the ledger.

use std::sync::Arc;

use tidemill::prelude::*;
use tokio::sync::Semaphore;

use super::clock::Clock;
use super::ledger::{Ledger, Seen};
use super::reading::{self, Alert, LIMIT_CELSIUS, Read};
use crate::names::instance_number;

/// Name of the sink that alerts go to.
pub(crate) const ALERTS: &str = "alerts";

/// See the module's description.
pub(crate) struct Thermostats {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Clock,
    /// Places on the way: each handled event gives one back to the fleet.
    pub(crate) ahead: Arc<Semaphore>,
    /// So many places are given back at a time.
    pub(crate) chunk: u32,
}

#[async_trait]
impl Handler for Thermostats {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let reading: Read = event.json().permanent()?;
        let id = event.capture("id").unwrap_or_default();
        let alert = reading.celsius > LIMIT_CELSIUS;
        if alert {
            cx.emit(ALERTS, Alert { device: id, seq: reading.seq, celsius: reading.celsius })?;
        }
        let seen = reading::device(id).zip(instance_number(cx.instance())).and_then(|(device, member)| {
            let Read { seq, sent_ns, .. } = reading;
            let seen = Seen { device, seq, sent_ns, now_ns: self.clock.ns(), alert };
            self.ledger.handled(member, cx.instance(), seen, self.chunk)
        });
        match seen {
            Some(0) => Ok(()),
            Some(places) => {
                self.ahead.add_permits(places as usize);
                Ok(())
            }
            None => Err(HandlerError::permanent("no event of this demo")),
        }
    }
}
