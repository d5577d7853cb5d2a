//! A session at work: one task that owns the socket. Each turn it takes back what was finished, writes all due acks at
//! once, decodes what was read as one burst, and hands it to the dispatcher.
//!
//! A session ends in one of three ways ([`End`]): it has left (everything acknowledged, DISCONNECT sent), it was told to
//! stop at once, or the connection was lost.
//!
//! INVARIANT (G5): it stops decoding and reading at the first event beyond the high-water mark, and goes on
//! acknowledging and pinging.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tidemill_core::QoS;
use tidemill_core::topic::TopicName;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::codec::{self, Incoming, Publish};
use super::error::{SessionError, SessionErrorKind};
use super::handshake::{write_disconnect, write_disconnect_for_good};
use super::link::{Ack, Delivery, Finished, Link};
use super::outgoing::Outgoing;
use super::parting::{Parting, PartingCell};
use super::reason::Reason;
use super::status::{Phase, Status};
use super::subscriptions::Subscriptions;
use super::window::AckWindow;
use super::wire::{Driven, Interest, Wire};
use crate::config::{Config, MqttVersion, Overflow};

/// How long the goodbye of a failed session may take.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long the broker may take to close a connection on which something was left unread.
const LAST_READ: Duration = Duration::from_secs(5);

/// What stays the same over all sessions of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) version: MqttVersion,
    /// Filters as they stand in SUBSCRIBE; empty for a connection that only publishes.
    pub(crate) filters: Vec<String>,
    pub(crate) qos: QoS,
    pub(crate) high_water: usize,
    pub(crate) max_unfinished_bytes: usize,
    pub(crate) max_packet_bytes: u32,
    pub(crate) topic_alias_max: u16,
    pub(crate) qos0_overflow: Overflow,
    pub(crate) ping_timeout: Duration,
    pub(crate) subscribe_timeout: Duration,
}

impl Settings {
    /// What the configuration says, for a connection that subscribes to these filters.
    pub(crate) fn new(config: &Config, filters: Vec<String>) -> Self {
        Self {
            version: config.mqtt.version,
            filters,
            qos: config.mqtt.qos,
            high_water: usize::from(config.mqtt.window),
            max_unfinished_bytes: usize::try_from(config.mqtt.max_unfinished_bytes).unwrap_or(usize::MAX),
            max_packet_bytes: config.mqtt.max_packet_bytes,
            topic_alias_max: config.mqtt.topic_alias_max,
            qos0_overflow: config.dispatch.qos0_overflow,
            ping_timeout: config.mqtt.ping_timeout,
            subscribe_timeout: config.mqtt.connect_timeout,
        }
    }
}

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Everything was acknowledged and the broker was told.
    Left,
    /// Told to stop at once; what was unacknowledged stays so.
    Forced,
    /// The connection was lost.
    Lost(SessionError),
}

/// How far leaving has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// UNSUBSCRIBE is sent; its UNSUBACK is awaited.
    Unsubscribing {
        pkid: u16,
    },
    /// Finishing what was received; the broker may still send what it holds for this member.
    Draining,
    /// Nothing is unfinished and a ping is on its way: when its answer comes before any event, the broker has no more.
    Barrier,
    /// Finishing what was received and reading nothing more: the broker keeps the rest, and the subscriptions.
    Pausing,
    /// DISCONNECT is written.
    Goodbye,
}

/// A connected session.
pub(crate) struct Running<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) wire: Wire,
    pub(crate) window: &'a mut AckWindow,
    pub(crate) link: &'a Link,
    pub(crate) outgoing: &'a mut Outgoing,
    pub(crate) status: &'a Status,
    pub(crate) keep_alive: Duration,
    /// Which filters are paused, by their place; one beyond the end is not.
    pub(crate) paused: watch::Receiver<Vec<bool>>,
    /// How to leave.
    pub(crate) parting: &'a PartingCell,
    /// QoS 0 events that are not finished, over all sessions, and their bytes.
    pub(crate) released: &'a mut Unreleased,
    /// Whatever else comes is for the next session.
    pub(crate) stopped_reading: bool,
}

