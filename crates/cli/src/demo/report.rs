//! The report at the end: a table and a verdict for people, one JSON object for programs.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;
use tidemill::QoS;

use super::args::Plan;
use super::ledger::MemberReport;
use super::verdict::Sums;
use super::watch::End;
use crate::figures::{grouped, ms, percent, ratio, rounded, seconds, whole};
use crate::paint::Paint;

/// Everything that is known at the end.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) sums: Sums,
    pub(crate) members: Vec<MemberReport>,
    /// From the first publication to the last handling.
    pub(crate) elapsed_ns: u64,
    pub(crate) end: &'a End,
    /// Where the alerts are, if they stay.
    pub(crate) alerts: Option<&'a Path>,
}

#[derive(Serialize)]
struct Json<'a> {
    published: u64,
    handled: u64,
    dead_lettered: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    unconfirmed: u64,
    alerts: u64,
    events_per_s: f64,
    elapsed_s: f64,
    ok: bool,
    /// `complete`, `stopped` or `failed`.
    ended: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    broker: &'a str,
    qos: u8,
    seed: u64,
    instances: Vec<JsonMember<'a>>,
}

#[derive(Serialize)]
struct JsonMember<'a> {
    id: &'a str,
    events: u64,
    share: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Report<'_> {
    /// Whether the run was as it should be.
    pub(crate) fn is_good(&self) -> bool {
        !matches!(self.end, End::Failed(_)) && self.sums.faults().is_empty()
    }

    /// The object for programs, on one line.
    pub(crate) fn json(&self) -> String {
        let total = self.events();
        let members = self.members.iter().map(|member| JsonMember {
            id: &member.id,
            events: member.count.events(),
            share: rounded(ratio(member.count.events(), total), 4),
            p50_ms: rounded(ms(member.p50_ns), 3),
            p99_ms: rounded(ms(member.p99_ns), 3),
        });
        let (ended, error) = match self.end {
            End::Complete => ("complete", None),
            End::Stopped => ("stopped", None),
            End::Failed(why) => ("failed", Some(why.as_str())),
        };
        let json = Json {
            published: self.sums.published,
            handled: self.sums.handled,
            dead_lettered: self.sums.dead_lettered,
            lost: self.sums.lost,
            duplicated: self.sums.duplicated,
            out_of_order: self.sums.out_of_order,
            unconfirmed: self.sums.unconfirmed,
            alerts: self.sums.alerts_written,
            events_per_s: rounded(self.events_per_s(), 1),
            elapsed_s: rounded(seconds(self.elapsed_ns), 4),
            ok: self.is_good(),
            ended,
            error,
            broker: if self.plan.embedded { "embedded" } else { &self.plan.mqtt.url },
            qos: self.plan.qos.level(),
            seed: self.plan.seed,
            instances: members.collect(),
        };
        // Numbers and texts always serialize.
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// The table, the sums and the verdict, for people.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let mut text = format!("\n{}\n\n", self.table());
        let Sums { published, handled, dead_lettered, lost, duplicated, out_of_order, .. } = self.sums;
        let _ = writeln!(
            text,
            "  published {}   handled {}   dead-lettered {}\n  lost {}   duplicated {}   out of order {}",
            grouped(published),
            grouped(handled),
            grouped(dead_lettered),
            grouped(lost),
            grouped(duplicated),
            grouped(out_of_order)
        );
        let alerts = match self.alerts {
            Some(path) => format!("{} alerts written to {}", grouped(self.sums.alerts_written), path.display()),
            None => format!("{} alerts written", grouped(self.sums.alerts_written)),
        };
        let speed = paint.strong(&format!("{} events/s", grouped(whole(self.events_per_s()))));
        let _ = writeln!(text, "  {speed} over {:.2} s   {alerts}", seconds(self.elapsed_ns));
        if self.plan.rate == 0 && self.is_good() {
            let note = "Flat out, latency is time spent in queues; --rate N shows how fast events pass.";
            let _ = writeln!(text, "  {}", paint.faint(note));
        }
        let _ = write!(text, "\n  {}", self.verdict(paint));
        text
    }

    fn verdict(&self, paint: Paint) -> String {
        let mut lines = Vec::new();
        if let End::Failed(why) = self.end {
            lines.push(why.clone());
        }
        let faults = self.sums.faults();
        if !faults.is_empty() {
            lines.push(faults.join(", "));
        }
        if lines.is_empty() {
            let note = match self.end {
                End::Stopped => "stopped early; what was published was handled exactly once, in order",
                _ => "every event was handled exactly once, in order",
            };
            return format!("{} {note}", paint.good("OK"));
        }
        lines.extend(self.hint().map(|hint| paint.faint(hint)));
        format!("{} {}", paint.bad("FAILED"), lines.join("\n  "))
    }

    /// What usually lies behind a fault.
    fn hint(&self) -> Option<&'static str> {
        let Sums { lost, duplicated, out_of_order, .. } = self.sums;
        if lost > 0 && self.plan.qos == QoS::AtMostOnce {
            Some("At QoS 0 a broker may drop events when it is busy; with --qos 1 it may not.")
        } else if lost > 0 && !self.plan.embedded {
            Some(
                "The broker confirmed these events and dropped them, likely at a queue limit:\n  \
                 raise it (Mosquitto: max_queued_messages), or lower --ahead and --publishers.",
            )
        } else if duplicated + out_of_order > 0 {
            Some("A lost connection leads to this: what was unacknowledged is delivered again.")
        } else {
            None
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["instance", "events", "share", "p50", "p99"]);
        let total = self.events();
        for (number, member) in self.members.iter().enumerate() {
            let events = member.count.events();
            let id = if member.id.is_empty() { format!("(number {number})") } else { member.id.clone() };
            table.add_row([
                id,
                grouped(events),
                percent(events, total),
                format!("{:.2} ms", ms(member.p50_ns)),
                format!("{:.2} ms", ms(member.p99_ns)),
            ]);
        }
        for column in table.column_iter_mut() {
            let number = column.index > 0;
            column.set_cell_alignment(if number { CellAlignment::Right } else { CellAlignment::Left });
            column.set_padding((2, 1));
        }
        table
    }

    fn events(&self) -> u64 {
        self.members.iter().map(|member| member.count.events()).sum()
    }

    fn events_per_s(&self) -> f64 {
        ratio(self.sums.handled, self.elapsed_ns) * 1e9
    }
}
