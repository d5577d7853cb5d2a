//! Everything that was seen, as tables for people and as one JSON value for programs.

use comfy_table::{Table, presets};
use serde::Serialize;

use super::args::{Args, Kind};
use super::autoscale::Autoscaling;
use super::scene::{Rollout, Step};

/// See the module's description.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    broker: Kind,
    rate: u32,
    work_ms: u128,
    window: u16,
    instances: u32,
    pub(super) rollouts: Vec<Rollout>,
    pub(super) autoscaling: Option<Autoscaling>,
}

impl Report {
    pub(super) fn new(args: &Args) -> Self {
        Self {
            broker: args.broker,
            rate: args.rate,
            work_ms: args.work.as_millis(),
            window: args.window,
            instances: args.instances,
            rollouts: Vec::new(),
            autoscaling: None,
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.rollouts.iter().all(Rollout::is_ok) && self.autoscaling.as_ref().is_none_or(Autoscaling::is_ok)
    }

    pub(super) fn json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["ok"] = self.is_ok().into();
        value.to_string()
    }

    pub(super) fn text(&self) -> String {
        let mut parts = Vec::new();
        if !self.rollouts.is_empty() {
            let mut table = table([
                "workload",
                "change",
                "took ms",
                "fewest ready",
                "events",
                "lost",
                "duplicated",
                "pods killed",
                "sessions left (events in them)",
            ]);
            for rollout in &self.rollouts {
                for step in &rollout.steps {
                    table.add_row(row(rollout, step));
                }
            }
            parts.push(format!(
                "{table}\n{:?}, {} events/s, {} ms per event, pods with {} instances of {} events each.",
                self.broker, self.rate, self.work_ms, self.instances, self.window
            ));
        }
        if let Some(scaling) = &self.autoscaling {
            let mut table = table(["replicas", "saturation", "target", "replicas asked for", "events/s handled"]);
            for look in &scaling.looks {
                table.add_row([
                    look.replicas.to_string(),
                    format!("{:.2}", look.saturation),
                    format!("{:.2}", scaling.target),
                    look.desired.to_string(),
                    format!("{:.0}", look.handled_per_s),
                ]);
            }
            parts.push(format!(
                "{table}\n{} events/s offered, {} ms per event, windows of {}; of {} events {} lost, {} duplicated.",
                scaling.rate, scaling.work_ms, scaling.window, scaling.published, scaling.lost, scaling.duplicated
            ));
        }
        parts.push(if self.is_ok() { "OK".to_owned() } else { "FAILED".to_owned() });
        parts.join("\n\n")
    }
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    table
}

fn row(rollout: &Rollout, step: &Step) -> [String; 9] {
    let duplicated = match step.allowed {
        0 => step.duplicated.to_string(),
        allowed => format!("{} (at most {allowed})", step.duplicated),
    };
    [
        rollout.workload.to_owned(),
        step.change.clone(),
        step.took_ms.to_string(),
        step.fewest_ready.to_string(),
        step.events.to_string(),
        step.lost.to_string(),
        duplicated,
        step.forced.to_string(),
        step.kept.map_or("-".to_owned(), |kept| format!("{} ({})", kept.sessions, kept.events)),
    ]
}
