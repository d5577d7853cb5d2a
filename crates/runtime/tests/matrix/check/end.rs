//! What is checked at the end of a log: nothing runs any more, and nothing is lost (G1, G7).

use std::collections::HashMap;

use super::{Checker, Counts, Outcome};

impl Checker<'_> {
    pub(super) fn end(&mut self) {
        let running: Vec<usize> = (0..self.deliveries.len()).filter(|at| self.is_running(*at)).collect();
        for delivery in running {
            let event = self.deliveries[delivery].event;
            self.violation(format!("an attempt at event {event} still runs after the end"));
        }
        if !self.rules.complete {
            return;
        }
        // Per event: whether one of its deliveries came to the end that it must come to.
        let mut finished: HashMap<u32, bool> = HashMap::new();
        for at in 0..self.deliveries.len() {
            let delivery = &self.deliveries[at];
            let through = self.outcome(at).is_some() && (delivery.acked || !self.rules.acks);
            *finished.entry(delivery.event).or_default() |= through;
            if !through && !self.rules.cuts {
                let (event, acked) = (delivery.event, delivery.acked);
                self.violation(format!("event {event} came and was not finished; acknowledged: {acked}"));
            }
        }
        for event in 0..u32::try_from(self.rules.topics.len()).unwrap() {
            match finished.get(&event) {
                Some(true) => {}
                Some(false) => self.violation(format!("event {event} was never finished")),
                None => self.violation(format!("event {event} is lost: it never came")),
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let ended = |how| (0..self.deliveries.len()).filter(|at| self.outcome(*at) == Some(how)).count() as u64;
        Counts {
            delivered: self.deliveries.len() as u64,
            acked: self.deliveries.iter().filter(|delivery| delivery.acked).count() as u64,
            handled: ended(Outcome::Handled),
            dead_lettered: ended(Outcome::DeadLettered),
        }
    }
}
