//! What the connections of the emulated platform have in common: who is connected under which client ID, how
//! connections ended, and the way to the monitoring topics.
//!
//! INVARIANT: of the connections with one client ID only the newest is entered here, unless the form allows many.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemill_core::platform::{CloseCode, MonitorMessage};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::PlatformConfig;
use super::monitor::Note;

/// How many ends are remembered.
const ENDS: usize = 4096;
/// Letters and digits without vowels, as the platform uses them for the instances that it makes up.
const ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXZbcdfghjklmnpqrstvwxz0123456789";

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// The client ID as it was sent.
    pub client_id: String,
    /// Why.
    pub code: CloseCode,
}

#[derive(Debug)]
pub(super) struct Front {
    pub(super) config: PlatformConfig,
    live: Mutex<HashMap<String, (u64, CancellationToken)>>,
    ends: Mutex<VecDeque<Ended>>,
    pub(super) ended: Notify,
    /// Cuts every connection that there is.
    pub(super) kill: Notify,
    serial: AtomicU64,
    notes: mpsc::Sender<Note>,
}

impl Front {
    pub(super) fn new(config: PlatformConfig, notes: mpsc::Sender<Note>) -> Self {
        Self {
            config,
            live: Mutex::default(),
            ends: Mutex::default(),
            ended: Notify::new(),
            kill: Notify::new(),
            serial: AtomicU64::new(0),
            notes,
        }
    }

    /// Enters a connection, and tells the one before it under the same client ID that it is taken over. The token says
    /// the same to this one.
    pub(super) fn enter(&self, client_id: &str) -> (u64, CancellationToken) {
        let entry = (self.serial.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        if let Some((_, older)) = lock(&self.live).insert(client_id.to_owned(), entry.clone()) {
            older.cancel();
        }
        entry
    }

    /// Takes a connection out, unless a newer one stands in its place.
    pub(super) fn leave(&self, client_id: &str, serial: u64) {
        let mut live = lock(&self.live);
        if live.get(client_id).is_some_and(|(newest, _)| *newest == serial) {
            live.remove(client_id);
        }
    }

    /// Writes down how a connection ended.
    pub(super) fn end(&self, client_id: &str, code: CloseCode) {
        let mut ends = lock(&self.ends);
        if ends.len() == ENDS {
            ends.pop_front();
        }
        ends.push_back(Ended { client_id: client_id.to_owned(), code });
        drop(ends);
        self.ended.notify_waiters();
    }

    pub(super) fn ends(&self) -> Vec<Ended> {
        lock(&self.ends).iter().cloned().collect()
    }

    /// Publishes a monitoring message to a topic; waits while many others are under way.
    pub(super) async fn tell(&self, topic: String, message: Option<&MonitorMessage>, retain: bool) {
        let payload = message.map(MonitorMessage::to_json).unwrap_or_default();
        // The platform is being shut down when nobody takes it.
        let _ = self.notes.send(Note { topic, payload, retain }).await;
    }

    /// The client ID that the broker sees of a member without an instance.
    pub(super) fn generated(client_id: &str) -> String {
        let random: String = (0..8).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect();
        format!("{client_id}:_{random}")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
