//! One connection, one task: it reads all that has arrived, applies it under one lock, and writes all that is due.
//!
//! Reading and writing never wait for each other: a client that does not read is still read from, up to a limit on
//! what is waiting to be written. Nothing is awaited but the socket, a wake from the hub and the keep-alive.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::conn::{Close, Conn};
use super::encode;
use super::handshake::{self, Accepted, Refused};
use super::hub::Who;
use super::inbound::{Decoder, Fault, Inbound};
use super::message::{Ack, Outgoing};
use super::quota::Quota;
use super::shared::Shared;
use crate::wire::Version;

/// Room for one read.
const READ: usize = 64 * 1024;
/// Below this much room a new buffer is taken.
const READ_LEAST: usize = 8 * 1024;
/// Nothing more is taken from the outbox while more than this waits to be written.
const WRITE_ENOUGH: usize = 256 * 1024;
/// Nothing more is read from a client that leaves more than this unread.
const WRITE_TOO_MUCH: usize = 4 * 1024 * 1024;
/// How long a connection that is over may take to hear why.
const GOODBYE: Duration = Duration::from_secs(1);

const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
const RECEIVE_MAXIMUM_EXCEEDED: Fault = Fault(0x93);

/// Serves a connection from its first byte to its last.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(shared: Arc<Shared>, conn: Arc<Conn>, stream: S) {
    let _registered = Registered { shared: &shared, conn: &conn };
    let mut pipe = Pipe { stream, read: BytesMut::new(), out: BytesMut::new(), conn: &conn };
    let Ok(Some(accepted)) = timeout(shared.config.connect_timeout, pipe.first_packet(&shared)).await else { return };
    let version = accepted.request.version;
    let keep_alive = accepted.keep_alive;
    let asked_for = (!accepted.request.client.is_empty(), accepted.request.expiry);
    let attached = shared.with(|hub| hub.attach(&conn, accepted.request, Instant::now()));
    let Some(attached) = attached else { return pipe.refuse(handshake::too_many(version)).await };
    handshake::welcome(&attached, asked_for, version, &shared.config, &mut pipe.out);
    let mut attachment = Attachment { shared: &shared, who: attached.who, why: Close::Lost };
    let config = &shared.config;
    let decoder = Decoder::new(
        version,
        attached.who.session,
        config.max_packet_size,
        config.levels(),
        config.topic_alias_maximum,
    );
    let quota = match version {
        Version::V5 => usize::from(config.receive_maximum.max(1)),
        Version::V4 => usize::MAX,
    };
    let mut quota = Quota::new(quota);
    quota.queue(pipe.out.len(), 0);
    let patience = (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500));
    let link = Link {
        pipe: &mut pipe,
        shared: &shared,
        who: attached.who,
        decoder,
        quota,
        patience,
        burst: Vec::new(),
        acks: Vec::new(),
        mail: Vec::new(),
        pull: true,
    };
    let why = Box::pin(link.run()).await;
    // Whoever detached the session also said why, which is better than the consequence seen here.
    let why = conn.closing().unwrap_or(why);
    attachment.why = why;
    drop(attachment);
    if let Close::Broker(reason) = why {
        encode::disconnect(version, reason, &mut pipe.out);
        pipe.finish().await;
    }
}

/// Makes the hub forget a connection when its task ends, however that happens.
struct Registered<'a> {
    shared: &'a Shared,
    conn: &'a Conn,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.with(|hub| hub.unregister(self.conn.id));
        self.shared.connection_ended.notify_one();
    }
}

/// Detaches the session when the task ends, however that happens.
struct Attachment<'a> {
    shared: &'a Shared,
    who: Who,
    why: Close,
}

impl Drop for Attachment<'_> {
    fn drop(&mut self) {
        self.shared.with(|hub| hub.detach(self.who, self.why, Instant::now()));
    }
}

/// The byte stream with its two buffers.
struct Pipe<'a, S> {
    stream: S,
    read: BytesMut,
    out: BytesMut,
    conn: &'a Conn,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pipe<'_, S> {
    /// Reads until the CONNECT is there. `None` when the connection is over.
    async fn first_packet(&mut self, shared: &Shared) -> Option<Accepted> {
        loop {
            match handshake::read_connect(&mut self.read, &shared.config, Instant::now()) {
                Ok(Some(accepted)) => return Some(accepted),
                Ok(None) => {}
                Err(refused) => {
                    self.refuse(refused).await;
                    return None;
                }
            }
            let read = std::future::poll_fn(|cx| {
                if self.conn.poll_wake(cx) && self.conn.closing().is_some() {
                    return Poll::Ready(None);
                }
                self.poll_read(cx).map(|read| read.ok().filter(|read| *read > 0))
            });
            read.await?;
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < READ_LEAST {
            self.read.reserve(READ);
        }
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read)
    }

    async fn refuse(&mut self, refused: Refused) {
        if let Some((version, code)) = refused.0 {
            encode::refusal(version, code, &mut self.out);
        }
        self.finish().await;
    }

    /// Writes what is left, if the client takes it soon.
    async fn finish(&mut self) {
        let rest = async {
            self.stream.write_all(&self.out).await?;
            self.stream.shutdown().await
        };
        // The client may be gone, which is no concern any more.
        _ = timeout(GOODBYE, rest).await;
    }
}

