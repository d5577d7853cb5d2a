//! The kill switch: a route that fails most of its events is unsubscribed, so that other members of the group take its
//! events, and tried again after a pause. Holding the events instead would fill the window and starve healthy routes.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::state::Shared;
use crate::config::KillSwitchConfig;

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

/// Watches all routes for ever. `covers[r]` is the place of the subscription that brings route `r` its events. Dropping
/// the future leaves everything as it stands.
pub(super) async fn watch(config: &KillSwitchConfig, shared: &Shared, covers: &[usize]) {
    if config.failure_ratio <= 0.0 {
        return std::future::pending().await;
    }
    let mut switches: Vec<Switch> =
        shared.routes.iter().map(|_| Switch { stand: Stand::Closed, seen: Attempts::default() }).collect();
    let subscriptions = covers.iter().max().map_or(0, |last| last + 1);
    loop {
        sleep(config.interval.max(Duration::from_millis(1))).await;
        for (switch, name) in switches.iter_mut().zip(&shared.routes) {
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
        // A subscription that several routes share is paused only when all of them fail.
        let paused: Vec<bool> = (0..subscriptions)
            .map(|place| {
                let mut sharers = covers.iter().zip(&switches).filter(|(covered, _)| **covered == place).peekable();
                sharers.peek().is_some() && sharers.all(|(_, switch)| switch.is_open())
            })
            .collect();
        let routes = switches.iter().zip(&shared.routes).filter(|(switch, _)| switch.is_open());
        shared.set_paused_routes(routes.map(|(_, name)| name.clone()).collect());
        shared.paused.send_if_modified(|current| {
            let changed = *current != paused;
            *current = paused;
            changed
        });
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
