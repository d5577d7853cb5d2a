//! The result of a run: what it was asked to do and what came of it, as programs read it.

use serde::{Deserialize, Serialize};

use super::super::bound::Verdict;
use super::super::histogram::Percentiles;
use super::super::process::Second;
use super::super::scenario::Scenario;
use super::super::schedule::Shape;
use super::super::stage::{Measured, Setup};
use super::super::usage::{self, Used};
use super::super::work::Work;
use super::RunArgs;
use crate::connect::label;
use crate::figures::{ratio, rounded};

/// See the module's description. Fields keep their names: results are compared over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunResult {
    pub(crate) command: String,
    /// After the Open MQTT Benchmark Suite.
    pub(crate) scenario: String,
    /// Nothing was lost and nothing was wrong.
    pub(crate) ok: bool,
    pub(crate) stopped: bool,
    pub(crate) settings: Settings,
    pub(crate) published: u64,
    pub(crate) handled: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Handled again because a publisher had to publish it again.
    pub(crate) resent: u64,
    pub(crate) out_of_order: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) refused: u64,
    /// While it was measured.
    pub(crate) events_per_s: f64,
    pub(crate) measured_s: f64,
    /// From when an event was due until its handler had it.
    pub(crate) latency_ms: Percentiles,
    /// How long handlers took.
    pub(crate) handler_ms: Percentiles,
    /// How late events left the publishers; part of the latency.
    pub(crate) generator_late_ms: Percentiles,
    pub(crate) bound: Verdict,
    /// Mean part of the windows in use, 0 to 1.
    pub(crate) window_use: f64,
    /// Mean events under way to instances, where the broker says so.
    pub(crate) broker_inflight: Option<f64>,
    /// Mean events that waited in the broker, where it says so.
    pub(crate) broker_queued: Option<f64>,
    pub(crate) machine_busy: Option<f64>,
    pub(crate) cores: usize,
    pub(crate) worker: Cost,
    pub(crate) publishers: Cost,
    pub(crate) broker: Option<Cost>,
    pub(crate) instances: Vec<Share>,
    /// One for each second.
    pub(crate) samples: Vec<Second>,
}

/// What was asked for, as far as it matters for comparing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) broker: String,
    pub(crate) mqtt: String,
    pub(crate) qos: u8,
    pub(crate) publishers: u32,
    pub(crate) instances: u32,
    pub(crate) window: u16,
    pub(crate) concurrency: u32,
    pub(crate) work: Work,
    pub(crate) payload: usize,
    pub(crate) keys: u32,
    pub(crate) unordered: bool,
    /// 0 is as fast as events are handled.
    pub(crate) rate: u64,
    pub(crate) shape: Shape,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// CPU time per event in microseconds.
    pub(crate) cpu_us_per_event: f64,
    /// Cores that it kept busy.
    pub(crate) cores: f64,
    /// How busy its busiest thread was, 0 to 1.
    pub(crate) busiest_thread: f64,
    /// Memory before the first event, in KiB.
    pub(crate) idle_kib: Option<u64>,
    /// Most memory that it ever held, in KiB.
    pub(crate) peak_kib: Option<u64>,
    /// What it grew by for each event that was unfinished at the worst moment, in bytes. Bookkeeping of the benchmark
    /// included.
    pub(crate) bytes_per_event: Option<f64>,
}

/// One instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) id: String,
    pub(crate) events: u64,
    pub(crate) share: f64,
    pub(crate) latency_ms: Percentiles,
}

impl Cost {
    fn new(used: &Used, events: u64) -> Self {
        Self {
            cpu_us_per_event: rounded(used.us_per_event(events), 3),
            cores: rounded(used.cores(), 3),
            busiest_thread: rounded(used.busiest(), 3),
            ..Self::default()
        }
    }

    fn memory(mut self, idle_kib: u64, peak_kib: u64, held: u64) -> Self {
        (self.idle_kib, self.peak_kib) = (Some(idle_kib), Some(peak_kib));
        let grown = peak_kib.saturating_sub(idle_kib) * 1024;
        self.bytes_per_event = (held > 0).then(|| rounded(ratio(grown, held), 0));
        self
    }
}

