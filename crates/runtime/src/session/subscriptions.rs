//! The subscriptions of a session: which filters are granted, and the one change that is on its way to the broker.
//!
//! A filter can be paused while the session runs (the kill switch of its route): it is unsubscribed, so that other
//! members of the group take its events, and subscribed again later.

use bytes::BytesMut;
use tidemill_core::{BoxError, QoS};
use tokio::time::Instant;

use super::error::{SessionError, SessionErrorKind};
use super::handshake::{write_subscribe, write_unsubscribe};
use super::reason::{Advice, Reason};
use crate::config::MqttVersion;

/// A SUBSCRIBE or UNSUBSCRIBE that is not answered yet.
#[derive(Debug)]
struct Change {
    pkid: u16,
    subscribe: bool,
    filters: Vec<usize>,
    until: Instant,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Subscriptions<'a> {
    filters: &'a [String],
    granted: Vec<bool>,
    change: Option<Change>,
}

impl<'a> Subscriptions<'a> {
    /// The subscriptions of a new session. They are asked for even when the broker kept the session: what it still has
    /// of them may be older than the routes, and asking again changes nothing else `[MQTT-3.8.4-3]`.
    pub(crate) fn new(filters: &'a [String]) -> Self {
        Self { filters, granted: vec![false; filters.len()], change: None }
    }

    /// Whether everything that is not paused is granted.
    pub(crate) fn is_complete(&self, paused: &[bool]) -> bool {
        self.change.is_none() && self.wrong(paused).is_none()
    }

    /// Until when the broker must answer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.change.as_ref().map(|change| change.until)
    }

    /// Gives the broker more time: its answer may wait behind events that there is no room for.
    pub(crate) fn postpone(&mut self, until: Instant) {
        if let Some(change) = &mut self.change {
            change.until = until;
        }
    }

    /// Whether to subscribe or to unsubscribe next.
    fn wrong(&self, paused: &[bool]) -> Option<bool> {
        let is_paused = |at: usize| paused.get(at).copied().unwrap_or(false);
        let surplus = self.granted.iter().enumerate().any(|(at, granted)| *granted && is_paused(at));
        let missing = self.granted.iter().enumerate().any(|(at, granted)| !granted && !is_paused(at));
        if surplus { Some(false) } else { missing.then_some(true) }
    }

    /// Writes the next change, if one is needed and none is on its way.
    pub(crate) fn reconcile(
        &mut self,
        paused: &[bool],
        version: MqttVersion,
        qos: QoS,
        until: Instant,
        free_pkid: impl FnOnce() -> u16,
        out: &mut BytesMut,
    ) -> Result<(), BoxError> {
        if self.change.is_some() {
            return Ok(());
        }
        let Some(subscribe) = self.wrong(paused) else { return Ok(()) };
        let is_paused = |at: usize| paused.get(at).copied().unwrap_or(false);
        let filters: Vec<usize> = (0..self.filters.len())
            .filter(|at| self.granted[*at] != subscribe && is_paused(*at) != subscribe)
            .collect();
        let texts: Vec<String> = filters.iter().map(|at| self.filters[*at].clone()).collect();
        let pkid = free_pkid();
        if subscribe {
            write_subscribe(version, pkid, &texts, qos, out)?;
        } else {
            write_unsubscribe(version, pkid, &texts, out)?;
        }
        self.change = Some(Change { pkid, subscribe, filters, until });
        Ok(())
    }

    /// Writes an UNSUBSCRIBE for everything, granted or on its way. Gives the packet ID that answers it; `None` when
    /// there is nothing to leave.
    pub(crate) fn leave(
        &mut self,
        version: MqttVersion,
        free_pkid: impl FnOnce() -> u16,
        out: &mut BytesMut,
    ) -> Result<Option<u16>, BoxError> {
        self.change = None;
        if self.filters.is_empty() {
            return Ok(None);
        }
        let pkid = free_pkid();
        write_unsubscribe(version, pkid, self.filters, out)?;
        Ok(Some(pkid))
    }

    /// Waits for no answer any more.
    pub(crate) fn forget_change(&mut self) {
        self.change = None;
    }

    /// Takes in a SUBACK.
    pub(crate) fn subscribed(&mut self, pkid: u16, qos: QoS, reasons: &[Reason]) -> Result<(), SessionError> {
        let Some(change) = self.change.take_if(|change| change.subscribe && change.pkid == pkid) else { return Ok(()) };
        for (at, filter) in change.filters.iter().enumerate() {
            check(&self.filters[*filter], qos, reasons.get(at).copied())?;
            self.granted[*filter] = true;
        }
        Ok(())
    }

    /// Takes in an UNSUBACK.
    pub(crate) fn unsubscribed(&mut self, pkid: u16) {
        if let Some(change) = self.change.take_if(|change| !change.subscribe && change.pkid == pkid) {
            for filter in change.filters {
                self.granted[filter] = false;
            }
        }
    }
}

fn check(filter: &str, qos: QoS, reason: Option<Reason>) -> Result<(), SessionError> {
    let Some(reason) = reason else {
        let text = format!("the broker's SUBACK has no answer for {filter:?}");
        return Err(SessionError::new(SessionErrorKind::Protocol, text));
    };
    if reason.is_failure() {
        let mut text = format!("the broker refuses the subscription {filter:?}: {reason}");
        if reason == Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED {
            text.push_str("; use a broker with shared subscriptions, or one instance without `group.name`");
        }
        let advice = match reason.advice() {
            Advice::RetryLater => Advice::RetryLater,
            _ => Advice::Stop,
        };
        return Err(SessionError::new(SessionErrorKind::SubscriptionRefused, text).with_advice(advice));
    }
    if reason.code() < qos.level() {
        let text = format!(
            "the broker grants {filter:?} only QoS {0}, which loses events on every reconnect; \
             set `mqtt.qos = {0}` if that is acceptable",
            reason.code(),
        );
        return Err(SessionError::new(SessionErrorKind::SubscriptionRefused, text));
    }
    Ok(())
}
