//! The autoscaler: the formula of a HorizontalPodAutoscaler on the saturation that real workers tell of themselves, with
//! target and limits of the chart's own values.
//!
//! INVARIANT: it only grows. Within the five quiet minutes that the chart asks for before a group shrinks
//! (`scaleDown.stabilizationWindowSeconds`) a HorizontalPodAutoscaler takes the highest of its answers.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::account::{self, Mark, Sums};
use super::args::Args;
use super::broker::Server;
use super::load::Load;
use super::scene::{self, Setting};
use super::workload::Workload;
use super::{Error, journal};

const METRIC: &str = "tidemill_window_saturation_ratio";
/// The chart's values; read, so that they cannot differ.
const VALUES: &str = include_str!("../../../helm/tidemill/values.yaml");
/// Ratios this near to 1 change nothing: the default of Kubernetes (`--horizontal-pod-autoscaler-tolerance`).
const TOLERANCE: f64 = 0.1;
/// Between two scrapes.
const SCRAPE: Duration = Duration::from_millis(100);
/// What the broker holds is worked off before the next look, if that takes no longer than the chart's `scaleUp` period.
const WORK_OFF: Duration = Duration::from_secs(30);
/// Changes of the group at most.
const LOOKS: usize = 8;

/// One look at the metric.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Look {
    pub(super) replicas: usize,
    /// Mean over the look and over all replicas.
    pub(super) saturation: f64,
    /// Events per second that were handled meanwhile.
    pub(super) handled_per_s: f64,
    /// What the formula asks for.
    pub(super) desired: usize,
}

/// How the group grew.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Autoscaling {
    pub(super) rate: u32,
    pub(super) window: u16,
    pub(super) work_ms: u128,
    pub(super) target: f64,
    pub(super) looks: Vec<Look>,
    pub(super) published: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
}

impl Autoscaling {
    /// Saturated at first, and at or near the target with the replicas that the formula asked for.
    pub(super) fn is_ok(&self) -> bool {
        let above = self.looks.first().is_some_and(|look| look.saturation > self.target);
        let below = self.looks.last().is_some_and(|look| look.saturation <= self.target * (1.0 + TOLERANCE));
        above && below && self.lost == 0 && self.duplicated == 0
    }
}

/// Replicas that a HorizontalPodAutoscaler asks for.
fn desired(current: usize, metric: f64, target: f64, (min, max): (usize, usize)) -> usize {
    let ratio = metric / target;
    if (ratio - 1.0).abs() <= TOLERANCE {
        return current.clamp(min, max);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let wanted = (current as f64 * ratio).ceil() as usize;
    wanted.clamp(min, max)
}

/// A number of the chart's values, by its key.
fn value(key: &str) -> Result<u32, Error> {
    let found = VALUES.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": ")?.parse().ok());
    found.ok_or_else(|| Error::new(format!("the chart's values have no number {key}")))
}

/// Lets the group grow until the formula asks for no more.
pub(super) async fn play(args: &Args, server: &Server) -> Result<Autoscaling, Error> {
    let target = f64::from(value("saturationPercent")?) / 100.0;
    let limits = (value("minReplicas")? as usize, value("maxReplicas")? as usize);
    let directory = tempfile::tempdir().map_err(|error| Error::because("make a directory", error))?;
    let setting = Setting { window: args.autoscale_window, instances: 1, work: args.autoscale_work, durable: false };
    let template = scene::template(directory.path(), server, &setting)?;
    let journals = template.journals.clone();
    // Lines, which are quickly counted: near enough for a rate. The account at the end is of every event.
    let handled = || journal::lines(&journals).map_err(|error| Error::because("read the journals", error));
    let account = |published| -> Result<Sums, Error> {
        let journals = journal::read_all(&journals).map_err(|error| Error::because("read the journals", error))?;
        let whole = account::sums(published, &[Mark { sent: 0, at_ns: 0 }], &journals);
        Ok(whole.first().copied().unwrap_or_default())
    };
    let mut workload = Workload::new(template, args.grace);
    workload.scale(limits.0).await?;
    let load = Load::start(server, args.autoscale_rate)?;
    let mut looks: Vec<Look> = Vec::new();
    while looks.len() < LOOKS {
        let replicas = workload.pods().len();
        let held = u64::from(args.autoscale_window) * replicas as u64;
        let since = Instant::now();
        while !looks.is_empty() && handled()? + held < load.sent() && since.elapsed() < WORK_OFF {
            sleep(SCRAPE).await;
        }
        if looks.is_empty() {
            // The windows fill.
            sleep(args.look / 3).await;
        }
        let (before, since) = (handled()?, Instant::now());
        let saturation = saturation(&workload, args.look).await?;
        let handled_per_s = (handled()? - before) as f64 / since.elapsed().as_secs_f64();
        let desired = desired(replicas, saturation, target, limits);
        eprintln!("autoscaling: {replicas} replicas, saturation {saturation:.2}, {desired} wanted");
        looks.push(Look { replicas, saturation, handled_per_s, desired });
        if desired <= replicas {
            break;
        }
        workload.scale(desired).await?;
    }
    let published = load.stop().await?;
    let since = Instant::now();
    while account(published)?.lost > 0 && since.elapsed() < WORK_OFF {
        sleep(SCRAPE).await;
    }
    workload.scale(0).await?;
    let Sums { lost, duplicated, .. } = account(published)?;
    Ok(Autoscaling {
        rate: args.autoscale_rate,
        window: args.autoscale_window,
        work_ms: args.autoscale_work.as_millis(),
        target,
        looks,
        published,
        lost,
        duplicated,
    })
}

/// The mean over all pods and all scrapes of a while, as the adapter gives it to the autoscaler.
async fn saturation(workload: &Workload, look: Duration) -> Result<f64, Error> {
    let (mut sum, mut scrapes) = (0.0, 0_u32);
    let since = Instant::now();
    while since.elapsed() < look || scrapes == 0 {
        for pod in workload.pods() {
            sum += pod.metric(METRIC).await?;
            scrapes += 1;
        }
        sleep(SCRAPE).await;
    }
    Ok(sum / f64::from(scrapes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_that_of_kubernetes() {
        let limits = (2, 10);
        assert_eq!(desired(2, 1.0, 0.6, limits), 4);
        assert_eq!(desired(4, 0.81, 0.6, limits), 6);
        assert_eq!(desired(6, 0.2, 0.6, limits), 2);
        assert_eq!(desired(8, 1.0, 0.6, limits), 10);
    }

    #[test]
    fn a_metric_near_its_target_changes_nothing() {
        assert_eq!(desired(5, 0.65, 0.6, (2, 10)), 5);
        assert_eq!(desired(5, 0.55, 0.6, (2, 10)), 5);
    }

    #[test]
    fn an_event_that_came_twice_does_not_stand_for_one_that_is_lost() {
        let look = |saturation| Look { replicas: 2, saturation, handled_per_s: 1.0, desired: 2 };
        let looks = vec![look(1.0), look(0.5)];
        let good =
            Autoscaling { rate: 1, window: 1, work_ms: 1, target: 0.6, looks, published: 2, lost: 0, duplicated: 0 };
        assert!(good.is_ok());
        assert!(!Autoscaling { lost: 1, duplicated: 1, ..good.clone() }.is_ok());
        assert!(!Autoscaling { duplicated: 1, ..good }.is_ok());
    }

    #[test]
    fn the_chart_has_the_numbers() {
        assert!((1..=100).contains(&value("saturationPercent").unwrap()));
        assert!(value("minReplicas").unwrap() < value("maxReplicas").unwrap());
    }
}
