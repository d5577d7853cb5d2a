//! What a throughput is bound by, told from what was measured, with the figures that say so. Pure.
//!
//! In this order, the first that fits:
//!
//! 1. `offered`: what was offered was handled.
//! 2. `cpu`: the worker keeps its cores busy, or one of its threads.
//! 3. `window`: Little's law. Events that are in handlers = events/s x handler time; when that is most of the places
//!    (instances x window), only more places, faster handlers or both help.
//! 4. The machine, the broker's busiest thread or the publishers' only one have nothing left.
//! 5. More instances do not help: `broker`. They do, or a larger window does: `window`, over the round trip to the broker.

use serde::{Deserialize, Serialize};

/// From here on a part counts as fully used.
const KEPT_UP: f64 = 0.97;
const CORES_BUSY: f64 = 0.85;
const THREAD_BUSY: f64 = 0.9;
const MACHINE_BUSY: f64 = 0.93;
/// The part of a busy machine that has to be ours for it to be our bound.
const OURS: f64 = 0.6;
const PLACES_USED: f64 = 0.7;
const WINDOW_USED: f64 = 0.8;
/// So much more is no help.
const HELP: f64 = 1.1;

/// What a throughput is bound by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// The broker, or the way to it.
    Broker,
    /// CPU time of the worker.
    Cpu,
    /// Places for unfinished events.
    Window,
    /// There was no more to handle.
    Offered,
}

impl Bound {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Cpu => "cpu",
            Self::Window => "window",
            Self::Offered => "offered",
        }
    }
}

/// A bound and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) bound: Bound,
    pub(crate) reason: String,
}

/// What was measured with one set of settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) instances: u32,
    pub(crate) window: u16,
    /// Handlers of one instance at a time; 0 is as many as the window.
    pub(crate) concurrency: u32,
    pub(crate) events_per_s: f64,
    /// What was to be published per second; `None` is as much as possible.
    pub(crate) offered_per_s: Option<f64>,
    pub(crate) handler_mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) window_use: f64,
    /// Cores that the machine has.
    pub(crate) cores: usize,
    /// Cores that each part kept busy, and how busy its busiest thread was.
    pub(crate) worker_cores: f64,
    pub(crate) worker_thread: f64,
    pub(crate) publishers_cores: f64,
    pub(crate) publishers_thread: f64,
    /// `None` for a broker that is none of our processes.
    pub(crate) broker_cores: Option<f64>,
    pub(crate) broker_thread: Option<f64>,
    /// How busy the machine was, 0 to 1.
    pub(crate) machine: Option<f64>,
    pub(crate) lost: u64,
    /// Publications that the broker refused.
    pub(crate) refused: u64,
    pub(crate) duplicated: u64,
}

impl Point {
    /// Events that can be in handlers at one time.
    pub(crate) fn places(&self) -> f64 {
        let each = match self.concurrency {
            0 => u32::from(self.window),
            concurrency => concurrency.min(u32::from(self.window)),
        };
        f64::from(self.instances) * f64::from(each)
    }

    /// The most that the places can pass on, by Little's law; `None` when handlers take no time.
    pub(crate) fn most_per_s(&self) -> Option<f64> {
        (self.handler_mean_ms > 0.0).then(|| self.places() / (self.handler_mean_ms / 1e3))
    }

    fn is_beside(&self, other: &Self) -> bool {
        self.concurrency == other.concurrency && self.offered_per_s == other.offered_per_s
    }
}

