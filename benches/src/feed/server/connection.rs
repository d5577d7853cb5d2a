//! The feed's side of one connection: a loop of write, wait, read. Answers go out between bursts, never inside one.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use nix::poll::PollFlags;
use rumqttc::v5::mqttbytes::Error as CodecError;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Packet, PingResp, PubAckReason, SubAck, SubscribeReasonCode, UnsubAck, UnsubAckReason,
};
use rumqttc::v5::mqttbytes::{QoS as CodecQoS, qos};
use tidemill_core::QoS;
use tidemill_core::topic::Subscription;

use super::acks::Ledger;
use super::chunk::Chunk;
use super::{Gate, Idle, ServeError, Served, io_error, ready};
use crate::feed::load::Load;
use crate::feed::rusage::Sample;

/// Largest packet that a client may send, in bytes.
const MAX_INPUT: u32 = 64 * 1024;

/// Bursts between two looks at the input while the socket takes everything.
const BURSTS_PER_LOOK: u32 = 16;

/// First byte of a DISCONNECT.
const DISCONNECT: u8 = 0xE0;

/// How far the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Subscribing,
    Streaming,
}

#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    load: Load,
    topic: String,
    scratch: Box<[u8]>,
    input: BytesMut,
    /// Answers that wait for the end of a burst.
    answers: BytesMut,
    chunk: Chunk,
    ledger: Ledger,
    phase: Phase,
    gate: Arc<Gate>,
    /// CPU time of the feed when the stream began and when everything was sent and settled.
    began: Option<Sample>,
    ended: Option<Sample>,
}

impl Connection {
    pub(super) fn new(
        socket: TcpStream,
        load: &Load,
        payload: Option<Vec<u8>>,
        gate: Arc<Gate>,
    ) -> Result<Self, ServeError> {
        socket.set_nonblocking(true).map_err(io_error("configure the socket"))?;
        socket.set_nodelay(true).map_err(io_error("configure the socket"))?;
        Ok(Self {
            socket,
            load: load.clone(),
            topic: load.topic_names().next().unwrap_or_default(),
            scratch: vec![0; MAX_INPUT as usize].into(),
            input: BytesMut::new(),
            answers: BytesMut::new(),
            chunk: Chunk::new(load, payload).map_err(protocol)?,
            ledger: Ledger::new(None),
            phase: Phase::Connecting,
            gate,
            began: None,
            ended: None,
        })
    }

