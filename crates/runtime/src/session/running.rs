//! A session at work: one task that owns the socket. Each turn it takes back what was finished, writes all due acks at
//! once, decodes what was read as one burst, and hands it to the dispatcher.
//!
//! A session ends in one of three ways ([`End`]): it has left (everything acknowledged, DISCONNECT sent), it was told to
//! stop at once, or the connection was lost.
//!
//! INVARIANT (G5): it stops decoding and reading at the first event beyond the high-water mark, and goes on
//! acknowledging and pinging.

use std::future::pending;
use std::io;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use tidemill_core::{Arrival, QoS};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::aliases::Aliases;
use super::codec::{self, DecodeError, Front, Incoming, Publish};
use super::error::{SessionError, SessionErrorKind};
use super::handshake::write_disconnect;
use super::keep_alive::KeepAlive;
use super::leaving::Leaving;
use super::linger::{AckLinger, Leave};
use super::link::{Ack, Delivery, Finished, Link};
use super::outgoing::Outgoing;
use super::parting::PartingCell;
use super::reason::Reason;
use super::settings::Settings;
use super::stand_in::given_turn;
use super::status::{Phase, Status};
use super::subscriptions::Subscriptions;
use super::unreleased::Unreleased;
use super::window::AckWindow;
use super::wire::{Driven, Interest, Wire, Writing};
use crate::config::Overflow;
use crate::wake::Dormant;

/// How long the goodbye of a failed session may take.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long the broker may take to close a connection on which something was left unread.
const LAST_READ: Duration = Duration::from_secs(5);

/// Four times the acknowledgements of the largest window: a broker that sends events beyond them reads nothing (G5).
const MOST_UNSENT: usize = 4 * 4 * u16::MAX as usize;

/// A dispatcher that takes nothing for so long is not merely busy.
const STANDSTILL: Duration = Duration::from_secs(10);

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
    /// Whether the broker keeps the session when the connection ends.
    pub(crate) outlives: bool,
    /// QoS 0 events that are not finished, over all sessions, and their bytes.
    pub(crate) released: &'a mut Unreleased,
    /// Filters that the broker may have kept for this client and nobody wants.
    pub(crate) strays: Vec<String>,
    /// Whatever else comes is for the next session.
    pub(crate) stopped_reading: bool,
    /// Its client ID, for the log.
    pub(crate) instance: &'a str,
}

/// What one session knows of itself.
pub(super) struct Turn {
    pub(super) leaving: Leaving,
    pub(super) subscriptions: Subscriptions,
    aliases: Aliases,
    pub(super) clocks: KeepAlive,
    linger: AckLinger,
    deliveries: Vec<Delivery>,
    finished: Finished,
    /// The input buffer may hold a whole packet that was not decoded for want of room.
    pub(super) undecoded: bool,
    /// Since when the window is full and how often the dispatcher had taken something by then.
    full: Option<(Instant, u64)>,
    /// The log says that the dispatcher stands still.
    told: bool,
}

impl Turn {
    /// Notes what the wire has done.
    fn driven(&mut self, driven: io::Result<Driven>) -> Result<(), SessionError> {
        match driven {
            Ok(Driven::Read) => {
                self.clocks.heard();
                self.linger.heard(self.clocks.last_read());
                self.undecoded = true;
                Ok(())
            }
            Ok(Driven::Flushed) => Ok(()),
            Ok(Driven::Eof) => Err(SessionError::new(SessionErrorKind::Io, "the broker closed the connection")),
            Err(error) => Err(SessionError::new(SessionErrorKind::Io, "the connection broke").with_source(error)),
        }
    }
}

