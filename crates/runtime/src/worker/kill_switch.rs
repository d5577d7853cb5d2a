//! The kill switch: a route that fails most of its events is unsubscribed, so that other members of the group take its
//! events, and tried again after a pause. Holding the events instead would fill the window and starve healthy routes.
//!
//! Where the configuration says so, a route is unsubscribed also while the breaker of a sink is open that it has emitted
//! to since the worker started. Nobody knows a route's sinks before; a route that never emitted holds no records up. It
//! needs no trial: the records that are held already are what the sink is tried with.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::instance::Plan;
use super::state::Shared;
use crate::config::KillSwitchConfig;

/// How often the breakers of sinks are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where the switch of a route stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stand {
    /// Subscribed.
    Closed,
    /// Unsubscribed until then.
    Open { until: Instant },
    /// Subscribed again; the next look decides.
    Probing,
}

/// Attempts of a route so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    pub(crate) handled: u64,
    pub(crate) failed: u64,
}

/// The switch of one route: pure, looked at once per interval.
#[derive(Clone, Copy, Debug)]
struct Switch {
    stand: Stand,
    seen: Attempts,
}

impl Switch {
    fn look(&mut self, now: Instant, attempts: Attempts, config: &KillSwitchConfig) {
        let failed = attempts.failed.saturating_sub(self.seen.failed);
        let total = failed + attempts.handled.saturating_sub(self.seen.handled);
        self.seen = attempts;
        #[expect(clippy::cast_precision_loss, reason = "attempts of one interval")]
        let bad = total > 0 && failed as f64 / total as f64 >= config.failure_ratio;
        let open = Stand::Open { until: now + config.pause };
        self.stand = match self.stand {
            Stand::Closed if bad && total >= config.min_attempts => open,
            Stand::Probing if bad => open,
            Stand::Probing if total > 0 => Stand::Closed,
            Stand::Open { until } if now >= until => Stand::Probing,
            stand => stand,
        };
    }

    fn is_open(&self) -> bool {
        matches!(self.stand, Stand::Open { .. })
    }
}

/// Watches all routes for ever. Dropping the future leaves everything as it stands.
pub(super) async fn watch(config: &KillSwitchConfig, shared: &Shared, plan: &Plan) {
    let judges = config.failure_ratio > 0.0;
    if !judges && !config.sink_breakers {
        return std::future::pending().await;
    }
    // The place of the subscription that brings a route its events.
    let covers = &plan.covers;
    let interval = config.interval.max(Duration::from_millis(1));
    let mut judged = Instant::now();
    let mut held: Vec<bool> = vec![false; shared.routes.len()];
    let mut switches: Vec<Switch> =
        shared.routes.iter().map(|_| Switch { stand: Stand::Closed, seen: Attempts::default() }).collect();
    let subscriptions = covers.iter().max().map_or(0, |last| last + 1);
    loop {
        let next = judged + interval;
        if config.sink_breakers {
            sleep(LOOK.min(next.saturating_duration_since(Instant::now()))).await;
            hold(&mut held, shared, plan);
        } else {
            sleep_until(next).await;
        }
        let due = Instant::now() >= next;
        if due {
            judged = Instant::now();
        }
        for (switch, name) in switches.iter_mut().zip(&shared.routes).filter(|_| due && judges) {
            let was = switch.stand;
            switch.look(Instant::now(), shared.metrics.attempts(name), config);
            match (was, switch.stand) {
                (Stand::Closed | Stand::Probing, Stand::Open { .. }) => {
                    shared.metrics.trip(name);
                    warn!(
                        route = &**name,
                        pause = ?config.pause,
                        "most events of this route fail: it is unsubscribed so that other members take over"
                    );
                }
                (Stand::Open { .. }, Stand::Probing) => info!(route = &**name, "route is subscribed again on trial"),
                (Stand::Probing, Stand::Closed) => info!(route = &**name, "route works again"),
                _ => {}
            }
        }
        let off: Vec<bool> = switches.iter().zip(&held).map(|(switch, held)| switch.is_open() || *held).collect();
        // A subscription that several routes share is paused only when all of them fail.
        let paused: Vec<bool> = (0..subscriptions)
            .map(|place| {
                let mut sharers = covers.iter().zip(&off).filter(|(covered, _)| **covered == place).peekable();
                sharers.peek().is_some() && sharers.all(|(_, off)| *off)
            })
            .collect();
        let routes = off.iter().zip(&shared.routes).filter(|(off, _)| **off);
        shared.set_paused_routes(routes.map(|(_, name)| name.clone()).collect());
        shared.paused.send_if_modified(|current| {
            let changed = *current != paused;
            *current = paused;
            changed
        });
    }
}

/// Which routes emit to a sink whose breaker is open.
fn hold(held: &mut [bool], shared: &Shared, plan: &Plan) {
    for ((held, route), name) in held.iter_mut().zip(&plan.routes).zip(&shared.routes) {
        let broken = shared.sinks.iter().enumerate().find(|(at, sink)| sink.is_broken() && route.emits.any_to(*at));
        match (*held, broken) {
            (false, Some((_, sink))) => {
                shared.metrics.trip(name);
                let sink = &*sink.name;
                warn!(route = &**name, sink, "the sink cannot be written: the route is unsubscribed until it can");
            }
            (true, None) => info!(route = &**name, "its sinks can be written: the route is subscribed again"),
            _ => {}
        }
        *held = broken.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> KillSwitchConfig {
        KillSwitchConfig {
            failure_ratio: 0.5,
            min_attempts: 10,
            pause: Duration::from_secs(30),
            ..KillSwitchConfig::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_is_opened_probed_and_closed_again() {
        let (config, start) = (config(), Instant::now());
        let mut switch = Switch { stand: Stand::Closed, seen: Attempts::default() };
        switch.look(start, Attempts { handled: 4, failed: 5 }, &config);
        assert_eq!(switch.stand, Stand::Closed, "too few attempts");
        switch.look(start, Attempts { handled: 9, failed: 10 }, &config);
        assert!(switch.is_open(), "half of ten failed");
        switch.look(start + Duration::from_secs(29), Attempts { handled: 9, failed: 10 }, &config);
        assert!(switch.is_open());
        switch.look(start + Duration::from_secs(30), Attempts { handled: 9, failed: 10 }, &config);
        assert_eq!(switch.stand, Stand::Probing);
        switch.look(start + Duration::from_secs(40), Attempts { handled: 9, failed: 10 }, &config);
        assert_eq!(switch.stand, Stand::Probing, "nothing came, nothing is known");
        switch.look(start + Duration::from_secs(50), Attempts { handled: 9, failed: 11 }, &config);
        assert!(switch.is_open(), "one failed probe is enough");
        switch.look(start + Duration::from_secs(80), Attempts { handled: 9, failed: 11 }, &config);
        switch.look(start + Duration::from_secs(90), Attempts { handled: 10, failed: 11 }, &config);
        assert_eq!(switch.stand, Stand::Closed);
    }
}