    /// Serves until the client leaves.
    pub(super) fn run(mut self, mut idle: Idle<'_>) -> Result<Served, ServeError> {
        let mut bursts = 0_u32;
        loop {
            self.queue();
            let wrote = self.write()?;
            bursts = bursts.wrapping_add(1);
            if wrote && self.may_queue() && !bursts.is_multiple_of(BURSTS_PER_LOOK) {
                continue;
            }
            let mut interest = PollFlags::POLLIN;
            interest.set(PollFlags::POLLOUT, !self.is_drained() || self.may_queue());
            let state = ready(&self.socket, interest)?;
            if state.is_empty() {
                let (sent, acked) = (self.ledger.sent(), self.ledger.acked());
                idle.tick().map_err(|gone| gone.unwrap_or(ServeError::Stalled { sent, acked }))?;
                continue;
            }
            idle.reset();
            if state.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) && self.read()? {
                return self.finish();
            }
        }
    }

    fn finish(self) -> Result<Served, ServeError> {
        let (sent, acked) = (self.ledger.sent(), self.ledger.acked());
        match (self.began, self.ended) {
            (Some(began), Some(ended)) => Ok(Served { sent, acked, busy: ended.busy_since(&began) }),
            _ => Err(ServeError::LeftEarly { sent, acked }),
        }
    }

    fn is_drained(&self) -> bool {
        self.chunk.pending().is_empty() && self.answers.is_empty()
    }

    /// Whether more events may be queued once the present ones are written.
    fn may_queue(&self) -> bool {
        self.phase == Phase::Streaming
            && self.ledger.sent() < self.load.events
            && self.ledger.room() > 0
            && !self.gate.closed.load(Ordering::Acquire)
    }

    fn queue(&mut self) {
        if self.may_queue() && self.is_drained() {
            let max = self.ledger.room().min(self.load.events - self.ledger.sent());
            if self.ledger.sent() == 0 {
                let _ = self.gate.began.set(now());
            }
            self.ledger.record_sent(self.chunk.queue(max));
        }
    }

    /// Writes what the socket takes. True when nothing is left.
    fn write(&mut self) -> Result<bool, ServeError> {
        while !self.chunk.pending().is_empty() {
            let Some(count) = write_some(&mut self.socket, self.chunk.pending())? else { return Ok(false) };
            self.chunk.sent(count);
        }
        while !self.answers.is_empty() {
            let Some(count) = write_some(&mut self.socket, &self.answers)? else { return Ok(false) };
            self.answers.advance(count);
        }
        self.note_end()?;
        Ok(true)
    }

    /// Reads and handles what has come. True when the client is gone.
    fn read(&mut self) -> Result<bool, ServeError> {
        let count = match self.socket.read(&mut self.scratch) {
            Ok(0) => return Ok(true),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(true),
            Err(error) => return Err(io_error("read from the client")(error)),
        };
        self.input.extend_from_slice(&self.scratch[..count]);
        loop {
            let taken = self.ledger.take(&self.input).map_err(ServeError::Ack)?;
            self.input.advance(taken);
            // The codec refuses a DISCONNECT of two bytes, which is what most clients send.
            if self.input.first() == Some(&DISCONNECT) {
                self.note_end()?;
                return Ok(true);
            }
            match Packet::read(&mut self.input, Some(MAX_INPUT)) {
                Ok(packet) => self.handle(packet)?,
                Err(CodecError::InsufficientBytes(_)) => break,
                Err(error) => return Err(protocol(error)),
            }
        }
        self.note_end()?;
        Ok(false)
    }

    fn handle(&mut self, packet: Packet) -> Result<(), ServeError> {
        let answer = match (self.phase, packet) {
            (Phase::Connecting, Packet::Connect(connect, ..)) => {
                let window = connect.properties.and_then(|properties| properties.receive_maximum).unwrap_or(u16::MAX);
                self.ledger = Ledger::new((self.load.qos != QoS::AtMostOnce).then_some(window));
                self.phase = Phase::Subscribing;
                Packet::ConnAck(ConnAck { session_present: false, code: ConnectReturnCode::Success, properties: None })
            }
            (Phase::Subscribing | Phase::Streaming, Packet::Subscribe(subscribe)) => {
                let mut return_codes = Vec::new();
                for filter in &subscribe.filters {
                    let subscription: Subscription = filter.path.parse().map_err(protocol)?;
                    if subscription.filter.matches(&self.topic) && self.phase == Phase::Subscribing {
                        self.phase = Phase::Streaming;
                        self.gate.subscribed.store(true, Ordering::Release);
                        self.began = Some(Sample::of_thread().map_err(io_error("read the CPU time"))?);
                    }
                    return_codes.push(SubscribeReasonCode::Success(self.granted(filter.qos)));
                }
                Packet::SubAck(SubAck { pkid: subscribe.pkid, return_codes, properties: None })
            }
            (Phase::Subscribing | Phase::Streaming, Packet::Unsubscribe(unsubscribe)) => Packet::UnsubAck(UnsubAck {
                pkid: unsubscribe.pkid,
                reasons: vec![UnsubAckReason::Success; unsubscribe.filters.len()],
                properties: None,
            }),
            (Phase::Subscribing | Phase::Streaming, Packet::PingReq(_)) => Packet::PingResp(PingResp),
            (Phase::Streaming, Packet::PubAck(ack))
                if matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) =>
            {
                return self.ledger.acknowledge(ack.pkid).map_err(ServeError::Ack);
            }
            (phase, packet) => return Err(protocol(format!("{packet:?} while {phase:?}"))),
        };
        answer.write(&mut self.answers, None).map_err(protocol)?;
        Ok(())
    }

    fn granted(&self, asked: CodecQoS) -> CodecQoS {
        let fed = qos(self.load.qos.level()).unwrap_or(CodecQoS::AtMostOnce);
        if asked < fed { asked } else { fed }
    }

    fn note_end(&mut self) -> Result<(), ServeError> {
        let over = self.ledger.sent() == self.load.events && self.ledger.is_settled();
        if over && self.ended.is_none() && self.chunk.pending().is_empty() {
            self.ended = Some(Sample::of_thread().map_err(io_error("read the CPU time"))?);
            let _ = self.gate.ended.set(now());
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// `None` when the socket takes nothing now.
fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> Result<Option<usize>, ServeError> {
    match socket.write(bytes) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Some(0)),
        Err(error) => Err(io_error("write to the client")(error)),
    }
}

fn protocol(source: impl Into<tidemill_core::BoxError>) -> ServeError {
    ServeError::Protocol(source.into())
}