enum Event {
    Read,
    Wake,
    Idle,
    Over(Close),
}

/// A connection that is attached to a session.
struct Link<'a, 'p, S> {
    pipe: &'a mut Pipe<'p, S>,
    shared: &'a Shared,
    who: Who,
    decoder: Decoder,
    quota: Quota,
    /// How long the client may be silent.
    patience: Option<Duration>,
    burst: Vec<Inbound>,
    acks: Vec<Ack>,
    mail: Vec<Outgoing>,
    /// There may be something in the outbox.
    pull: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<'_, '_, S> {
    async fn run(mut self) -> Close {
        let mut heard = Instant::now();
        let mut idle = pin!(sleep_until(heard + self.patience.unwrap_or_default()));
        loop {
            if let Some(close) = self.pipe.conn.closing() {
                return close;
            }
            if self.pull && self.pipe.out.len() < WRITE_ENOUGH {
                self.pull = false;
                let (who, now) = (self.who, Instant::now());
                if !self.shared.with(|hub| hub.take(who, &mut self.mail, now)) {
                    return Close::Lost;
                }
                self.write_mail(now);
            }
            match std::future::poll_fn(|cx| self.poll_event(cx, idle.as_mut())).await {
                Event::Read => {
                    heard = Instant::now();
                    if let Err(close) = self.take_burst(heard) {
                        return close;
                    }
                }
                Event::Wake => self.pull = true,
                Event::Idle => {
                    let now = Instant::now();
                    // What is not read cannot be heard.
                    if self.holds_back() {
                        heard = now;
                    }
                    let deadline = heard + self.patience.unwrap_or_default();
                    if deadline <= now {
                        return Close::Broker(KEEP_ALIVE_TIMEOUT);
                    }
                    idle.as_mut().reset(deadline);
                }
                Event::Over(close) => return close,
            }
        }
    }

    fn holds_back(&self) -> bool {
        self.pipe.conn.blocked() || self.pipe.out.len() >= WRITE_TOO_MUCH
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, idle: Pin<&mut Sleep>) -> Poll<Event> {
        while !self.pipe.out.is_empty() {
            match poll_write_buf(Pin::new(&mut self.pipe.stream), cx, &mut self.pipe.out) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Event::Over(Close::Lost)),
                Poll::Ready(Ok(wrote)) => self.quota.wrote(wrote),
                Poll::Pending => break,
            }
        }
        if self.pipe.conn.poll_wake(cx) || (self.pull && self.pipe.out.len() < WRITE_ENOUGH) {
            return Poll::Ready(Event::Wake);
        }
        if !self.holds_back() {
            match self.pipe.poll_read(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Event::Over(Close::Lost)),
                Poll::Ready(Ok(_)) => return Poll::Ready(Event::Read),
                Poll::Pending => {}
            }
        }
        if self.patience.is_some() && idle.poll(cx).is_ready() {
            return Poll::Ready(Event::Idle);
        }
        Poll::Pending
    }

    /// Decodes every whole packet that has been read, applies them, and writes what that calls for.
    fn take_burst(&mut self, now: Instant) -> Result<(), Close> {
        let fault = self.decode(now);
        if !self.burst.is_empty() {
            let (who, may_pull) = (self.who, self.pipe.out.len() < WRITE_ENOUGH);
            let Self { shared, burst, acks, mail, .. } = self;
            let result = shared.with(|hub| {
                hub.apply(who, burst, acks, now)?;
                // Applied means attached.
                if may_pull {
                    hub.take(who, mail, now);
                }
                Ok(())
            });
            self.burst.clear();
            self.pull |= !may_pull;
            self.write_acks();
            self.write_mail(now);
            result?;
        }
        fault.map_or(Ok(()), |fault| Err(Close::Broker(fault.0)))
    }

    fn decode(&mut self, now: Instant) -> Option<Fault> {
        loop {
            match self.decoder.read(&mut self.pipe.read, now) {
                Ok(Some(packet)) => {
                    if matches!(packet, Inbound::Publish { pkid, .. } if pkid != 0) && !self.quota.receive() {
                        return Some(RECEIVE_MAXIMUM_EXCEEDED);
                    }
                    self.burst.push(packet);
                }
                Ok(None) => return None,
                Err(fault) => return Some(fault),
            }
        }
    }

    fn write_acks(&mut self) {
        let before = self.pipe.out.len();
        let mut ended = 0;
        for ack in self.acks.drain(..) {
            encode::ack(self.decoder.version, ack, &mut self.pipe.out);
            ended += usize::from(ack.ends_publish());
        }
        self.quota.queue(self.pipe.out.len() - before, ended);
    }

    fn write_mail(&mut self, now: Instant) {
        let before = self.pipe.out.len();
        for item in &self.mail {
            encode::outgoing(self.decoder.version, item, now, &mut self.pipe.out);
        }
        self.mail.clear();
        self.quota.queue(self.pipe.out.len() - before, 0);
    }
}