impl RunResult {
    pub(super) fn new(args: &RunArgs, setup: &Setup, measured: &Measured, bound: Verdict) -> Self {
        let (load, worker) = (&measured.load, &measured.worker);
        let all: u64 = worker.members.iter().map(|member| member.events).sum();
        let instances = worker.members.iter().map(|member| Share {
            id: member.id.clone(),
            events: member.events,
            share: rounded(ratio(member.events, all), 4),
            latency_ms: member.latency,
        });
        let published = load.sent.total();
        let is_whole =
            worker.lost == 0 && worker.out_of_order == 0 && worker.duplicated == 0 && worker.dead_lettered == 0;
        let unconfirmed = load.sent.unconfirmed.len() as u64;
        Self {
            command: "run".to_owned(),
            scenario: scenario(setup).to_string(),
            ok: is_whole
                && load.sent.refused.is_empty()
                && unconfirmed == 0
                && (worker.handled > 0 || measured.stopped),
            stopped: measured.stopped,
            settings: Settings {
                broker: args.broker.label().to_owned(),
                mqtt: label(setup.load.link.version).to_owned(),
                qos: setup.load.link.qos,
                publishers: setup.load.publishers,
                instances: setup.worker.instances,
                window: setup.worker.window,
                concurrency: setup.worker.concurrency,
                work: setup.worker.work,
                payload: setup.load.payload,
                keys: setup.load.keys,
                unordered: setup.worker.unordered,
                rate: args.load.rate(),
                shape: args.load.shape,
            },
            published,
            handled: worker.handled,
            lost: worker.lost,
            duplicated: worker.duplicated,
            resent: worker.resent,
            out_of_order: worker.out_of_order,
            dead_lettered: worker.dead_lettered,
            unconfirmed,
            refused: load.sent.refused(),
            events_per_s: rounded(measured.events_per_s(), 1),
            measured_s: rounded(worker.measured_ns as f64 / 1e9, 3),
            latency_ms: worker.latency.percentiles(),
            handler_ms: worker.handler.percentiles(),
            generator_late_ms: load.late.percentiles(),
            bound,
            window_use: rounded(worker.window_use, 3),
            broker_inflight: measured.inflight,
            broker_queued: measured.queued,
            machine_busy: measured.machine.map(|busy| rounded(busy, 3)),
            cores: usage::cores(),
            worker: Cost::new(&worker.used, worker.measured).memory(
                worker.idle_kib,
                worker.peak_kib,
                worker.most_unfinished,
            ),
            publishers: Cost::new(&load.used, load.measured).memory(
                load.idle_kib,
                load.peak_kib,
                u64::from(setup.load.publishers) * u64::from(setup.load.inflight),
            ),
            broker: measured.broker.map(|used| Cost::new(&used, worker.measured)),
            instances: instances.collect(),
            samples: worker.seconds.clone(),
        }
    }

    /// What is right when nothing is wrong.
    pub(crate) fn praise(&self) -> &'static str {
        match (self.stopped, self.handled) {
            (false, _) => "nothing was lost",
            (true, 0) => "stopped before anything was handled",
            (true, _) => "stopped early, and nothing was lost until then",
        }
    }

    /// Everything that is wrong, a phrase each.
    pub(crate) fn faults(&self) -> Vec<String> {
        let counted = [
            (self.lost, "lost"),
            (self.duplicated, "handed out twice"),
            (self.out_of_order, "out of order"),
            (self.dead_lettered, "dead-lettered"),
            (self.unconfirmed, "not confirmed by the broker"),
            (self.refused, "refused by the broker"),
        ];
        let faults = counted.iter().filter(|(count, _)| *count > 0);
        let mut faults: Vec<String> =
            faults.map(|(count, what)| format!("{} {what}", crate::figures::grouped(*count))).collect();
        if self.handled == 0 && !self.stopped {
            faults.push("nothing was handled".to_owned());
        }
        faults
    }
}

fn scenario(setup: &Setup) -> Scenario {
    Scenario {
        publishers: u64::from(setup.load.publishers),
        instances: u64::from(setup.worker.instances),
        rate: setup.load.schedule.map_or(0, |schedule| schedule.rate),
    }
}
