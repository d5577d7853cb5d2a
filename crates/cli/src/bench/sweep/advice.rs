//! Which point of a sweep to use, and the settings that make it. Pure.
//!
//! The fewest instances whose throughput is within 5 % of the best one, then the smallest window: what costs least and
//! gains as much. Where a load was offered, that is the fewest that handle it. Points that lost events do not count.

use serde::Serialize;

use super::super::bound::{self, Bound, Point};

/// What is so close to the best is as good.
const AS_GOOD: f64 = 0.95;

/// The recommendation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Recommended {
    pub(super) instances: u32,
    pub(super) window: u16,
    pub(super) concurrency: u32,
    pub(super) bound: Bound,
    pub(super) events_per_s: f64,
    pub(super) p99_ms: f64,
    pub(super) reason: String,
    /// Settings for `tidemill.toml`.
    pub(super) config: String,
}

/// The best point; `None` when there is none without loss.
pub(super) fn recommend(points: &[Point]) -> Option<Recommended> {
    let fit = || points.iter().filter(|point| point.lost == 0 && point.events_per_s > 0.0);
    let most = fit().map(|point| point.events_per_s).fold(0.0, f64::max);
    let as_good = fit().filter(|point| point.events_per_s >= AS_GOOD * most);
    let point = as_good.min_by(|one, other| {
        let size = |point: &Point| (point.instances, point.window, point.concurrency);
        size(one).cmp(&size(other)).then(other.events_per_s.total_cmp(&one.events_per_s))
    })?;
    let verdict = bound::name(point, points);
    let largest = fit().map(|other| other.instances).max().unwrap_or(point.instances);
    let widest = fit().map(|other| other.window).max().unwrap_or(point.window);
    let more = match verdict.bound {
        Bound::Offered if point.offered_per_s.is_some() => {
            "; fewer did not keep up, more have nothing to do".to_owned()
        }
        Bound::Window if point.instances == largest && point.window == widest && points.len() > 1 => {
            "; it is the largest that was tried, so try more".to_owned()
        }
        _ if point.instances == largest && points.len() > 1 => "; more instances were not tried".to_owned(),
        _ => format!("; up to {largest} instances gain less than 5 %"),
    };
    Some(Recommended {
        instances: point.instances,
        window: point.window,
        concurrency: point.concurrency,
        bound: verdict.bound,
        events_per_s: point.events_per_s,
        p99_ms: point.p99_ms,
        reason: format!("{}{more}", verdict.reason),
        config: config(point),
    })
}

fn config(point: &Point) -> String {
    let mut text = format!("instances = {}\n\n[mqtt]\nwindow = {}\n", point.instances, point.window);
    if point.concurrency > 0 {
        text.push_str(&format!("\n[dispatch]\nconcurrency = {}\n", point.concurrency));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(instances: u32, window: u16, events_per_s: f64) -> Point {
        Point { instances, window, events_per_s, cores: 4, handler_mean_ms: 0.01, ..Point::default() }
    }

    #[test]
    fn the_fewest_instances_and_then_the_smallest_window_that_are_as_good_as_the_best() {
        let points =
            [point(1, 64, 500.0), point(2, 64, 960.0), point(4, 64, 1000.0), point(2, 16, 955.0), point(4, 16, 990.0)];
        let best = recommend(&points).unwrap();
        assert_eq!((best.instances, best.window, best.bound), (2, 16, Bound::Broker));
        assert!(best.reason.contains("up to 4 instances gain less than 5 %"), "{}", best.reason);
    }

    #[test]
    fn points_that_lost_events_do_not_count() {
        let points = [point(1, 64, 500.0), Point { lost: 1, ..point(2, 64, 5000.0) }];
        assert_eq!(recommend(&points).unwrap().instances, 1);
        assert_eq!(recommend(&points[1..]), None);
    }

    #[test]
    fn a_curve_that_still_rises_asks_for_more() {
        let points = [point(1, 64, 500.0), point(2, 64, 1000.0)];
        let best = recommend(&points).unwrap();
        assert_eq!((best.instances, best.bound), (2, Bound::Window));
        assert!(best.reason.contains("try more"), "{}", best.reason);
    }

    #[test]
    fn nobody_is_told_to_try_more_instances_when_the_broker_is_the_bound() {
        let busy = |instances, events_per_s, broker| Point {
            broker_thread: Some(broker),
            handler_mean_ms: 5.0,
            ..point(instances, 64, events_per_s)
        };
        let points = [busy(4, 50_000.0, 0.7), busy(8, 80_000.0, 0.89)];
        let best = recommend(&points).unwrap();
        assert_eq!((best.instances, best.bound), (8, Bound::Broker));
        assert!(best.reason.ends_with("; more instances were not tried"), "{}", best.reason);
        let window = recommend(&points[..1]).unwrap();
        assert_eq!(window.bound, Bound::Window);
    }

    #[test]
    fn an_offered_load_needs_the_fewest_that_keep_up() {
        let offered =
            |instances, events_per_s| Point { offered_per_s: Some(1000.0), ..point(instances, 64, events_per_s) };
        let points = [offered(1, 500.0), offered(2, 998.0), offered(4, 1000.0)];
        let best = recommend(&points).unwrap();
        assert_eq!((best.instances, best.bound), (2, Bound::Offered));
    }

    #[test]
    fn the_settings_are_those_that_the_library_reads() {
        let config = tidemill::Config::from_toml(&config(&Point { concurrency: 8, ..point(3, 16, 1.0) })).unwrap();
        assert_eq!(config.instances, tidemill::config::Instances::Fixed(3));
        assert_eq!((config.mqtt.window, config.dispatch.concurrency), (16, 8));
    }
}