/// Names what this point is bound by. `all` may hold other points of the same sweep, which tell whether more instances
/// or a larger window help.
pub(crate) fn name(point: &Point, all: &[Point]) -> Verdict {
    let verdict = |bound, reason: String| Verdict { bound, reason };
    let per_cent = |part: f64| format!("{:.0} %", part * 100.0);
    if let Some(offered) = point.offered_per_s.filter(|offered| point.events_per_s >= KEPT_UP * offered) {
        let reason = format!("{:.0} of {offered:.0} offered events/s were handled", point.events_per_s);
        return verdict(Bound::Offered, reason);
    }
    if point.worker_cores >= CORES_BUSY * point.cores.max(1) as f64 {
        let reason = format!("the worker keeps {:.2} of {} cores busy", point.worker_cores, point.cores);
        return verdict(Bound::Cpu, reason);
    }
    if point.worker_thread >= THREAD_BUSY {
        let reason = format!("one thread of the worker is {} busy", per_cent(point.worker_thread));
        return verdict(Bound::Cpu, reason);
    }
    if let Some(most) = point.most_per_s().filter(|most| point.events_per_s >= PLACES_USED * most) {
        let reason = format!(
            "{:.0} places / {:.2} ms per handler = {most:.0} events/s, of which {} are reached",
            point.places(),
            point.handler_mean_ms,
            per_cent(point.events_per_s / most)
        );
        return verdict(Bound::Window, reason);
    }
    exhausted(point).unwrap_or_else(|| by_neighbours(point, all))
}

/// A part that has nothing left.
fn exhausted(point: &Point) -> Option<Verdict> {
    let busy = |part: f64| format!("{:.0} % busy", part * 100.0);
    if let Some(thread) = point.broker_thread.filter(|thread| *thread >= THREAD_BUSY) {
        let reason = format!("one thread of the broker is {}", busy(thread));
        return Some(Verdict { bound: Bound::Broker, reason });
    }
    if point.publishers_thread >= THREAD_BUSY {
        let reason = format!("the publishers' thread is {}: they cannot offer more", busy(point.publishers_thread));
        return Some(Verdict { bound: Bound::Offered, reason });
    }
    let machine = point.machine.filter(|machine| *machine >= MACHINE_BUSY)?;
    let broker = point.broker_cores.unwrap_or(0.0);
    let parts = [
        (Bound::Cpu, "the worker", point.worker_cores),
        (Bound::Broker, "the broker", broker),
        (Bound::Offered, "the publishers", point.publishers_cores),
    ];
    // Where others keep the machine busy, what is short is not ours to name.
    let ours: f64 = parts.iter().map(|part| part.2).sum();
    if ours < OURS * machine * point.cores as f64 {
        return None;
    }
    let (bound, who, cores) = parts.into_iter().max_by(|one, other| one.2.total_cmp(&other.2))?;
    let reason = format!(
        "the machine is {}, {cores:.2} of {} cores for {who}; measure with the parts on machines of their own",
        busy(machine),
        point.cores
    );
    Some(Verdict { bound, reason })
}

fn by_neighbours(point: &Point, all: &[Point]) -> Verdict {
    let gain = |other: &Point| other.events_per_s / point.events_per_s.max(1e-9);
    let beside = || all.iter().filter(|other| other.is_beside(point));
    let same_window = || beside().filter(|other| other.window == point.window);
    let more = same_window().filter(|other| other.instances > point.instances).min_by_key(|other| other.instances);
    let fewer = same_window().filter(|other| other.instances < point.instances).max_by_key(|other| other.instances);
    let wider = beside().filter(|other| other.instances == point.instances && other.window > point.window);
    if let Some(wider) = wider.min_by_key(|other| other.window).filter(|wider| gain(wider) > HELP) {
        let reason = format!("a window of {} passes {:.2} x as many events: the round trip", wider.window, gain(wider));
        return Verdict { bound: Bound::Window, reason };
    }
    // What more instances do is what counts; at the end of a sweep what the last ones did.
    let (helps, reason) = match (more, fewer) {
        (Some(more), _) => {
            let factor = gain(more);
            (factor > HELP, format!("{} instances handle {factor:.2} x as much", more.instances))
        }
        (None, Some(fewer)) => {
            let factor = 1.0 / gain(fewer).max(1e-9);
            (factor > HELP, format!("it is {factor:.2} x what {} instances handle", fewer.instances))
        }
        (None, None) => {
            let used = point.window_use;
            (used >= WINDOW_USED, format!("windows are {:.0} % full", used * 100.0))
        }
    };
    if helps {
        let reason = format!("{reason}, and neither CPU nor handlers are the limit: the round trip fills the windows");
        return Verdict { bound: Bound::Window, reason };
    }
    Verdict { bound: Bound::Broker, reason: format!("{reason}, while worker and handlers have time left") }
}

#[cfg(test)]
#[path = "bound_tests.rs"]
mod tests;
