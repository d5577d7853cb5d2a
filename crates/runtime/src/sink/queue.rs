//! The queue of a sink: bounded in records and bytes.
//!
//! INVARIANT (G5): what was handed in and is not yet written or refused never exceeds the limits, wherever in the engine
//! it is; one record that is larger than the limit of bytes counts as exactly that, so it waits until it is alone.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::ticket::Item;
use crate::config::SinkSettings;
use crate::observe::SinkMetrics;

/// The engine has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended;

/// Room for records and their bytes. It is taken when a record is handed in, and given back when it is done with.
#[derive(Debug)]
pub(super) struct Room {
    records: Semaphore,
    bytes: Semaphore,
    max_bytes: u32,
    metrics: SinkMetrics,
}

impl Room {
    fn new(settings: &SinkSettings, metrics: SinkMetrics) -> Self {
        let max_bytes = u32::try_from(settings.queue_bytes).unwrap_or(u32::MAX).max(1);
        let records = settings.queue_records.max(1) as usize;
        Self { records: Semaphore::new(records), bytes: Semaphore::new(max_bytes as usize), max_bytes, metrics }
    }

    async fn enter(&self, bytes: u32) -> Result<(), Ended> {
        // As a rule there is room, which is had for less without a future. Nobody is overtaken: who waits holds what is free.
        let record = match self.records.try_acquire() {
            Ok(record) => record,
            Err(_) => self.records.acquire().await.map_err(|_| Ended)?,
        };
        let room = match self.bytes.try_acquire_many(bytes) {
            Ok(room) => room,
            Err(_) => self.bytes.acquire_many(bytes).await.map_err(|_| Ended)?,
        };
        record.forget();
        room.forget();
        self.metrics.queue.inc();
        self.metrics.queue_bytes.add(i64::from(bytes));
        Ok(())
    }

    /// So many records of so many bytes are done with.
    pub(super) fn leave(&self, records: usize, bytes: u64) {
        self.records.add_permits(records);
        self.bytes.add_permits(usize::try_from(bytes).unwrap_or(0));
        self.metrics.queue.sub(i64::try_from(records).unwrap_or(0));
        self.metrics.queue_bytes.sub(i64::try_from(bytes).unwrap_or(0));
    }

    /// Sends everyone away who waits, and whoever comes.
    pub(super) fn close(&self) {
        self.records.close();
        self.bytes.close();
    }
}

/// Where records for a sink are handed in.
#[derive(Clone)]
pub(crate) struct SinkHandle {
    sender: mpsc::Sender<Item>,
    room: Arc<Room>,
}

impl fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkHandle")
    }
}

impl SinkHandle {
    /// Hands a record in, waiting for room in the queue. When it is cancelled the record was not handed in.
    pub(crate) async fn send(&self, mut item: Item) -> Result<(), Ended> {
        item.bytes = item.bytes.min(self.room.max_bytes);
        self.room.enter(item.bytes).await?;
        // Room for a record is a place in the channel, so only its end is an error.
        self.sender.try_send(item).map_err(|_| Ended)
    }
}

/// A queue with these limits: where to hand in, what comes out, and the room to give back.
pub(super) fn queue(settings: &SinkSettings, metrics: SinkMetrics) -> (SinkHandle, mpsc::Receiver<Item>, Arc<Room>) {
    let (sender, items) = mpsc::channel(settings.queue_records.max(1) as usize);
    let room = Arc::new(Room::new(settings, metrics));
    (SinkHandle { sender, room: Arc::clone(&room) }, items, room)
}
