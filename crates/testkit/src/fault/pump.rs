//! Carries the bytes of one link: reads both ends, holds bytes back for as long as they travel, shows whole packets to
//! the tap where they arrive, and writes them out.
//!
//! INVARIANT: bytes that the tap has seen go to the other end unless the link ends; bytes that it has not seen never do.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::link::{End, Lane, Link, Way};
use crate::wire;

/// Bytes that a direction holds at most before it stops reading.
const HOLDS: usize = 1024 * 1024;

/// Sees the packets of one link.
pub trait Tap: Send + 'static {
    /// A whole packet, header included, has come to the end of its way. It goes no further unless it is
    /// [passed](Onward::pass) on.
    fn packet(&mut self, way: Way, packet: &[u8], onward: &mut Onward<'_>);
}

/// Where a [`Tap`] sends what is to go on.
pub struct Onward<'a> {
    up: &'a mut BytesMut,
    down: &'a mut BytesMut,
    cut: bool,
}

impl fmt::Debug for Onward<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onward").field("cut", &self.cut).finish_non_exhaustive()
    }
}

impl Onward<'_> {
    /// Sends a packet in that direction, behind what was sent before.
    pub fn pass(&mut self, way: Way, packet: &[u8]) {
        match way {
            Way::Up => self.up.extend_from_slice(packet),
            Way::Down => self.down.extend_from_slice(packet),
        }
    }

    /// Ends the link once what was passed on has been written.
    pub fn close(&mut self) {
        self.cut = true;
    }
}

/// One end of a link.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the end of the stream a reset, where there is such a thing.
    fn end_with_reset(&self) {}
}

impl Io for DuplexStream {}

impl Io for TcpStream {
    fn end_with_reset(&self) {
        // Where the option is not to be had, the peer sees the end of the stream instead.
        _ = self.set_zero_linger();
    }
}

#[derive(Default)]
struct Direction {
    /// What travels, and when it arrives.
    travels: VecDeque<(Instant, BytesMut)>,
    held: usize,
    /// Arrived, and perhaps not a whole packet.
    arrived: BytesMut,
    out: BytesMut,
    /// Nothing more comes in.
    ended: bool,
    /// The other side was told that nothing more comes.
    told: bool,
    /// Nothing more can be written.
    broken: bool,
}

impl Direction {
    fn is_empty(&self) -> bool {
        self.travels.is_empty() && self.out.is_empty()
    }

    fn lose(&mut self) {
        self.travels.clear();
        self.held = 0;
        self.arrived.clear();
        self.out.clear();
    }

    /// Reads what there is; whether that was anything.
    fn read(&mut self, from: &mut impl Io, lane: Lane, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.ended && self.held < HOLDS {
            let mut bytes = BytesMut::with_capacity(4096);
            match poll_read_buf(Pin::new(&mut *from), cx, &mut bytes) {
                Poll::Ready(Ok(0) | Err(_)) => self.ended = true,
                Poll::Ready(Ok(_)) if lane.silent => {}
                Poll::Ready(Ok(read)) => {
                    self.held += read;
                    let due = Instant::now() + lane.delay;
                    // A shorter delay does not overtake.
                    let due = self.travels.back().map_or(due, |(last, _)| due.max(*last));
                    self.travels.push_back((due, bytes));
                }
                Poll::Pending => break,
            }
            moved = true;
        }
        moved
    }

    /// Takes in what has arrived by now; whether that was anything.
    fn arrive(&mut self, now: Instant) -> bool {
        let mut moved = false;
        while let Some((_, bytes)) = self.travels.pop_front_if(|(due, _)| *due <= now) {
            self.held -= bytes.len();
            self.arrived.extend_from_slice(&bytes);
            moved = true;
        }
        moved
    }

    fn write(&mut self, to: &mut impl Io, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.out.is_empty() && !self.broken {
            match poll_write_buf(Pin::new(&mut *to), cx, &mut self.out) {
                Poll::Ready(Ok(0) | Err(_)) => self.broken = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
            moved = true;
        }
        if self.broken {
            self.out.clear();
        }
        // Half-closed, as TCP does it: the other direction goes on.
        if self.ended && self.is_empty() && !self.told && !self.broken {
            match Pin::new(&mut *to).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.told = true,
                Poll::Ready(Err(_)) => self.broken = true,
                Poll::Pending => {}
            }
        }
        moved
    }
}

