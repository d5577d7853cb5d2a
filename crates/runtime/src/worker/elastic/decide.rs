//! One instance more, one less, or neither: pure, from samples of the load.
//!
//! Growing is quick and shrinking is slow. Three things keep it from going back and forth on a load that stays the same:
//! the mark for shrinking is about the windows of those that remain, and lies below the mark for growing; nothing is
//! decided for a while after a change; and each time that taking one away proves wrong, the next attempt waits twice as
//! long. Windows alone cannot tell beforehand: where handlers take turns, they are empty until the load is too high.

use std::fmt;
use std::time::Duration;

use crate::config::ElasticConfig;

/// Share of instances with a waiting handler from which it is the handlers that hold events up.
const BUSY: f64 = 0.5;
/// How much of the latest sample goes into the smoothed level.
const SMOOTHING: f64 = 0.3;
/// 64 times as long at most.
const MAX_STRIKES: u32 = 6;

/// What a worker looks like at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Since some beginning.
    pub(super) at: Duration,
    pub(super) instances: u32,
    /// Unfinished events as a share of all windows.
    pub(super) saturation: f64,
    /// Share of instances that have a handler waiting.
    pub(super) busy: f64,
    /// Share of the CPU that the process may use.
    pub(super) cpu: f64,
    /// All instances are there and at work: nobody joins, leaves, is replaced or paused.
    pub(super) steady: bool,
}

/// What to do, and why, as a sentence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Grow {
        level: f64,
        cpu: f64,
        lasted: Duration,
    },
    Shrink {
        others: f64,
        lasted: Duration,
    },
    /// Nothing, for this reason.
    Unsteady,
    CoolingDown,
    Saturated {
        level: f64,
    },
    AtMost {
        level: f64,
        max: u32,
    },
    CpuBound {
        level: f64,
        cpu: f64,
    },
    NotHandlers {
        level: f64,
    },
    Idle {
        others: f64,
        patience: Duration,
    },
    Fits {
        level: f64,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| (share * 100.0).round();
        match *self {
            Self::Grow { level, cpu, lasted } => write!(
                f,
                "windows were {} % full for {} s while handlers waited and the CPU was {} % busy",
                percent(level),
                lasted.as_secs(),
                percent(cpu)
            ),
            Self::Shrink { others, lasted } => write!(
                f,
                "the other instances could carry the load with {} % of their windows, for {} s",
                percent(others),
                lasted.as_secs()
            ),
            Self::Unsteady => f.write_str("instances join, leave or are paused: nothing is decided"),
            Self::CoolingDown => f.write_str("the last change is too fresh: nothing is decided"),
            Self::Saturated { level } => {
                write!(f, "windows are {} % full: an instance is added if that lasts", percent(level))
            }
            Self::AtMost { level, max } => {
                write!(f, "windows are {} % full, but {max} instances are the upper limit", percent(level))
            }
            Self::CpuBound { level, cpu } => write!(
                f,
                "windows are {} % full, but the CPU is {} % busy: another instance would take it from the others",
                percent(level),
                percent(cpu)
            ),
            Self::NotHandlers { level } => write!(
                f,
                "windows are {} % full, but hardly a handler waits: sinks hold the events up, which more instances share",
                percent(level)
            ),
            Self::Idle { others, patience } => write!(
                f,
                "the other instances could carry the load with {} % of their windows: one is taken away if that lasts {} s",
                percent(others),
                patience.as_secs()
            ),
            Self::Fits { level } => write!(f, "windows are {} % full: the number fits the load", percent(level)),
        }
    }
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(super) struct Controller {
    level: Option<f64>,
    saturated_since: Option<Duration>,
    idle_since: Option<Duration>,
    changed_at: Option<Duration>,
    /// When the last instance was taken away, until that has proved right.
    shrunk_at: Option<Duration>,
    strikes: u32,
}

impl Controller {
    /// Looks at a sample. What it says is expected to be done.
    pub(super) fn look(&mut self, (min, max): (u32, u32), config: &ElasticConfig, now: &Sample) -> Verdict {
        if !now.steady {
            self.forget();
            return Verdict::Unsteady;
        }
        let level = self.level.map_or(now.saturation, |level| level + SMOOTHING * (now.saturation - level));
        self.level = Some(level);
        let patience = config.shrink_after.saturating_mul(1 << self.strikes.min(MAX_STRIKES));
        if self.shrunk_at.is_some_and(|at| now.at.saturating_sub(at) > patience) {
            self.shrunk_at = None;
            self.strikes = 0;
        }
        let others = level * f64::from(now.instances) / f64::from(now.instances.saturating_sub(1).max(1));
        let saturated = level >= config.grow_at;
        let idle = now.instances > min && others <= config.shrink_below;
        let saturated_for = lasts(&mut self.saturated_since, saturated, now.at);
        let idle_for = lasts(&mut self.idle_since, idle, now.at);
        if self.changed_at.is_some_and(|at| now.at.saturating_sub(at) < config.cool_down) {
            return Verdict::CoolingDown;
        }
        if saturated {
            return match () {
                () if now.instances >= max => Verdict::AtMost { level, max },
                () if now.cpu >= config.max_cpu => self.held_up(Verdict::CpuBound { level, cpu: now.cpu }),
                () if now.busy < BUSY => self.held_up(Verdict::NotHandlers { level }),
                () if saturated_for < config.grow_after => Verdict::Saturated { level },
                () => {
                    if self.shrunk_at.take().is_some() {
                        self.strikes = (self.strikes + 1).min(MAX_STRIKES);
                    }
                    self.changed(now.at);
                    Verdict::Grow { level, cpu: now.cpu, lasted: saturated_for }
                }
            };
        }
        if !idle {
            return Verdict::Fits { level };
        }
        if idle_for < patience {
            return Verdict::Idle { others, patience };
        }
        self.changed(now.at);
        self.shrunk_at = Some(now.at);
        Verdict::Shrink { others, lasted: idle_for }
    }

    /// Another instance does not help: it counts from the moment that it would.
    fn held_up(&mut self, verdict: Verdict) -> Verdict {
        self.saturated_since = None;
        verdict
    }

    fn changed(&mut self, at: Duration) {
        self.forget();
        self.changed_at = Some(at);
    }

    fn forget(&mut self) {
        self.level = None;
        self.saturated_since = None;
        self.idle_since = None;
    }
}

/// How long it has been so.
fn lasts(since: &mut Option<Duration>, holds: bool, now: Duration) -> Duration {
    if !holds {
        *since = None;
        return Duration::ZERO;
    }
    now.saturating_sub(*since.get_or_insert(now))
}