impl Running<'_> {
    /// Runs the session to its end.
    pub(crate) async fn run(mut self, leave: &CancellationToken, force: &CancellationToken) -> End {
        let strays = std::mem::take(&mut self.strays);
        let mut turn = Turn {
            leaving: Leaving::No,
            subscriptions: Subscriptions::new(&self.settings.filters, strays),
            aliases: Aliases::new(self.settings.topic_alias_max),
            clocks: KeepAlive::new(self.keep_alive, self.settings.ping_timeout),
            linger: AckLinger::new(self.settings.ack_linger, self.settings.high_water),
            deliveries: Vec::new(),
            finished: Finished::default(),
            undecoded: true,
            full: None,
            told: false,
        };
        // Who has come only to leave must not join first.
        let begun = if leave.is_cancelled() { self.start_leaving(&mut turn) } else { self.reconcile(&mut turn) };
        if let Err(error) = begun {
            return self.fail(error, Reason::UNSPECIFIED).await;
        }
        let mut left = Dormant::new(leave.cancelled());
        let mut forced = Dormant::new(force.cancelled());
        let mut timer = Dormant::new(sleep_until(self.next_deadline(&turn)));
        let mut pausing = Dormant::new(next_change(self.paused.clone()));
        let acks_leave = sleep_until(Instant::now());
        tokio::pin!(acks_leave);

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
            turn.clocks.hold_back(!self.may_read());
            let leave = match turn.leaving {
                Leaving::No => turn.linger.leave(self.wire.output.len(), self.window.len()),
                _ => Leave::AtOnce,
            };
            let (write, waits) = match leave {
                Leave::AtOnce => (Writing::AtOnce, false),
                Leave::AlongWithTcp => (Writing::AlongWithTcp, false),
                Leave::Later(until) => {
                    if until != acks_leave.deadline() {
                        acks_leave.as_mut().reset(until);
                    }
                    (Writing::Withheld, true)
                }
            };
            let interest =
                Interest { read: self.may_read() && !turn.undecoded, write, flush: self.outgoing.awaits_flush() };
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
                    // What came while this session had no turn is no silence of the broker's.
                    if let Some(driven) = self.wire.drive(interest).now_or_never()
                        && let Err(lost) = turn.driven(driven)
                    {
                        return End::Lost(lost);
                    }
                    if let Err(error) = self.tick(&mut turn) {
                        return self.fail(error, Reason::UNSPECIFIED).await;
                    }
                    timer.stir().reset(self.next_deadline(&turn));
                }
                () = &mut acks_leave, if waits => turn.linger.time_is_up(Instant::now()),
                () = given_turn() => {
                    turn.linger.release();
                    if self.tick_when_given(&mut turn) {
                        timer.stir().reset(self.next_deadline(&turn));
                    }
                }
                driven = self.wire.drive(interest) => if let Err(lost) = turn.driven(driven) {
                    return End::Lost(lost);
                },
                () = self.link.finished_ready() => {}
                paused = &mut pausing => {
                    pausing.stir().set(next_change(paused));
                    if let Err(error) = self.reconcile(&mut turn) {
                        return self.fail(error, Reason::UNSPECIFIED).await;
                    }
                    timer.stir().reset(self.next_deadline(&turn));
                }
                request = self.outgoing.next_request(), if can_request => {
                    self.outgoing.pump(self.settings.version, &mut self.wire.output, Some(request));
                    turn.clocks.wrote();
                }
            }
        }
    }

    /// Everything that needs no waiting: acks, publications, decoding, the next step of leaving.
    fn work(&mut self, turn: &mut Turn) -> Result<(), (SessionError, Reason)> {
        self.take_back(turn);
        if self.wire.output.len() > MOST_UNSENT && !self.settings.filters.is_empty() {
            let text = "the broker sends events and takes no acknowledgements";
            return Err((SessionError::new(SessionErrorKind::Protocol, text), Reason::UNSPECIFIED));
        }
        self.outgoing.pump(self.settings.version, &mut self.wire.output, None);
        self.continue_pausing(turn).map_err(|error| (error, Reason::UNSPECIFIED))?;
        if turn.undecoded {
            self.decode_burst(turn)?;
        }
        self.continue_leaving(turn);
        if !self.wire.output.is_empty() {
            turn.clocks.wrote_since_read();
        }
        self.status.set_occupied(self.window.len(), self.window.occupied() + self.released.events);
        self.status.set_full(!self.has_room());
        Ok(())
    }

    /// Takes back what was finished and writes the acks that are due.
    fn take_back(&mut self, turn: &mut Turn) {
        self.link.take_finished(&mut turn.finished);
        if turn.finished.is_empty() {
            return;
        }
        self.released.take_back(self.window, &mut turn.finished);
        let output = &mut self.wire.output;
        let before = output.len();
        let acked = self.window.take_due(|pkid| codec::write_puback(output, pkid));
        if acked > 0 {
            turn.linger.add(acked, output.len() - before);
            self.link.raise_floor(self.window.base());
            self.status.count_acks(acked);
        }
        if self.has_room() {
            turn.undecoded = true;
        }
    }

    fn has_room(&self) -> bool {
        self.released.leave_room(self.window, self.settings)
    }

    /// Whether more may be taken in. Without room it goes on up to the next event: what stands in front of it may be an
    /// answer that somebody waits for, or the end of the connection. Events at QoS 0 that overflow are dropped, by
    /// setting, rather than left waiting.
    fn may_read(&self) -> bool {
        let drops = self.settings.qos == QoS::AtMostOnce && self.settings.qos0_overflow == Overflow::DropNewest;
        let takes = |first: u8| !codec::is_publish(first) || (drops && !codec::is_qos1_publish(first));
        !self.stopped_reading && (self.has_room() || self.wire.input.first().is_none_or(|first| takes(*first)))
    }

    fn decode_burst(&mut self, turn: &mut Turn) -> Result<(), (SessionError, Reason)> {
        let mut dropped = 0;
        let result = loop {
            if !self.may_read() {
                break Ok(());
            }
            match self.decode_next(turn, &mut dropped) {
                Ok(true) => {}
                Ok(false) => {
                    turn.undecoded = false;
                    break Ok(());
                }
                Err(failure) => break Err(failure),
            }
        };
        if !turn.deliveries.is_empty() || dropped > 0 {
            if turn.leaving == Leaving::Barrier {
                turn.leaving = Leaving::Draining;
            }
            self.status.count_received(turn.deliveries.len() as u64 + dropped);
            self.link.deliver(&mut turn.deliveries, dropped, turn.clocks.last_read(), SystemTime::now());
        }
        result
    }

    /// Decodes one packet and acts on it. Whether there was a whole one.
    #[inline]
    fn decode_next(&mut self, turn: &mut Turn, dropped: &mut u64) -> Result<bool, (SessionError, Reason)> {
        let (version, input) = (self.settings.version, &mut self.wire.input);
        let Some(front) = Front::of(input, self.settings.max_packet_bytes).map_err(broken)? else { return Ok(false) };
        if codec::is_publish(input[0]) {
            let publish = front.take_publish(version, input).map_err(broken)?;
            self.receive(turn, publish, dropped)?;
        } else {
            let packet = front.take(version, input).map_err(broken)?;
            self.control(turn, packet)?;
        }
        Ok(true)
    }

    #[inline(always)]
    fn receive(&mut self, turn: &mut Turn, publish: Publish, dropped: &mut u64) -> Result<(), (SessionError, Reason)> {
        // Whatever becomes of the event: it may set an alias that later ones use.
        let topic = turn.aliases.resolve(publish.topic, publish.topic_alias)?;
        if self.settings.filters.is_empty() {
            // Some brokers subscribe every client to topics of the operator's choice, and nobody here handles events.
            if publish.pkid != 0 {
                codec::write_puback(&mut self.wire.output, publish.pkid);
            }
            return Ok(());
        }
        // Some brokers send again what is not acknowledged in time, on the same connection. Its answer is on the way; as a
        // second event it would be handled twice, and its second PUBACK might hit the next event with this ID.
        if publish.dup && publish.pkid != 0 && self.window.holds(publish.pkid) {
            return Ok(());
        }
        if publish.pkid == 0 && !self.has_room() {
            *dropped += 1;
            return Ok(());
        }
        // By its alias a topic has no length of its own in the packet.
        let bytes = publish.length.saturating_add(u32::try_from(topic.as_str().len()).unwrap_or(u32::MAX));
        let ack = if publish.qos == QoS::AtMostOnce {
            self.released.events += 1;
            self.released.bytes += bytes as usize;
            Ack::Release { bytes }
        } else {
            Ack::Number(self.window.receive(publish.pkid, bytes))
        };
        let Publish { payload, properties, qos, dup, retain, .. } = publish;
        turn.deliveries.push(Delivery { arrival: Arrival { topic, payload, properties, qos, dup, retain }, ack });
        Ok(())
    }

    fn control(&mut self, turn: &mut Turn, packet: Incoming) -> Result<(), (SessionError, Reason)> {
        match packet {
            Incoming::PubAck { pkid, reason } => {
                self.outgoing.acknowledged(pkid, reason);
                Ok(())
            }
            Incoming::PingResp => {
                turn.clocks.answered();
                Ok(())
            }
            Incoming::SubAck { pkid, reasons } => {
                turn.subscriptions
                    .subscribed(pkid, self.settings.qos, &reasons)
                    .map_err(|error| (error, Reason::UNSPECIFIED))?;
                self.reconcile(turn).map_err(|error| (error, Reason::UNSPECIFIED))
            }
            Incoming::UnsubAck { pkid, reasons } => {
                turn.subscriptions.unsubscribed(pkid, &reasons, |filter, reason| {
                    warn!(
                        instance = self.instance,
                        filter, %reason, "the broker refuses to unsubscribe; events of this filter may go on coming"
                    );
                });
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

    /// Brings the subscriptions to what is wanted: all filters but the paused ones, and nothing when leaving.
    pub(super) fn reconcile(&mut self, turn: &mut Turn) -> Result<(), SessionError> {
        if !matches!(turn.leaving, Leaving::No | Leaving::Unsubscribing) {
            return Ok(());
        }
        turn.subscriptions.pause(&self.paused.borrow_and_update());
        let until = Instant::now() + self.settings.subscribe_timeout;
        let outgoing = &mut *self.outgoing;
        turn.subscriptions.reconcile(self.settings, until, || outgoing.free_pkid(), &mut self.wire.output).map_err(
            |error| {
                let text = "write SUBSCRIBE or UNSUBSCRIBE";
                SessionError::new(SessionErrorKind::Protocol, text).with_source(error)
            },
        )?;
        if turn.subscriptions.is_complete() {
            match turn.leaving {
                Leaving::No => self.status.set_phase(Phase::Ready),
                _ => self.unsubscribed(turn),
            }
        }
        Ok(())
    }

    /// When the session must look at its clocks again.
    fn next_deadline(&self, turn: &Turn) -> Instant {
        turn.clocks.next_deadline(turn.subscriptions.deadline())
    }

    /// A window that stays full because nobody takes anything out of it is told, once (G11).
    fn look_at_dispatcher(&self, turn: &mut Turn, now: Instant) {
        let taken = self.link.taken();
        match turn.full {
            _ if self.has_room() || !self.link.has_inbound() => turn.full = None,
            Some((since, before)) if taken == before => {
                if !turn.told && now - since >= STANDSTILL {
                    turn.told = true;
                    warn!(
                        instance = self.instance,
                        since = ?(now - since),
                        "the window is full and the dispatcher has taken nothing; a handler blocks its thread"
                    );
                }
            }
            _ => (turn.full, turn.told) = (Some((now, taken)), false),
        }
    }

    fn tick(&mut self, turn: &mut Turn) -> Result<(), SessionError> {
        let now = Instant::now();
        self.look_at_dispatcher(turn, now);
        let reading = turn.clocks.has_read_on(self.may_read());
        if turn.subscriptions.deadline().is_some_and(|until| now >= until) {
            if reading {
                let text = "the broker did not answer SUBSCRIBE in time";
                return Err(SessionError::new(SessionErrorKind::Timeout, text));
            }
            turn.subscriptions.postpone(now + self.settings.subscribe_timeout);
        }
        turn.clocks.tick(reading, &mut self.wire.output)
    }

    /// What of [`tick`](Self::tick) can be done when nobody may have looked at the socket: nothing is held against the
    /// broker. Whether a ping is on its way.
    fn tick_when_given(&mut self, turn: &mut Turn) -> bool {
        let now = Instant::now();
        self.look_at_dispatcher(turn, now);
        turn.clocks.ping_if_due(now, &mut self.wire.output)
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

/// Waits until other filters are paused.
async fn next_change(mut paused: watch::Receiver<Vec<bool>>) -> watch::Receiver<Vec<bool>> {
    if paused.changed().await.is_err() {
        // Whoever could pause them is gone.
        pending::<()>().await;
    }
    paused
}

/// What the broker sent cannot be understood, and what to tell it.
#[cold]
fn broken(error: DecodeError) -> (SessionError, Reason) {
    let reason = error.reason();
    (SessionError::new(SessionErrorKind::Protocol, "the broker broke the protocol").with_source(error), reason)
}
