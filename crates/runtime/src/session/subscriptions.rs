//! The subscriptions of a session: which filters are granted, and the one change that is on its way to the broker.
//!
//! A filter can be paused while the session runs (the kill switch of its route): it is unsubscribed, so that other
//! members of the group take its events, and subscribed again later. Strays are what the broker may have kept from
//! before and nobody wants: they are unsubscribed like paused ones, and never subscribed again.
//!
//! INVARIANT: one packet is on its way at a time, with no more filters than the broker takes at once.

use bytes::BytesMut;
use tidemill_core::{BoxError, QoS};
use tokio::time::Instant;

use super::error::{SessionError, SessionErrorKind};
use super::handshake::{write_subscribe, write_unsubscribe};
use super::reason::{Advice, Reason};
use super::settings::Settings;

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
pub(crate) struct Subscriptions {
    /// The wanted ones, then the strays.
    filters: Vec<String>,
    wanted: usize,
    granted: Vec<bool>,
    /// Which of them are paused, by their place; one beyond the end is not.
    paused: Vec<bool>,
    change: Option<Change>,
    leaving: bool,
}

impl Subscriptions {
    /// The subscriptions of a new session. They are asked for even when the broker kept the session: what it still has
    /// of them may be older than the routes, and asking again changes nothing else `[MQTT-3.8.4-3]`.
    pub(crate) fn new(wanted: &[String], strays: Vec<String>) -> Self {
        let mut granted = vec![false; wanted.len()];
        granted.resize(wanted.len() + strays.len(), true);
        let filters = wanted.iter().cloned().chain(strays).collect();
        Self { filters, wanted: wanted.len(), granted, paused: Vec::new(), change: None, leaving: false }
    }

    /// Says which filters are paused.
    pub(crate) fn pause(&mut self, paused: &[bool]) {
        paused.clone_into(&mut self.paused);
    }

    fn is_unwanted(&self, at: usize) -> bool {
        self.leaving || at >= self.wanted || self.paused.get(at).copied().unwrap_or(false)
    }

    /// Whether everything is as it should be: after [`leave`](Self::leave), that nothing is left.
    pub(crate) fn is_complete(&self) -> bool {
        self.change.is_none() && self.wrong().is_none()
    }

    /// Until when the broker must answer. Who leaves waits as long as it takes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.change.as_ref().filter(|_| !self.leaving).map(|change| change.until)
    }

    /// Gives the broker more time: its answer may wait behind events that there is no room for.
    pub(crate) fn postpone(&mut self, until: Instant) {
        if let Some(change) = &mut self.change {
            change.until = until;
        }
    }

    /// Whether to subscribe or to unsubscribe next.
    fn wrong(&self) -> Option<bool> {
        let surplus = (0..self.filters.len()).any(|at| self.granted[at] && self.is_unwanted(at));
        let missing = (0..self.filters.len()).any(|at| !self.granted[at] && !self.is_unwanted(at));
        if surplus { Some(false) } else { missing.then_some(true) }
    }

    /// Writes the next change, if one is needed and none is on its way.
    pub(crate) fn reconcile(
        &mut self,
        settings: &Settings,
        until: Instant,
        free_pkid: impl FnOnce() -> u16,
        out: &mut BytesMut,
    ) -> Result<(), BoxError> {
        if self.change.is_some() {
            return Ok(());
        }
        let Some(subscribe) = self.wrong() else { return Ok(()) };
        let filters: Vec<usize> = (0..self.filters.len())
            .filter(|at| self.granted[*at] != subscribe && self.is_unwanted(*at) != subscribe)
            .take(settings.filters_at_once)
            .collect();
        let texts: Vec<String> = filters.iter().map(|at| self.filters[*at].clone()).collect();
        let pkid = free_pkid();
        if subscribe {
            write_subscribe(settings.version, pkid, &texts, settings.qos, out)?;
        } else {
            write_unsubscribe(settings.version, pkid, &texts, out)?;
        }
        self.change = Some(Change { pkid, subscribe, filters, until });
        Ok(())
    }

    /// From now on nothing is wanted: everything that is granted, or may be by an answer that is on its way, has to go.
    pub(crate) fn leave(&mut self) {
        self.change = None;
        self.leaving = true;
        self.granted.fill(true);
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
