//! The hub behind its lock, and the wakes that follow from what was done under it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::config::BrokerConfig;
use super::hub::Hub;

#[derive(Debug)]
pub(super) struct Shared {
    hub: Mutex<Hub>,
    pub(super) config: Arc<BrokerConfig>,
    /// A timer was set that may be due before the one that the housekeeper waits for.
    pub(super) timer_set: Notify,
    /// A connection task ended.
    pub(super) connection_ended: Notify,
}

impl Shared {
    pub(super) fn new(hub: Hub, config: Arc<BrokerConfig>) -> Self {
        Self { hub: Mutex::new(hub), config, timer_set: Notify::new(), connection_ended: Notify::new() }
    }

    /// Does something to the hub, then wakes whom it concerns.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Hub) -> R) -> R {
        let (result, wakes, timer_set) = {
            // The hub is left whole by every panic that could come from it, and a broker that stopped answering
            // would only hide the first failure.
            let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
            let result = action(&mut hub);
            (result, hub.take_wakes(), hub.take_timer_set())
        };
        for conn in wakes {
            conn.wake();
        }
        if timer_set {
            self.timer_set.notify_one();
        }
        result
    }
}
