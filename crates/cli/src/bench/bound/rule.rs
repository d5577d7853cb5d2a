//! The rule: each part's load is the share of its time, or of its places, that the measured throughput takes. The part
//! is the bound whose load, halved, leaves the lowest highest load: the one that it pays most to have twice of.
//!
//! - A load of a thread is the time in which it ran or was ready to run. Twice as fast halves that; more cores
//!   than the machine has take the waiting away, from all threads alike.
//! - The load of the places is Little's law: events/s x time that an event has a place / places. That time is measured
//!   in the handler. The rest of it, the round trip, is learnt from points to which more places brought more.
//! - What cannot be looked into is taken to have some room left, and is the bound when everything else has more.
//!
//! INVARIANT: places say nothing while a thread of the worker never rests: events wait for it in their places, and handlers
//! that wait for it take longer. Nor does what a broker has under way, while it never rests or where more places brought
//! nothing: what waits for threads on the way is among that.

use super::{Bound, Point, Verdict};

/// So much of what was offered is all of it.
const KEPT_UP: f64 = 0.97;
/// From here on a thread never rests.
const NEVER_RESTS: f64 = 0.9;
/// Loads of what cannot be seen: a broker elsewhere; the way to one that is here.
const ELSEWHERE: f64 = 0.85;
const ON_THE_WAY: f64 = 0.6;
/// More places are at least so many times as many, and bring at least this part of it; less than that is no help.
const MORE_PLACES: f64 = 1.4;
const BRINGS: f64 = 0.25;
const NO_HELP: f64 = 1.1;

/// A law that explains so much of what is seen is the better explanation.
const MOSTLY: f64 = 0.8;

/// Something that has a limit, and how far it is used.
#[derive(Clone, Debug)]
struct Part {
    bound: Bound,
    who: &'static str,
    /// Used by itself, 0 to 1.
    runs: f64,
    /// Ready, and no core was free.
    waits: f64,
}

impl Part {
    fn load(&self) -> f64 {
        self.runs + self.waits
    }
}

/// What one could have twice of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Remedy {
    /// Of one part.
    Part(usize),
    Cores,
}

/// Names what this point is bound by. `all` may hold other points of the same sweep, which tell what the round trip takes
/// and whether more places help.
pub(crate) fn name(point: &Point, all: &[Point]) -> Verdict {
    if let Some(offered) = point.offered_per_s.filter(|offered| point.events_per_s >= KEPT_UP * offered) {
        let reason = format!("{:.0} of {offered:.0} offered events/s were handled", point.events_per_s);
        return Verdict { bound: Bound::Offered, reason };
    }
    let mut parts = threads(point);
    let places = Places::of(point, all);
    if !never_rests(&parts, WORKER) {
        parts.push(places.part());
        parts.push(unseen(point, all));
    }
    let (bound, why) = match best(&parts) {
        Remedy::Cores => (Bound::Cpu, cores_are_short(point, &parts)),
        Remedy::Part(number) => (parts[number].bound, why(&parts[number], point, &places)),
    };
    Verdict { bound, reason: format!("{why}; {}", others(point, &places, bound)) }
}

const PLACES: &str = "places";
const UNSEEN: &str = "unseen";
const WORKER: &str = "the worker";
const WORKER_CORES: &str = "cores of the worker";
const BROKER: &str = "the broker";
const PUBLISHERS: &str = "the publishers";

fn per_cent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

fn why(part: &Part, point: &Point, places: &Places) -> String {
    let waits = match per_cent(part.waits).as_str() {
        "0 %" => String::new(),
        waits => format!(" and waits for a core another {waits}"),
    };
    match part.who {
        PLACES => places.reason(),
        UNSEEN => "nothing that can be seen is short, which leaves the broker or the way to it".to_owned(),
        WORKER_CORES => format!("the worker keeps {:.2} of {} cores busy", point.worker_cores, point.cores),
        who => format!("a thread of {who} runs {} of the time{waits}", per_cent(part.runs)),
    }
}

