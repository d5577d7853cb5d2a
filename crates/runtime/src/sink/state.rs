//! What a sink shows of itself: to the admin server, to the kill switch, to metrics.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::observe::{Oldest, SinkMetrics};

/// Shared by a sink's engine and everyone who looks.
#[derive(Debug)]
pub(crate) struct SinkState {
    pub(crate) name: Box<str>,
    pub(crate) metrics: SinkMetrics,
    affects_readiness: bool,
    opened: AtomicBool,
    broken: AtomicBool,
    misconfigured: AtomicBool,
    in_flight: AtomicUsize,
    /// Of the events whose records are here.
    oldest: Oldest,
    last_error: Mutex<Option<String>>,
}

impl SinkState {
    pub(crate) fn new(name: Box<str>, metrics: SinkMetrics, affects_readiness: bool) -> Self {
        Self {
            name,
            metrics,
            affects_readiness,
            opened: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            misconfigured: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            oldest: Oldest::default(),
            last_error: Mutex::default(),
        }
    }

    pub(super) fn opened(&self) {
        self.opened.store(true, Ordering::Release);
    }

    /// Whether the breaker is open.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Release);
        self.metrics.breaker.set(i64::from(broken));
    }

    /// A write, or opening the sink, has failed.
    pub(super) fn failed(&self, error: String, misconfigured: bool) {
        self.misconfigured.store(misconfigured, Ordering::Release);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// The sink has answered. Its last error stays to be seen.
    pub(super) fn answered(&self) {
        self.misconfigured.store(false, Ordering::Release);
    }

    pub(super) fn set_load(&self, in_flight: usize, oldest: Option<Instant>) {
        self.oldest.set(oldest);
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }

    /// Age of the oldest event whose records are here.
    pub(crate) fn oldest_age(&self) -> Duration {
        self.oldest.age()
    }

    /// Why the worker should not be called ready on account of this sink.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        if self.misconfigured.load(Ordering::Acquire) {
            Some("set up wrongly")
        } else if self.affects_readiness && self.is_broken() {
            Some("it cannot be written")
        } else {
            None
        }
    }

    pub(crate) fn status(&self) -> SinkStatus {
        let state = if !self.opened.load(Ordering::Acquire) {
            "closed"
        } else if self.misconfigured.load(Ordering::Acquire) {
            "misconfigured"
        } else if self.is_broken() {
            "unavailable"
        } else {
            "open"
        };
        SinkStatus {
            name: self.name.clone(),
            state,
            breaker: if self.is_broken() { "open" } else { "closed" },
            queue_records: u64::try_from(self.metrics.queue.get()).unwrap_or(0),
            queue_bytes: u64::try_from(self.metrics.queue_bytes.get()).unwrap_or(0),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            oldest_record_seconds: self.oldest_age().as_secs_f64(),
            written: self.metrics.written.get(),
            rejected: self.metrics.rejected.get(),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// A sink as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SinkStatus {
    /// Its name; `dead_letters` and `publish` are built in.
    pub name: Box<str>,
    /// `closed` before it was opened, `open`, `unavailable` while the breaker is open, or `misconfigured`.
    pub state: &'static str,
    /// `closed` while all is well, `open` while one write is tried at a time.
    pub breaker: &'static str,
    /// Records that wait or are being written.
    pub queue_records: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Writes under way.
    pub in_flight: usize,
    /// Age of the oldest event that has records here, in seconds.
    pub oldest_record_seconds: f64,
    /// Records written so far.
    pub written: u64,
    /// Records refused so far.
    pub rejected: u64,
    /// The last error, also when all is well again.
    pub last_error: Option<String>,
}
