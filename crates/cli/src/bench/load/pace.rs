//! The pace of the generator: a thread that wakes it many times a second. Timers of the runtime count whole milliseconds,
//! which would show in every latency; this one is an order of magnitude finer and costs a few per cent of a core.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

/// Between two looks at what is due.
const BEAT: Duration = Duration::from_micros(150);

/// Beats until it is dropped.
#[derive(Debug)]
pub(super) struct Pacer(Arc<AtomicBool>);

impl Pacer {
    pub(super) fn start(tick: Arc<Notify>) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        thread::Builder::new().name("pace".to_owned()).spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                #[expect(clippy::disallowed_methods, reason = "a thread of its own, for finer times than timers have")]
                thread::sleep(BEAT);
                tick.notify_waiters();
            }
        })?;
        Ok(Self(over))
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