fn threads(point: &Point) -> Vec<Part> {
    let broker_waits = point.broker_thread_waits.unwrap_or(0.0);
    let all_waits = point.worker_thread_waits + point.publishers_thread_waits + broker_waits;
    // Not every kernel counts waiting. Where no core is free, what did not run may have waited.
    let is_guessed = all_waits == 0.0 && point.machine.is_some_and(|machine| machine >= NEVER_RESTS);
    let thread = |bound, who, runs: f64, waits: f64| {
        let runs = runs.min(1.0);
        // The two are read one after the other, so that they may sum up to a little more than all of the time.
        Part { bound, who, runs, waits: if is_guessed { 1.0 - runs } else { waits.min(1.0 - runs) } }
    };
    let mut parts = vec![
        thread(Bound::Cpu, WORKER, point.worker_thread, point.worker_thread_waits),
        thread(Bound::Offered, PUBLISHERS, point.publishers_thread, point.publishers_thread_waits),
    ];
    parts.extend(point.broker_thread.map(|runs| thread(Bound::Broker, BROKER, runs, broker_waits)));
    let of_cores = point.worker_cores / point.cores.max(1) as f64;
    parts.push(Part { bound: Bound::Cpu, who: WORKER_CORES, runs: of_cores.min(1.0), waits: 0.0 });
    parts
}

fn never_rests(parts: &[Part], who: &str) -> bool {
    parts.iter().any(|part| part.who == who && part.load() >= NEVER_RESTS)
}

fn busiest(parts: &[Part]) -> f64 {
    parts.iter().map(Part::load).fold(0.0, f64::max)
}

/// The best of the points that have more places; `None` when there is none.
fn with_more_places<'a>(point: &Point, all: &'a [Point]) -> Option<&'a Point> {
    let more = all.iter().filter(|other| point.is_beside(other) && other.places() >= MORE_PLACES * point.places());
    more.max_by(|one, other| one.events_per_s.total_cmp(&other.events_per_s))
}

fn is_no_help(point: &Point, more: &Point) -> bool {
    more.events_per_s < NO_HELP * point.events_per_s
}

/// The broker and the way to it, as far as they are not seen. If the most that more places ever brought is no help, and
/// nothing that is seen held that back, places are not short, so it is this.
fn unseen(point: &Point, all: &[Point]) -> Part {
    let is_held_back = |more: &Point| {
        // A broker elsewhere may be on this machine all the same.
        busiest(&threads(more)) >= ELSEWHERE || more.machine.is_some_and(|machine| machine >= NEVER_RESTS)
    };
    let load = match with_more_places(point, all) {
        Some(more) if is_no_help(point, more) && !is_held_back(more) => 1.0,
        _ if point.broker_thread.is_some() => ON_THE_WAY,
        _ => ELSEWHERE,
    };
    Part { bound: Bound::Broker, who: UNSEEN, runs: load, waits: 0.0 }
}

/// What leaves the lowest highest load, and among equals what is left of the part itself.
fn best(parts: &[Part]) -> Remedy {
    let left = |remedy: Remedy| {
        let load = |number: usize, part: &Part| match remedy {
            Remedy::Part(which) if which == number => part.load() / 2.0,
            Remedy::Part(_) => part.load(),
            // Twice the cores of the worker are the same thing.
            Remedy::Cores if part.who == WORKER_CORES => part.runs / 2.0,
            Remedy::Cores => part.runs,
        };
        let highest = parts.iter().enumerate().map(|(number, part)| load(number, part)).fold(0.0, f64::max);
        let was = parts.iter().enumerate().max_by(|one, other| one.1.load().total_cmp(&other.1.load()));
        (highest, was.map_or(0.0, |(number, part)| load(number, part)))
    };
    let remedies = (0..parts.len()).map(Remedy::Part).chain([Remedy::Cores]);
    let order = |one: &Remedy, other: &Remedy| {
        let (one, other) = (left(*one), left(*other));
        one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1))
    };
    remedies.min_by(order).unwrap_or(Remedy::Cores)
}

/// Places for events, and how far they are used.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// How many there are, or fewer where publishers may not be so far ahead.
    number: f64,
    is_of_publishers: bool,
    /// Time of an event in the handler, and for the rest of the way.
    handler_s: f64,
    trip_s: f64,
    /// Part of them in use by Little's law, and as worker or broker saw it.
    by_law: f64,
    seen: f64,
}

