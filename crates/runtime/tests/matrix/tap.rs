//! The worker's way to the broker, with a tap on it: what the worker reads and writes goes to the log, packet by packet.
//! The bytes are passed on as they are, in pieces and after a delay where the plan says so.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tidemill_core::async_trait;
use tidemill_runtime::{BoxStream, Connector, MqttVersion, SessionError};
use tidemill_testkit::broker::Broker;
use tidemill_testkit::wire::{Version, read_v4, read_v5, v4, v5};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::log::{Effect, Letter, Log, SessionId, What};
use crate::payload;

/// Where the broker is.
#[derive(Clone, Debug)]
pub(crate) enum Dial {
    Memory(Arc<Broker>),
    Tcp(SocketAddr),
}

impl Dial {
    pub(crate) async fn dial(&self) -> BoxStream {
        match self {
            Self::Memory(broker) => Box::new(broker.connect()),
            Self::Tcp(addr) => loop {
                if let Ok(stream) = tokio::net::TcpStream::connect(addr).await {
                    stream.set_nodelay(true).unwrap();
                    break Box::new(stream);
                }
                // Bounded by the timeout of whoever connects.
                sleep(Duration::from_millis(20)).await;
            },
        }
    }
}

/// The same version in the words of the test broker.
pub(crate) fn version_of(version: MqttVersion) -> Version {
    match version {
        MqttVersion::V5 => Version::V5,
        _ => Version::V4,
    }
}

/// How bytes travel from the broker to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Travel {
    /// How long they take.
    pub(crate) delay: Duration,
    /// How many are read at once at most.
    pub(crate) piece: usize,
}

impl Travel {
    pub(crate) const AT_ONCE: Self = Self { delay: Duration::ZERO, piece: usize::MAX };
}

/// A connector whose streams write to the log.
#[derive(Clone, Debug)]
pub(crate) struct Tap {
    pub(crate) dial: Dial,
    pub(crate) version: Version,
    pub(crate) travel: Travel,
    pub(crate) log: Log,
}

#[async_trait]
impl Connector for Tap {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        let wire = Wire {
            session: self.log.next_session(),
            version: self.version,
            log: self.log.clone(),
            read: BytesMut::new(),
            written: BytesMut::new(),
            unconfirmed: HashMap::new(),
            began: false,
        };
        let stream = self.dial.dial().await;
        let travel = self.travel;
        Ok(Box::new(Tapped { stream, wire, travel, arrived: BytesMut::new(), due: None, over: false, broken: false }))
    }
}

/// What a worker published and has no PUBACK for.
enum Unconfirmed {
    Effect(Effect),
    Letter(Letter),
}

/// Reads along.
struct Wire {
    session: SessionId,
    version: Version,
    log: Log,
    read: BytesMut,
    written: BytesMut,
    unconfirmed: HashMap<u16, Unconfirmed>,
    began: bool,
}

enum Packet {
    Publish { topic: String, payload: bytes::Bytes, pkid: u16, dup: bool, headers: Vec<(String, String)> },
    PubAck { pkid: u16, well: bool },
    Connect(String),
    Other,
}

fn is_success(reason: v5::PubAckReason) -> bool {
    matches!(reason, v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers)
}

fn next_packet(version: Version, bytes: &mut BytesMut) -> Option<Packet> {
    if let [0x40, 2, high, low, ..] = **bytes {
        bytes.advance(4);
        return Some(Packet::PubAck { pkid: u16::from_be_bytes([high, low]), well: true });
    }
    let packet = match version {
        Version::V5 => match read_v5(bytes, usize::MAX).expect("what goes over the wire is MQTT 5")? {
            v5::Packet::Publish(publish) => Packet::Publish {
                topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                payload: publish.payload,
                pkid: publish.pkid,
                dup: publish.dup,
                headers: publish.properties.unwrap_or_default().user_properties,
            },
            v5::Packet::PubAck(ack) => Packet::PubAck { pkid: ack.pkid, well: is_success(ack.reason) },
            v5::Packet::Connect(connect, ..) => Packet::Connect(connect.client_id),
            _ => Packet::Other,
        },
        Version::V4 => match read_v4(bytes, usize::MAX).expect("what goes over the wire is MQTT 3.1.1")? {
            v4::Packet::Publish(publish) => Packet::Publish {
                topic: publish.topic,
                payload: publish.payload,
                pkid: publish.pkid,
                dup: publish.dup,
                headers: Vec::new(),
            },
            v4::Packet::PubAck(ack) => Packet::PubAck { pkid: ack.pkid, well: true },
            v4::Packet::Connect(connect) => Packet::Connect(connect.client_id),
            _ => Packet::Other,
        },
    };
    Some(packet)
}

