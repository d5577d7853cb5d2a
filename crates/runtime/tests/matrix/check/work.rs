//! What is checked where the log speaks of handlers and sinks: key order (G4), bounds (G5), records of failed attempts,
//! dead letters, and timeouts.

use std::time::Duration;

use super::{Attempt, Checker};
use crate::log::{AttemptId, Effect, Ended, EventId, Letter};

/// The granularity of timers, generously.
const TICK: Duration = Duration::from_millis(5);

impl Checker<'_> {
    pub(super) fn started(&mut self, id: AttemptId, instance: &str, event: EventId, number: u32) {
        let Some(&delivery) = self.instances.get(instance).and_then(|instance| instance.latest.get(&event)) else {
            return self.violation(format!("event {event} is handled on {instance}, where it never came"));
        };
        let made = self.deliveries[delivery].attempts.len();
        if number as usize != made + 1 {
            self.violation(format!("event {event}: attempt {number} follows {made} attempt(s)"));
        }
        if self.is_running(delivery) {
            self.violation(format!("G4: event {event} is tried twice at the same time"));
        }
        // A dead letter may be of an earlier delivery.
        let buried = self.deliveries[delivery].buried && !self.rules.cuts;
        if buried || self.has_succeeded(delivery) {
            self.violation(format!("event {event} is tried again although it is finished"));
        }
        self.attempts.insert(
            id,
            Attempt { delivery, began: self.at, ended: None, written: Default::default(), refused: Default::default() },
        );
        self.deliveries[delivery].attempts.push(id);
        self.keep_order(id, instance, delivery);
        self.keep_bounds(instance, delivery);
    }

    fn keep_order(&mut self, id: AttemptId, instance: &str, delivery: usize) {
        let Some(keys) = &self.rules.keys else { return };
        let event = self.deliveries[delivery].event;
        let Some(&key) = keys.get(event as usize) else { return };
        let Some(on) = self.instances.get_mut(instance) else { return };
        let lane = on.lanes.entry(key).or_default();
        let (running, last) = (lane.running.replace(id), lane.last.replace(delivery));
        if running.is_some() {
            self.violation(format!("G4: event {event} begins while another of key {key} runs on {instance}"));
        }
        if let Some(last) = last
            && last > delivery
        {
            let later = self.deliveries[last].event;
            self.violation(format!(
                "G4: event {event} of key {key} begins on {instance} after {later}, which came later"
            ));
        }
    }

    fn keep_bounds(&mut self, instance: &str, delivery: usize) {
        let Some(on) = self.instances.get_mut(instance) else { return };
        on.running += 1;
        let open = &mut self.deliveries[delivery].open;
        on.open += usize::from(!std::mem::replace(open, true));
        let (running, open) = (on.running, on.open);
        if running > self.rules.places {
            self.violation(format!("G5: {running} attempts run on {instance}, {} may", self.rules.places));
        }
        if open > self.rules.window {
            self.violation(format!(
                "G5: {open} events are unfinished on {instance}, the window is {}",
                self.rules.window
            ));
        }
    }

    fn has_succeeded(&self, delivery: usize) -> bool {
        let attempts = &self.deliveries[delivery].attempts;
        attempts.iter().any(|attempt| matches!(self.attempts[attempt].ended, Some(Ended::Ok(_))))
    }

    pub(super) fn returned(&mut self, id: AttemptId, how: Ended) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return self.violation(format!("attempt {id} returns and never began"));
        };
        let (delivery, began) = (attempt.delivery, attempt.began);
        if attempt.ended.replace(how).is_some() {
            self.violation(format!("attempt {id} returns twice"));
        }
        let (event, session) = (self.deliveries[delivery].event, self.deliveries[delivery].session);
        let client = self.deliveries[delivery].client.clone();
        if let Some(on) = self.instances.get_mut(&client) {
            on.running -= 1;
            let key = self.rules.keys.as_ref().and_then(|keys| keys.get(event as usize));
            if let Some(lane) = key.and_then(|key| on.lanes.get_mut(key)) {
                lane.running.take_if(|running| *running == id);
            }
        }
        let took = self.at.saturating_sub(began);
        if let Some(limit) = self.rules.timeout
            && took > limit + TICK
        {
            self.violation(format!("an attempt at event {event} took {took:?}, {limit:?} is the limit"));
        }
        if self.rules.acks && self.sessions[&session].over {
            self.close(delivery);
        }
        self.close_if_done(delivery);
    }

    /// Without acknowledgements, an event is over when it is done.
    fn close_if_done(&mut self, delivery: usize) {
        if !self.rules.acks && self.outcome(delivery).is_some() {
            self.close(delivery);
        }
    }

    pub(super) fn written(&mut self, effect: Effect, published: bool) {
        let Some(attempt) = self.attempts.get_mut(&effect.attempt) else {
            return self.violation(format!("{effect} is written and nobody emitted it"));
        };
        let delivery = attempt.delivery;
        let again = !attempt.written.insert(effect.index) || attempt.refused.contains(&effect.index);
        let ended = attempt.ended;
        if !matches!(ended, Some(Ended::Ok(effects)) if effect.index < effects) {
            self.violation(format!("{effect} of an attempt that did not end well is written: {ended:?}"));
        }
        // A publication whose PUBACK was lost with its connection is sent again.
        if again && !(published && self.rules.cuts) {
            self.violation(format!("{effect} is written twice"));
        }
        self.close_if_done(delivery);
    }

    pub(super) fn refused(&mut self, effect: Effect) {
        let Some(attempt) = self.attempts.get_mut(&effect.attempt) else {
            return self.violation(format!("{effect} is refused and nobody emitted it"));
        };
        if !attempt.refused.insert(effect.index) || attempt.written.contains(&effect.index) {
            self.violation(format!("{effect} was refused before, or written, and is tried again"));
        }
    }

    pub(super) fn buried(&mut self, letter: &Letter) {
        let Some(event) = letter.event else {
            return self.violation(format!("a dead letter does not hold the original payload: {letter:?}"));
        };
        let Some(&delivery) = self.instances.get(&letter.instance).and_then(|on| on.latest.get(&event)) else {
            return self.violation(format!("a dead letter of an event that never came to its instance: {letter:?}"));
        };
        let again = std::mem::replace(&mut self.deliveries[delivery].buried, true);
        if self.rules.topics.get(event as usize) != Some(&letter.topic) {
            self.violation(format!("event {event} is buried under another topic: {letter:?}"));
        }
        self.close_if_done(delivery);
        // A letter on its way when its session was lost counts for the next delivery here.
        if self.rules.cuts {
            return;
        }
        let attempts = &self.deliveries[delivery].attempts;
        let refused = attempts.iter().any(|attempt| !self.attempts[attempt].refused.is_empty());
        let made = attempts.len();
        if again {
            self.violation(format!("event {event} is buried twice"));
        }
        if refused != (letter.reason == "rejected") || refused != self.has_succeeded(delivery) {
            self.violation(format!("event {event} is buried for the wrong reason: {letter:?}"));
        }
        if letter.attempts as usize != made {
            self.violation(format!("event {event} is buried after {made} attempt(s), the letter says {letter:?}"));
        }
        if letter.reason == "attempts" && made != self.rules.max_attempts as usize {
            self.violation(format!("event {event} is given up after {made} attempt(s): {letter:?}"));
        }
    }
}
