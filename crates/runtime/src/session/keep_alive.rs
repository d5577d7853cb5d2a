//! Keep-alive of a session: when to ping, and when silence means that the connection is dead.
//!
//! INVARIANT (G6): an answer that cannot be seen, because reading pauses, is never missed.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::codec;
use super::error::{SessionError, SessionErrorKind};

/// See the module's description.
#[derive(Debug)]
pub(super) struct KeepAlive {
    /// 0: the broker wants no pings.
    keep_alive: Duration,
    timeout: Duration,
    last_read: Instant,
    last_write: Instant,
    /// Pings that are not answered.
    pings: u32,
    ping_sent: Instant,
    /// Reading was paused at some time since the clocks were last looked at.
    held_back: bool,
}

impl KeepAlive {
    pub(super) fn new(keep_alive: Duration, timeout: Duration) -> Self {
        let now = Instant::now();
        Self { keep_alive, timeout, last_read: now, last_write: now, pings: 0, ping_sent: now, held_back: false }
    }

    /// Bytes came.
    pub(super) fn heard(&mut self) {
        self.last_read = Instant::now();
    }

    /// When bytes came last.
    pub(super) fn last_read(&self) -> Instant {
        self.last_read
    }

    /// Something is on its way.
    pub(super) fn wrote(&mut self) {
        self.last_write = Instant::now();
    }

    /// The same, by a clock that was read already.
    pub(super) fn wrote_since_read(&mut self) {
        self.last_write = self.last_write.max(self.last_read);
    }

    /// Says whether reading is paused now.
    pub(super) fn hold_back(&mut self, paused: bool) {
        self.held_back |= paused;
    }

    /// Whether reading has gone on since this was asked last: where it has just begun again, the answer to something may
    /// wait to be read.
    pub(super) fn has_read_on(&mut self, reading: bool) -> bool {
        !std::mem::take(&mut self.held_back) && reading
    }

    pub(super) fn ping(&mut self, out: &mut BytesMut) {
        codec::write_pingreq(out);
        let now = Instant::now();
        self.pings += 1;
        self.ping_sent = now;
        self.last_write = now;
    }

    /// The answer to a ping came.
    pub(super) fn answered(&mut self) {
        self.pings = self.pings.saturating_sub(1);
    }

    /// Whether an answer is awaited.
    pub(super) fn awaits_answer(&self) -> bool {
        self.pings > 0
    }

    /// Three quarters of the keep-alive: early enough that a slow network does not turn it into a lost connection.
    fn interval(&self) -> Duration {
        self.keep_alive.mul_f64(0.75)
    }

    /// When the clocks must be looked at again; not later than `until`.
    pub(super) fn next_deadline(&self, until: Option<Instant>) -> Instant {
        const FAR: Duration = Duration::from_secs(3600);
        let mut deadline = Instant::now() + FAR;
        if !self.keep_alive.is_zero() {
            // While an answer is awaited, only silence of our own is a reason for another ping.
            let silent_since = if self.pings > 0 { self.last_write } else { self.last_write.min(self.last_read) };
            deadline = deadline.min(silent_since + self.interval());
        }
        if self.pings > 0 {
            deadline = deadline.min(self.ping_sent + self.timeout);
        }
        if let Some(until) = until {
            deadline = deadline.min(until);
        }
        // A deadline in the past, while reading pauses, must not turn the timer into a busy loop.
        deadline.max(Instant::now() + Duration::from_millis(20))
    }

    /// Looks at the clocks: pings when it is time. `reading`: reading has gone on all the time.
    ///
    /// # Errors
    /// The connection is dead.
    pub(super) fn tick(&mut self, reading: bool, out: &mut BytesMut) -> Result<(), SessionError> {
        let now = Instant::now();
        if self.pings > 0 {
            // Any byte is a sign of life; and an answer cannot be seen while reading pauses.
            let heard = self.last_read > self.ping_sent;
            if reading && !heard && now >= self.ping_sent + self.timeout {
                let text = format!("no answer to a ping within {:?}", self.timeout);
                return Err(SessionError::new(SessionErrorKind::PingTimeout, text));
            }
            if heard || !reading {
                self.ping_sent = now;
            }
        }
        self.ping_if_due(now, out);
        Ok(())
    }

    /// Pings when it is time, and judges nothing. Whether it did.
    pub(super) fn ping_if_due(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        let due = !self.keep_alive.is_zero() && now >= self.last_write.min(self.last_read) + self.interval();
        let pings = due && (self.pings == 0 || now >= self.last_write + self.interval());
        if pings {
            self.ping(out);
        }
        pings
    }
}