impl Wire {
    fn read(&mut self, bytes: &[u8]) {
        self.read.extend_from_slice(bytes);
        while let Some(packet) = next_packet(self.version, &mut self.read) {
            match packet {
                Packet::Publish { topic, payload, pkid, dup, .. } => match payload::event(&payload) {
                    Some(event) => self.log.add(What::Delivered { session: self.session, pkid, event, dup }),
                    None => self.log.wrong(format!("an event of nobody's came on {topic}")),
                },
                Packet::PubAck { pkid, well } => match self.unconfirmed.remove(&pkid) {
                    Some(_) if !well => {}
                    Some(Unconfirmed::Effect(effect)) => self.log.add(What::Published(effect)),
                    Some(Unconfirmed::Letter(letter)) => self.log.add(What::Buried(letter)),
                    None => self.log.wrong(format!("the broker acknowledges {pkid}, which was not sent")),
                },
                Packet::Connect(_) | Packet::Other => {}
            }
        }
    }

    fn written(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
        while let Some(packet) = next_packet(self.version, &mut self.written) {
            match packet {
                Packet::Connect(client) => {
                    self.began = true;
                    self.log.began(self.session, &client);
                }
                Packet::PubAck { pkid, .. } => self.log.add(What::Acked { session: self.session, pkid }),
                Packet::Publish { topic, payload, pkid, headers, .. } => {
                    self.publishes(&topic, &payload, pkid, headers);
                }
                Packet::Other => {}
            }
        }
    }

    fn publishes(&mut self, topic: &str, payload: &[u8], pkid: u16, headers: Vec<(String, String)>) {
        let what = if topic.starts_with(payload::DEAD) {
            Unconfirmed::Letter(payload::letter(payload, headers))
        } else if let Some(effect) = Effect::parse(payload) {
            Unconfirmed::Effect(effect)
        } else {
            return self.log.wrong(format!("nobody published this to {topic}"));
        };
        if let (Unconfirmed::Effect(effect), 0) = (&what, pkid) {
            self.log.add(What::Published(*effect));
        } else if self.unconfirmed.insert(pkid, what).is_some() {
            self.log.wrong(format!("packet identifier {pkid} is used twice"));
        }
    }
}

struct Tapped {
    stream: BoxStream,
    wire: Wire,
    travel: Travel,
    /// Came from the broker, and is not handed to the worker yet.
    arrived: BytesMut,
    due: Option<Pin<Box<Sleep>>>,
    over: bool,
    /// A write has failed.
    broken: bool,
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tapped({})", self.wire.session)
    }
}

impl Tapped {
    fn end(&mut self) {
        if self.wire.began && !std::mem::replace(&mut self.over, true) {
            self.wire.log.over(self.wire.session);
        }
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        if this.arrived.is_empty() {
            let mut buffer = [0; 16 * 1024];
            let mut fresh = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut fresh))?;
            if fresh.filled().is_empty() {
                this.end();
                return Poll::Ready(Ok(()));
            }
            this.arrived.extend_from_slice(fresh.filled());
            let delay = this.travel.delay;
            this.due = (!delay.is_zero()).then(|| Box::pin(sleep_until(Instant::now() + delay)));
        }
        if let Some(due) = &mut this.due {
            ready!(due.as_mut().poll(cx));
            this.due = None;
        }
        let piece = this.arrived.len().min(out.remaining()).min(this.travel.piece);
        let bytes = this.arrived.split_to(piece);
        this.wire.read(&bytes);
        out.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = &mut *self;
        let result = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes));
        match &result {
            Ok(taken) => this.wire.written(&bytes[..*taken]),
            // The broker is gone. What the worker wanted to say counts as said: it has let go of it.
            Err(_) if !std::mem::replace(&mut this.broken, true) => this.wire.written(bytes),
            Err(_) => {}
        }
        Poll::Ready(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