impl Places {
    fn of(point: &Point, all: &[Point]) -> Self {
        let ahead = point.ahead.map_or(f64::INFINITY, |ahead| ahead as f64);
        let number = point.places().min(ahead).max(1.0);
        let (handler_s, trip_s) = (point.handler_mean_ms / 1e3, round_trip_s(point, all).unwrap_or(0.0));
        let windows = f64::from(point.instances) * f64::from(point.window);
        let waits_elsewhere = never_rests(&threads(point), BROKER)
            || with_more_places(point, all).is_some_and(|more| is_no_help(point, more));
        let inflight = point.inflight.filter(|_| !waits_elsewhere).unwrap_or(0.0);
        Self {
            number,
            is_of_publishers: ahead < point.places(),
            handler_s,
            trip_s,
            by_law: point.events_per_s * (handler_s + trip_s) / number,
            seen: point.window_use.max(inflight / windows.max(1.0)),
        }
    }

    fn used(&self) -> f64 {
        self.by_law.max(self.seen).min(1.0)
    }

    fn part(&self) -> Part {
        let bound = if self.is_of_publishers { Bound::Offered } else { Bound::Window };
        Part { bound, who: PLACES, runs: self.used(), waits: 0.0 }
    }

    fn reason(&self) -> String {
        let Self { number, handler_s, trip_s, .. } = self;
        let what = if self.is_of_publishers { "events ahead" } else { "places" };
        if self.by_law < MOSTLY * self.seen {
            return format!("{} of {:.0} {what} are in use", per_cent(self.used()), number);
        }
        let trip = if *trip_s > 0.0 { format!(" + {:.2} ms round trip", trip_s * 1e3) } else { String::new() };
        format!(
            "{number:.0} {what} / ({:.2} ms handler{trip}) = {:.0} events/s, of which {} are reached",
            handler_s * 1e3,
            number / (handler_s + trip_s),
            per_cent(self.by_law)
        )
    }
}

/// Seconds that an event has a place and is not in a handler, while nothing but places is short: the least that was seen
/// where more places brought more.
fn round_trip_s(point: &Point, all: &[Point]) -> Option<f64> {
    let beside = || all.iter().filter(|other| point.is_beside(other) && other.events_per_s > 0.0);
    let grows = |this: &&Point| {
        beside().any(|other| {
            let (places, gain) = (other.places() / this.places(), other.events_per_s / this.events_per_s);
            places >= MORE_PLACES && gain >= 1.0 + BRINGS * (places - 1.0)
        })
    };
    let trip_s = |this: &Point| (this.places() / this.events_per_s - this.handler_mean_ms / 1e3).max(0.0);
    beside().filter(grows).map(trip_s).min_by(f64::total_cmp)
}

fn cores_are_short(point: &Point, parts: &[Part]) -> String {
    let ours = point.worker_cores + point.publishers_cores + point.broker_cores.unwrap_or(0.0);
    let all = point.machine.map(|machine| (machine * point.cores as f64 - ours).max(0.0));
    let besides = all.map_or_else(String::new, |others| format!(" and {others:.2} by other programs"));
    let waits = parts.iter().filter(|part| part.waits > 0.0).max_by(|one, other| one.waits.total_cmp(&other.waits));
    let waits = waits.map_or_else(String::new, |part| {
        format!(", so that a thread of {} waits for one {} of the time", part.who, per_cent(part.waits))
    });
    format!("of {} cores {ours:.2} are kept busy by this benchmark{besides}{waits}", point.cores)
}

/// How far everything else is used.
fn others(point: &Point, places: &Places, bound: Bound) -> String {
    let threads = threads(point);
    let threads = threads.iter().filter(|part| part.who != WORKER_CORES && part.bound != bound);
    let mut used: Vec<String> = threads.map(|part| format!("{} {}", part.who, per_cent(part.load()))).collect();
    if places.part().bound != bound {
        used.insert(0, format!("places {}", per_cent(places.used())));
    }
    format!("busy besides: {}", used.join(", "))
}
