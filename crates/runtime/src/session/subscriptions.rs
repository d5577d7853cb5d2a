//! The subscriptions of a session: which filters are granted, and the one change that is on its way to the broker.
//!
//! A filter can be paused while the session runs (the kill switch of its route): it is unsubscribed, so that other
//! members of the group take its events, and subscribed again later. Strays are what the broker may have kept from
//! before and nobody wants: they are unsubscribed like paused ones, and never subscribed again.
//!
//! What the broker refuses to unsubscribe stays granted, and is asked for again only when it was wanted in between or when
//! the session leaves.
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
    /// Which of them the broker has refused to unsubscribe.
    refused: Vec<bool>,
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
        let refused = vec![false; granted.len()];
        let filters = wanted.iter().cloned().chain(strays).collect();
        Self { filters, wanted: wanted.len(), granted, refused, paused: Vec::new(), change: None, leaving: false }
    }

    /// Says which filters are paused.
    pub(crate) fn pause(&mut self, paused: &[bool]) {
        paused.clone_into(&mut self.paused);
        for at in 0..self.filters.len() {
            self.refused[at] &= self.is_unwanted(at);
        }
    }

    fn is_unwanted(&self, at: usize) -> bool {
        self.leaving || at >= self.wanted || self.paused.get(at).copied().unwrap_or(false)
    }

    /// Whether everything is as it should be, as far as the broker lets it: after [`leave`](Self::leave), that nothing is
    /// left but what it [refuses](Self::is_any_refused) to end.
    pub(crate) fn is_complete(&self) -> bool {
        self.change.is_none() && self.wrong().is_none()
    }

    /// Whether there are filters that the broker refuses to unsubscribe.
    pub(crate) fn is_any_refused(&self) -> bool {
        self.refused.contains(&true)
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

    /// Whether a filter is to be subscribed, or unsubscribed.
    fn is_due(&self, at: usize, subscribe: bool) -> bool {
        self.granted[at] != subscribe && self.is_unwanted(at) != subscribe && !self.refused[at]
    }

    /// Whether to subscribe or to unsubscribe next.
    fn wrong(&self) -> Option<bool> {
        let surplus = (0..self.filters.len()).any(|at| self.is_due(at, false));
        let missing = (0..self.filters.len()).any(|at| self.is_due(at, true));
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
        let filters: Vec<usize> =
            (0..self.filters.len()).filter(|at| self.is_due(*at, subscribe)).take(settings.filters_at_once).collect();
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
        self.refused.fill(false);
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

    /// Takes in an UNSUBACK, and tells what it refuses. A filter without a reason of its own is gone: MQTT 3.1.1 gives none.
    pub(crate) fn unsubscribed(&mut self, pkid: u16, reasons: &[Reason], mut told: impl FnMut(&str, Reason)) {
        let Some(change) = self.change.take_if(|change| !change.subscribe && change.pkid == pkid) else { return };
        for (at, filter) in change.filters.into_iter().enumerate() {
            match reasons.get(at).copied().filter(|reason| reason.is_failure()) {
                Some(reason) => {
                    self.refused[filter] = true;
                    told(&self.filters[filter], reason);
                }
                None => self.granted[filter] = false,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const PKID: u16 = 7;

    /// Writes the next change; whether there was one.
    fn writes(subscriptions: &mut Subscriptions) -> bool {
        let mut out = BytesMut::new();
        let settings = Settings::new(&Config::default(), Vec::new());
        subscriptions.reconcile(&settings, Instant::now(), || PKID, &mut out).unwrap();
        !out.is_empty()
    }

    fn refuse(subscriptions: &mut Subscriptions) -> Vec<String> {
        let mut told = Vec::new();
        let reasons = [Reason::SUCCESS, Reason::NOT_AUTHORIZED];
        subscriptions.unsubscribed(PKID, &reasons, |filter, reason| told.push(format!("{filter}: {reason}")));
        told
    }

    #[test]
    fn what_may_not_be_unsubscribed_stays_granted_and_is_asked_for_again_only_after_it_was_wanted() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        let mut subscriptions = Subscriptions::new(&wanted, Vec::new());
        assert!(writes(&mut subscriptions));
        subscriptions.subscribed(PKID, QoS::AtLeastOnce, &[Reason::from_code(1); 2]).unwrap();
        subscriptions.pause(&[true, true]);
        assert!(writes(&mut subscriptions));
        assert_eq!(refuse(&mut subscriptions), ["b: not authorized (0x87)"]);
        assert!(subscriptions.is_complete() && !writes(&mut subscriptions), "it is not asked for again and again");
        assert_eq!(subscriptions.granted, [false, true]);

        subscriptions.pause(&[true, false]);
        assert!(subscriptions.is_complete() && !subscriptions.is_any_refused(), "it is there still");
        subscriptions.pause(&[true, true]);
        assert!(writes(&mut subscriptions), "once more");
        subscriptions.unsubscribed(PKID, &[Reason::from_code(0x11)], |_, _| {});
        assert!(subscriptions.is_complete() && !subscriptions.is_any_refused());
        assert_eq!(subscriptions.granted, [false, false]);
    }

    #[test]
    fn who_leaves_asks_once_more_for_what_was_refused() {
        let mut subscriptions = Subscriptions::new(&["a".to_owned()], vec!["stray".to_owned()]);
        assert!(writes(&mut subscriptions), "the stray has to go");
        subscriptions.unsubscribed(PKID, &[Reason::NOT_AUTHORIZED], |_, _| {});
        subscriptions.leave();
        assert!(!subscriptions.is_any_refused() && writes(&mut subscriptions));
        assert_eq!(refuse(&mut subscriptions), ["stray: not authorized (0x87)"]);
        assert!(subscriptions.is_complete() && subscriptions.is_any_refused());
    }
}