pub(super) struct Pump<N, F> {
    link: Link,
    /// The client's side.
    near: N,
    /// The broker's side.
    far: F,
    up: Direction,
    down: Direction,
    tap: Option<Box<dyn Tap>>,
    timer: Option<Pin<Box<Sleep>>>,
    closing: bool,
}

impl<N: Io, F: Io> Pump<N, F> {
    pub(super) fn new(link: Link, near: N, far: F, tap: Option<Box<dyn Tap>>) -> Self {
        let (up, down) = (Direction::default(), Direction::default());
        Self { link, near, far, up, down, tap, timer: None, closing: false }
    }

    /// Runs until the link has ended.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        if self.link.how().end == Some(End::Reset) {
            self.near.end_with_reset();
            self.far.end_with_reset();
        }
        self.link.cut();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.register(cx.waker());
        loop {
            let how = self.link.how();
            if how.end.is_some() {
                return Poll::Ready(());
            }
            for (way, direction) in [(Way::Up, &mut self.up), (Way::Down, &mut self.down)] {
                if how.lane(way).silent {
                    direction.lose();
                }
            }
            let mut moved = self.up.read(&mut self.near, how.up, cx);
            moved |= self.down.read(&mut self.far, how.down, cx);
            let now = Instant::now();
            if !self.closing {
                moved |= self.arrive(Way::Up, now);
                moved |= self.arrive(Way::Down, now);
            }
            if !how.half_open() {
                moved |= self.up.write(&mut self.far, cx);
                moved |= self.down.write(&mut self.near, cx);
            }
            if self.is_over(how.half_open()) {
                return Poll::Ready(());
            }
            if !moved && !self.poll_timer(cx) {
                return Poll::Pending;
            }
        }
    }

    fn arrive(&mut self, way: Way, now: Instant) -> bool {
        let direction = match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        };
        if !direction.arrive(now) {
            return false;
        }
        let mut arrived = std::mem::take(&mut direction.arrived);
        let Some(tap) = &mut self.tap else {
            direction.out.extend_from_slice(&arrived);
            return true;
        };
        let mut onward = Onward { up: &mut self.up.out, down: &mut self.down.out, cut: false };
        while !onward.cut {
            match wire::peek(&arrived, usize::MAX) {
                Ok(Some(frame)) => {
                    tap.packet(way, &arrived[..frame.len], &mut onward);
                    arrived.advance(frame.len);
                }
                Ok(None) => break,
                Err(_) => {
                    // Not for the tap to judge.
                    onward.pass(way, &arrived);
                    arrived.clear();
                    break;
                }
            }
        }
        self.closing |= onward.cut;
        match way {
            Way::Up => self.up.arrived = arrived,
            Way::Down => self.down.arrived = arrived,
        }
        true
    }

    fn is_over(&self, half_open: bool) -> bool {
        let gone = |direction: &Direction, other: &Direction| direction.ended || other.broken;
        let (client, broker) = (gone(&self.up, &self.down), gone(&self.down, &self.up));
        if half_open {
            return client && broker;
        }
        if self.closing {
            return self.up.out.is_empty() && self.down.out.is_empty();
        }
        // What a side said before it went still arrives.
        let heard = (self.up.told || self.up.broken) && (self.down.told || self.down.broken);
        heard || (self.down.broken && self.up.is_empty()) || (self.up.broken && self.down.is_empty())
    }

    /// Whether something that travels has arrived.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let next = [&self.up, &self.down].into_iter().filter_map(|way| way.travels.front()).map(|(due, _)| *due).min();
        let Some(next) = next else {
            self.timer = None;
            return false;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if timer.deadline() != next {
            timer.as_mut().reset(next);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

/// An end of a pipe whose peer speaks through the pump.
pub(super) fn pipe() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(256 * 1024)
}

/// Why a connection was not made.
pub(super) fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, "the network refuses connections")
}

/// No delay.
pub(super) const AT_ONCE: Duration = Duration::ZERO;
