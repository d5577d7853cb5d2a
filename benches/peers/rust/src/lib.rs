//! What all peers in Rust have in common: the settings, the payload, and the count of what was handled.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What every event says.
#[derive(Debug, Deserialize, Serialize)]
pub struct Reading {
    /// When it was sent, in nanoseconds since the Unix epoch; 0 where nobody measures.
    pub sent_ns: u64,
    /// What the handler looks at.
    pub celsius: f64,
}

/// A setting from the environment.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// A number from the environment.
pub fn number(name: &str) -> u64 {
    setting(name).parse().unwrap_or_else(|_| panic!("{name} is no number"))
}

/// Counts what was handled, and prints the result once everything was.
pub struct Tally {
    expected: u64,
    handled: AtomicU64,
    hot: AtomicU64,
    latency_us: Mutex<Histogram<u64>>,
}

impl Tally {
    /// Expects as many events as the environment says.
    pub fn from_env() -> Self {
        let latency_us = Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are fine");
        Self {
            expected: number("PEER_EVENTS"),
            handled: AtomicU64::new(0),
            hot: AtomicU64::new(0),
            latency_us: Mutex::new(latency_us),
        }
    }

    /// One more event was handled.
    pub fn handle(&self, reading: &Reading) {
        if reading.celsius > 80.0 {
            self.hot.fetch_add(1, Relaxed);
        }
        if reading.sent_ns > 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            let latency_us = now.saturating_sub(reading.sent_ns) / 1000;
            self.latency_us.lock().unwrap().saturating_record(latency_us);
        }
        // Not relaxed: who counts the last one sees what all the others recorded.
        if self.handled.fetch_add(1, AcqRel) + 1 == self.expected {
            self.print();
        }
    }

    fn print(&self) {
        let latency_us = self.latency_us.lock().unwrap();
        let at = |quantile| latency_us.value_at_quantile(quantile);
        println!(
            "{{\"events\":{},\"hot\":{},\"p50_us\":{},\"p99_us\":{},\"max_us\":{}}}",
            self.expected,
            self.hot.load(Relaxed),
            at(0.5),
            at(0.99),
            latency_us.max()
        );
    }
}
