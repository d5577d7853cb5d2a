//! The feed: a server for exactly one client that answers what a client must be answered and otherwise streams events
//! as fast as the socket takes them.
//!
//! It keeps two rules exactly, so that a client which passes did its work: never more unacknowledged events than the
//! client's Receive Maximum, and every PUBACK in the order of the PUBLISHes. It is over when the client disconnects;
//! it is a success when every event was sent and, at QoS 1, acknowledged by then.

mod acks;
mod chunk;
mod connection;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use tidemill_core::BoxError;

pub use acks::AckViolation;

use super::load::Load;
use connection::Connection;

/// How often a waiting feed looks whether it should stop, in milliseconds.
const TICK_MS: u16 = 50;

/// A feed that waits for its client.
#[derive(Debug)]
pub struct Feed {
    listener: TcpListener,
    load: Load,
    payload: Option<Vec<u8>>,
    gate: Arc<Gate>,
    patience: Duration,
}

/// Lets somebody else decide when the stream begins, and tells when it did and when all of it was settled.
#[derive(Debug, Default)]
pub struct Gate {
    subscribed: AtomicBool,
    closed: AtomicBool,
    began: OnceLock<Instant>,
    ended: OnceLock<Instant>,
}

impl Gate {
    /// A gate that holds the stream back until it is [opened](Self::open).
    #[must_use]
    pub fn closed() -> Arc<Self> {
        Arc::new(Self { closed: AtomicBool::new(true), ..Self::default() })
    }

    /// Lets the stream begin.
    pub fn open(&self) {
        self.closed.store(false, Ordering::Release);
    }

    /// Whether the client waits for events.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        self.subscribed.load(Ordering::Acquire)
    }

    /// From the first event until everything was sent and, at QoS 1, acknowledged; `None` until then.
    #[must_use]
    pub fn streamed(&self) -> Option<Duration> {
        Some(self.ended.get()?.saturating_duration_since(*self.began.get()?))
    }
}

/// What a feed did.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Events sent.
    pub sent: u64,
    /// Events acknowledged; 0 at QoS 0.
    pub acked: u64,
    /// Share of the time that the feed itself was on a CPU, from subscription to the last event; 1 is fully busy.
    pub busy: f64,
}

impl Feed {
    /// Listens on a free port of the loopback interface.
    ///
    /// A feed that makes no progress for `patience` gives up.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn bind(load: Load, patience: Duration) -> Result<Self, ServeError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io_error("listen on the loopback"))?;
        listener.set_nonblocking(true).map_err(io_error("configure the listener"))?;
        Ok(Self { listener, load, payload: None, gate: Arc::default(), patience })
    }

    /// Sets what the payloads say, of any length.
    #[must_use]
    pub fn with_payload(mut self, payload: Vec<u8>) -> Self {
        self.load.payload = payload.len();
        self.payload = Some(payload);
        self
    }

    /// Sets who decides when the stream begins.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system call says.
    pub fn addr(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(io_error("read the address of the listener"))
    }

    /// Serves one client until it disconnects. Blocks; ends early, with an error, when `stop` becomes true.
    ///
    /// # Errors
    /// A [`ServeError`] that says who broke what.
    pub fn serve(self, stop: &AtomicBool) -> Result<Served, ServeError> {
        let idle = Idle::new(stop, self.patience);
        let mut waited = idle.clone();
        while !ready(&self.listener, PollFlags::POLLIN)?.contains(PollFlags::POLLIN) {
            waited.tick().map_err(|gone| gone.unwrap_or(ServeError::NoClient))?;
        }
        let (socket, _) = self.listener.accept().map_err(io_error("accept the client"))?;
        Connection::new(socket, &self.load, self.payload, self.gate)?.run(idle)
    }
}

/// Counts time without progress in ticks, so that a busy feed never reads the clock.
#[derive(Clone, Debug)]
struct Idle<'a> {
    stop: &'a AtomicBool,
    limit: u128,
    ticks: u128,
}

impl<'a> Idle<'a> {
    fn new(stop: &'a AtomicBool, patience: Duration) -> Self {
        Self { stop, limit: patience.as_millis() / u128::from(TICK_MS), ticks: 0 }
    }

    fn reset(&mut self) {
        self.ticks = 0;
    }

    /// One more tick without progress. `Err(Some)`: told to stop; `Err(None)`: out of patience.
    fn tick(&mut self) -> Result<(), Option<ServeError>> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Some(ServeError::Stopped));
        }
        self.ticks += 1;
        if self.ticks > self.limit { Err(None) } else { Ok(()) }
    }
}

/// Waits for one of `flags`, at most one tick; empty when the tick is over.
fn ready(socket: &impl AsFd, flags: PollFlags) -> Result<PollFlags, ServeError> {
    let mut fds = [PollFd::new(socket.as_fd(), flags)];
    match poll(&mut fds, TICK_MS) {
        Ok(_) => Ok(fds[0].revents().unwrap_or(PollFlags::empty())),
        Err(nix::errno::Errno::EINTR) => Ok(PollFlags::empty()),
        Err(errno) => Err(io_error("wait for the socket")(errno.into())),
    }
}

fn io_error(doing: &'static str) -> impl Fn(io::Error) -> ServeError {
    move |source| ServeError::Io { doing, source }
}

/// Why a feed did not serve its client to the end.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// A system call failed.
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// No client came in time.
    NoClient,
    /// Neither side could go on.
    Stalled {
        /// Events sent until then.
        sent: u64,
        /// Events acknowledged until then.
        acked: u64,
    },
    /// The client disconnected too early.
    LeftEarly {
        /// Events sent until then.
        sent: u64,
        /// Events acknowledged until then.
        acked: u64,
    },
    /// A PUBACK broke the protocol.
    Ack(AckViolation),
    /// A packet could not be read, or has no place here.
    Protocol(BoxError),
    /// It was told to stop.
    Stopped,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, .. } => f.write_str(doing),
            Self::NoClient => f.write_str("no client connected in time"),
            Self::Stalled { sent, acked } => {
                write!(f, "the client made no progress in time: {sent} events sent, {acked} acknowledged")
            }
            Self::LeftEarly { sent, acked } => {
                write!(f, "the client left too early: {sent} events sent, {acked} acknowledged")
            }
            Self::Ack(_) => f.write_str("the client acknowledged wrongly"),
            Self::Protocol(_) => f.write_str("the client broke the protocol"),
            Self::Stopped => f.write_str("the feed was told to stop"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Ack(violation) => Some(violation),
            Self::Protocol(source) => Some(&**source),
            Self::NoClient | Self::Stalled { .. } | Self::LeftEarly { .. } | Self::Stopped => None,
        }
    }
}