/// QoS 0 events that were handed over and are not finished.
#[derive(Debug, Default)]
pub(crate) struct Unreleased {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

struct Turn<'a> {
    leaving: Leaving,
    subscriptions: Subscriptions<'a>,
    aliases: Vec<Option<TopicName>>,
    deliveries: Vec<Delivery>,
    finished: Finished,
    last_read: Instant,
    last_write: Instant,
    pings: u32,
    ping_sent: Instant,
    /// The input buffer may hold a whole packet that was not decoded for want of room.
    undecoded: bool,
    /// Reading was paused at some time since the clocks were last looked at.
    held_back: bool,
}

impl Running<'_> {
    /// Runs the session to its end.
    pub(crate) async fn run(mut self, leave: &CancellationToken, force: &CancellationToken) -> End {
        let now = Instant::now();
        let mut turn = Turn {
            leaving: Leaving::No,
            subscriptions: Subscriptions::new(&self.settings.filters),
            aliases: Vec::new(),
            deliveries: Vec::new(),
            finished: Finished::default(),
            last_read: now,
            last_write: now,
            pings: 0,
            ping_sent: now,
            undecoded: true,
            held_back: false,
        };
        if let Err(error) = self.reconcile(&mut turn) {
            return self.fail(error, Reason::UNSPECIFIED).await;
        }
        let left = leave.cancelled();
        let forced = force.cancelled();
        let timer = sleep_until(self.next_deadline(&turn));
        tokio::pin!(left, forced, timer);

        loop {
            if let Err((error, reason)) = self.work(&mut turn) {
                return self.fail(error, reason).await;
            }
            if turn.leaving == Leaving::Goodbye {
                // The broker may close first: the goodbye has been said either way.
                let _ = match self.stopped_reading {
                    true => tokio::time::timeout(LAST_READ, self.wire.close_unread()).await,
                    false => tokio::time::timeout(GOODBYE, self.wire.close()).await,
                };
                return End::Left;
            }
            turn.held_back |= !self.may_read();
            let interest = Interest { read: self.may_read() && !turn.undecoded, flush: self.outgoing.awaits_flush() };
            let can_request = self.outgoing.has_room();
            tokio::select! {
                biased;
                // Ends and clocks first: a flood of events must not hide them.
                () = &mut forced => {
                    // What was finished until now is acknowledged.
                    self.take_back(&mut turn);
                    let _ = tokio::time::timeout(GOODBYE, self.wire.close()).await;
                    return End::Forced;
                }
                () = &mut left, if turn.leaving == Leaving::No => {
                    if let Err(error) = self.start_leaving(&mut turn) {
                        return self.fail(error, Reason::UNSPECIFIED).await;
                    }
                }
                () = &mut timer => {
                    if let Err(error) = self.tick(&mut turn) {
                        return self.fail(error, Reason::UNSPECIFIED).await;
                    }
                    timer.as_mut().reset(self.next_deadline(&turn));
                }
                driven = self.wire.drive(interest) => match driven {
                    Ok(Driven::Read) => {
                        turn.last_read = Instant::now();
                        turn.undecoded = true;
                    }
                    Ok(Driven::Flushed) => {}
                    Ok(Driven::Eof) => {
                        return End::Lost(SessionError::new(SessionErrorKind::Io, "the broker closed the connection"));
                    }
                    Err(error) => {
                        let lost = SessionError::new(SessionErrorKind::Io, "the connection broke").with_source(error);
                        return End::Lost(lost);
                    }
                },
                () = self.link.finished_ready() => {}
                Ok(()) = self.paused.changed() => {
                    if let Err(error) = self.reconcile(&mut turn) {
                        return self.fail(error, Reason::UNSPECIFIED).await;
                    }
                    timer.as_mut().reset(self.next_deadline(&turn));
                }
                request = self.outgoing.next_request(), if can_request => {
                    self.outgoing.pump(self.settings.version, &mut self.wire.output, Some(request));
                    turn.last_write = Instant::now();
                }
            }
        }
    }

    /// Everything that needs no waiting: acks, publications, decoding, the next step of leaving.
    fn work(&mut self, turn: &mut Turn<'_>) -> Result<(), (SessionError, Reason)> {
        self.take_back(turn);
        self.outgoing.pump(self.settings.version, &mut self.wire.output, None);
        if turn.undecoded {
            self.decode_burst(turn)?;
        }
        self.continue_leaving(turn);
        if !self.wire.output.is_empty() {
            turn.last_write = turn.last_read.max(turn.last_write);
        }
        self.status.set_occupied(self.window.len(), self.window.occupied() + self.released.events);
        self.status.set_full(!self.has_room());
        Ok(())
    }

    /// Takes back what was finished and writes the acks that are due.
    fn take_back(&mut self, turn: &mut Turn<'_>) {
        self.link.take_finished(&mut turn.finished);
        if turn.finished.is_empty() {
            return;
        }
        self.released.events -= turn.finished.released.min(self.released.events);
        self.released.bytes -= turn.finished.released_bytes.min(self.released.bytes);
        for seq in turn.finished.numbers.drain(..) {
            self.window.finish(seq);
        }
        let output = &mut self.wire.output;
        let acked = self.window.take_due(|pkid| codec::write_puback(output, pkid));
        if acked > 0 {
            self.link.raise_floor(self.window.base());
            self.status.count_acks(acked);
        }
        if self.has_room() {
            turn.undecoded = true;
        }
    }

    fn has_room(&self) -> bool {
        self.window.occupied() + self.released.events < self.settings.high_water
            && self.window.unfinished_bytes() + self.released.bytes < self.settings.max_unfinished_bytes
    }

    /// Whether more may be taken in. Without room it goes on up to the next event: what stands in front of it may be an
    /// answer that somebody waits for, or the end of the connection. Events at QoS 0 that overflow are dropped, by
    /// setting, rather than left waiting.
    fn may_read(&self) -> bool {
        let drops = self.settings.qos == QoS::AtMostOnce && self.settings.qos0_overflow == Overflow::DropNewest;
        let takes = |first: u8| !codec::is_publish(first) || (drops && !codec::is_qos1_publish(first));
        !self.stopped_reading && (self.has_room() || self.wire.input.first().is_none_or(|first| takes(*first)))
    }

    fn decode_burst(&mut self, turn: &mut Turn<'_>) -> Result<(), (SessionError, Reason)> {
        let mut dropped = 0;
        let result = loop {
            if !self.may_read() {
                break Ok(());
            }
            match codec::decode(self.settings.version, &mut self.wire.input, self.settings.max_packet_bytes) {
                Ok(None) => {
                    turn.undecoded = false;
                    break Ok(());
                }
                Ok(Some(Incoming::Publish(publish))) => {
                    if let Err(failure) = self.receive(turn, publish, &mut dropped) {
                        break Err(failure);
                    }
                }
                Ok(Some(packet)) => {
                    if let Err(failure) = self.control(turn, packet) {
                        break Err(failure);
                    }
                }
                Err(error) => {
                    let reason = error.reason();
                    break Err((
                        SessionError::new(SessionErrorKind::Protocol, "the broker broke the protocol")
                            .with_source(error),
                        reason,
                    ));
                }
            }
        };
        if !turn.deliveries.is_empty() || dropped > 0 {
            if turn.leaving == Leaving::Barrier {
                turn.leaving = Leaving::Draining;
            }
            self.status.count_received(turn.deliveries.len() as u64 + dropped);
            self.link.deliver(&mut turn.deliveries, dropped, turn.last_read, SystemTime::now());
        }
        result
    }

    fn receive(
        &mut self,
        turn: &mut Turn<'_>,
        publish: Publish,
        dropped: &mut u64,
    ) -> Result<(), (SessionError, Reason)> {
        // Whatever becomes of the event: it may set an alias that later ones use.
        let topic = self.resolve_topic(turn, publish.topic, publish.topic_alias)?;
        if self.settings.filters.is_empty() {
            // Some brokers subscribe every client to topics of the operator's choice, and nobody here handles events.
            if publish.pkid != 0 {
                codec::write_puback(&mut self.wire.output, publish.pkid);
            }
            return Ok(());
        }
        if publish.pkid == 0 && !self.has_room() {
            *dropped += 1;
            return Ok(());
        }
        let bytes = u32::try_from(topic.as_str().len() + publish.payload.len()).unwrap_or(u32::MAX);
        let ack = if publish.qos == QoS::AtMostOnce {
            self.released.events += 1;
            self.released.bytes += bytes as usize;
            Ack::Release { bytes }
        } else {
            Ack::Number(self.window.receive(publish.pkid, bytes))
        };
        turn.deliveries.push(Delivery {
            topic,
            payload: publish.payload,
            properties: publish.properties,
            ack,
            dup: publish.dup,
            retain: publish.retain,
        });
        Ok(())
    }

    fn resolve_topic(
        &self,
        turn: &mut Turn<'_>,
        topic: Bytes,
        alias: Option<u16>,
    ) -> Result<TopicName, (SessionError, Reason)> {
        let Some(alias) = alias else {
            return TopicName::from_bytes(topic).map_err(|error| {
                let text = "the broker sent an event with an invalid topic";
                let failure = SessionError::new(SessionErrorKind::Protocol, text).with_source(error);
                (failure, Reason::TOPIC_NAME_INVALID)
            });
        };
        let invalid = || {
            let text = format!("the broker used topic alias {alias}, which was not granted or not set");
            (SessionError::new(SessionErrorKind::Protocol, text), Reason::TOPIC_ALIAS_INVALID)
        };
        if alias == 0 || alias > self.settings.topic_alias_max {
            return Err(invalid());
        }
        let at = usize::from(alias - 1);
        if topic.is_empty() {
            return turn.aliases.get(at).cloned().flatten().ok_or_else(invalid);
        }
        // A copy: the alias outlives the read buffer and must not keep all of it alive.
        let name = self.resolve_topic(turn, Bytes::copy_from_slice(&topic), None)?;
        if turn.aliases.len() <= at {
            turn.aliases.resize(at + 1, None);
        }
        turn.aliases[at] = Some(name.clone());
        Ok(name)
    }

    fn control(&mut self, turn: &mut Turn<'_>, packet: Incoming) -> Result<(), (SessionError, Reason)> {
        match packet {
            Incoming::PubAck { pkid, reason } => {
                self.outgoing.acknowledged(pkid, reason);
                Ok(())
            }
            Incoming::PingResp => {
                turn.pings = turn.pings.saturating_sub(1);
                Ok(())
            }
            Incoming::SubAck { pkid, reasons } => {
                turn.subscriptions
                    .subscribed(pkid, self.settings.qos, &reasons)
                    .map_err(|error| (error, Reason::UNSPECIFIED))?;
                self.reconcile(turn).map_err(|error| (error, Reason::UNSPECIFIED))
            }
            Incoming::UnsubAck { pkid } => {
                if turn.leaving == (Leaving::Unsubscribing { pkid }) {
                    turn.leaving = Leaving::Draining;
                }
                turn.subscriptions.unsubscribed(pkid);
                self.reconcile(turn).map_err(|error| (error, Reason::UNSPECIFIED))
            }
            Incoming::Disconnect(disconnect) => {
                let error = SessionError::from_reason(
                    SessionErrorKind::Disconnected,
                    disconnect.reason,
                    disconnect.reason_text.as_deref(),
                    disconnect.server_reference.as_deref(),
                );
                Err((error, Reason::SUCCESS))
            }
            Incoming::ConnAck(_) | Incoming::Publish(_) => {
                let text = "the broker sent a second CONNACK";
                Err((SessionError::new(SessionErrorKind::Protocol, text), Reason::PROTOCOL_ERROR))
            }
        }
    }

    /// Brings the subscriptions to what is wanted: all filters but the paused ones.
    fn reconcile(&mut self, turn: &mut Turn<'_>) -> Result<(), SessionError> {
        if turn.leaving != Leaving::No {
            return Ok(());
        }
        let paused = self.paused.borrow_and_update();
        let until = Instant::now() + self.settings.subscribe_timeout;
        let (version, qos) = (self.settings.version, self.settings.qos);
        let outgoing = &mut *self.outgoing;
        turn.subscriptions
            .reconcile(&paused, version, qos, until, || outgoing.free_pkid(), &mut self.wire.output)
            .map_err(|error| SessionError::new(SessionErrorKind::Protocol, "write SUBSCRIBE").with_source(error))?;
        if turn.subscriptions.is_complete(&paused) {
            self.status.set_phase(Phase::Ready);
        }
        Ok(())
    }

    fn start_leaving(&mut self, turn: &mut Turn<'_>) -> Result<(), SessionError> {
        self.status.set_phase(Phase::Leaving);
        if self.parting.get() == Parting::KeepPlace {
            self.stopped_reading = true;
            turn.subscriptions.forget_change();
            turn.leaving = Leaving::Pausing;
            return Ok(());
        }
        let outgoing = &mut *self.outgoing;
        let asked = turn
            .subscriptions
            .leave(self.settings.version, || outgoing.free_pkid(), &mut self.wire.output)
            .map_err(|error| SessionError::new(SessionErrorKind::Protocol, "write UNSUBSCRIBE").with_source(error))?;
        turn.leaving = asked.map_or(Leaving::Draining, |pkid| Leaving::Unsubscribing { pkid });
        Ok(())
    }

    /// Whether everything that came was finished and acknowledged, and nothing waits to be decoded or sent.
    fn is_idle(&self, turn: &Turn<'_>) -> bool {
        self.window.occupied() == 0 && self.released.events == 0 && self.outgoing.is_idle() && !turn.undecoded
    }

    fn continue_leaving(&mut self, turn: &mut Turn<'_>) {
        match turn.leaving {
            Leaving::Pausing if self.window.occupied() == 0 && self.released.events == 0 => {
                write_disconnect(self.settings.version, Reason::SUCCESS, &mut self.wire.output);
                turn.leaving = Leaving::Goodbye;
            }
            Leaving::Draining if turn.pings == 0 && self.is_idle(turn) => {
                self.ping(turn);
                turn.leaving = Leaving::Barrier;
            }
            Leaving::Barrier if turn.pings == 0 && self.is_idle(turn) => {
                match self.parting.get() {
                    Parting::ForGood => write_disconnect_for_good(self.settings.version, &mut self.wire.output),
                    _ => write_disconnect(self.settings.version, Reason::SUCCESS, &mut self.wire.output),
                }
                turn.leaving = Leaving::Goodbye;
            }
            _ => {}
        }
    }

    fn ping(&mut self, turn: &mut Turn<'_>) {
        codec::write_pingreq(&mut self.wire.output);
        let now = Instant::now();
        turn.pings += 1;
        turn.ping_sent = now;
        turn.last_write = now;
    }

    /// When the session must look at its clocks again.
    fn next_deadline(&self, turn: &Turn<'_>) -> Instant {
        const FAR: Duration = Duration::from_secs(3600);
        let mut deadline = Instant::now() + FAR;
        if !self.keep_alive.is_zero() {
            // While an answer is awaited, only silence of our own is a reason for another ping.
            let silent_since = if turn.pings > 0 { turn.last_write } else { turn.last_write.min(turn.last_read) };
            deadline = deadline.min(silent_since + self.ping_interval());
        }
        if turn.pings > 0 {
            deadline = deadline.min(turn.ping_sent + self.settings.ping_timeout);
        }
        if let Some(until) = turn.subscriptions.deadline() {
            deadline = deadline.min(until);
        }
        // A deadline in the past, while reading pauses, must not turn the timer into a busy loop.
        deadline.max(Instant::now() + Duration::from_millis(20))
    }

    /// Three quarters of the keep-alive: early enough that a slow network does not turn it into a lost connection.
    fn ping_interval(&self) -> Duration {
        self.keep_alive.mul_f64(0.75)
    }

    fn tick(&mut self, turn: &mut Turn<'_>) -> Result<(), SessionError> {
        let now = Instant::now();
        // Reading must have gone on all the time: where it has just begun again, the answer may wait to be read.
        let reading = !std::mem::take(&mut turn.held_back) && self.may_read();
        if turn.subscriptions.deadline().is_some_and(|until| now >= until) {
            if reading {
                let text = "the broker did not answer SUBSCRIBE in time";
                return Err(SessionError::new(SessionErrorKind::Timeout, text));
            }
            turn.subscriptions.postpone(now + self.settings.subscribe_timeout);
        }
        if turn.pings > 0 {
            // Any byte is a sign of life; and an answer cannot be seen while reading pauses.
            let heard = turn.last_read > turn.ping_sent;
            if reading && !heard && now >= turn.ping_sent + self.settings.ping_timeout {
                let text = format!("no answer to a ping within {:?}", self.settings.ping_timeout);
                return Err(SessionError::new(SessionErrorKind::PingTimeout, text));
            }
            if heard || !reading {
                turn.ping_sent = now;
            }
        }
        let due = !self.keep_alive.is_zero() && now >= turn.last_write.min(turn.last_read) + self.ping_interval();
        if due && (turn.pings == 0 || now >= turn.last_write + self.ping_interval()) {
            self.ping(turn);
        }
        Ok(())
    }

    /// Tells the broker why, as far as it listens, and ends the session.
    async fn fail(mut self, error: SessionError, reason: Reason) -> End {
        if error.kind() != SessionErrorKind::Disconnected {
            write_disconnect(self.settings.version, reason, &mut self.wire.output);
            let _ = tokio::time::timeout(GOODBYE, self.wire.close()).await;
        }
        End::Lost(error)
    }
}
