//! The tables: medians over the runs, ratios to Tidemill, and what could not be run.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::catalog::Peer;
use super::target::Place;
use super::{Error, Measured};
use crate::stats::median;

/// What came of one run.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) peer: Peer,
    /// Events per second that were offered; flat out without.
    pub(super) rate: Option<f64>,
    pub(super) outcome: Result<Measured, Error>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    not_run: Vec<(Peer, String)>,
}

/// Medians over the runs of one peer in one place.
#[derive(Clone, Debug)]
struct Summary {
    peer: Peer,
    values: Result<Measured, String>,
}

/// One run, as it is told while the program works.
pub(super) fn line(peer: Peer, outcome: &Result<Measured, Error>) -> String {
    match outcome {
        Ok(Measured { events_per_s, cpu_us_per_event, busy, p99_us, .. }) => {
            let p99 = p99_us.map_or(String::new(), |p99| format!("  p99 {:.2} ms", p99 / 1000.0));
            format!(
                "{peer:<14} {events_per_s:>9.0} events/s  {cpu_us_per_event:>8.3} us CPU/event  busy {:>3.0} %{p99}",
                busy * 100.0
            )
        }
        Err(error) => format!("{peer:<14} failed: {error}"),
    }
}

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn not_run(&mut self, peer: Peer, why: String) {
        self.not_run.push((peer, why));
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (place, rate) in self.loads() {
            let load = rate.map_or_else(|| "flat out".to_owned(), |rate| format!("{rate:.0} events/s offered"));
            let _ = writeln!(text, "{place}, {load}\n{}\n", table(&self.summaries(place, rate)));
        }
        for (peer, why) in &self.not_run {
            let _ = writeln!(text, "not run: {peer}: {why}");
        }
        text
    }

    /// For programs, on one line.
    pub(super) fn json(&self) -> String {
        let mut rows = Vec::new();
        for (place, rate) in self.loads() {
            rows.extend(self.summaries(place, rate).iter().map(|summary| object(place, rate, summary)));
        }
        let not_run: Vec<Value> = self.not_run.iter().map(|(peer, why)| json!({ "peer": peer, "why": why })).collect();
        json!({ "rows": rows, "not_run": not_run }).to_string()
    }

    fn loads(&self) -> Vec<(Place, Option<f64>)> {
        let mut loads: Vec<(Place, Option<f64>)> = self.rows.iter().map(|row| (row.place, row.rate)).collect();
        loads.dedup();
        loads
    }

    fn summaries(&self, place: Place, rate: Option<f64>) -> Vec<Summary> {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.place == place && row.rate == rate).collect();
        let mut peers: Vec<Peer> = Vec::new();
        for row in &rows {
            if !peers.contains(&row.peer) {
                peers.push(row.peer);
            }
        }
        peers.into_iter().map(|peer| summary(peer, rows.iter().filter(|row| row.peer == peer).copied())).collect()
    }
}

/// The medians; the first failure when a run failed, since what is left would flatter.
fn summary<'r>(peer: Peer, rows: impl Iterator<Item = &'r Row>) -> Summary {
    let mut good: Vec<Measured> = Vec::new();
    for row in rows {
        match &row.outcome {
            Ok(measured) => good.push(*measured),
            Err(error) => return Summary { peer, values: Err(error.to_string()) },
        }
    }
    let of = |value: fn(&Measured) -> Option<f64>| median(good.iter().filter_map(value));
    let values = Measured {
        events_per_s: of(|run| Some(run.events_per_s)).unwrap_or(0.0),
        cpu_us_per_event: of(|run| Some(run.cpu_us_per_event)).unwrap_or(0.0),
        peak_rss_kib: good.iter().map(|run| run.peak_rss_kib).max().unwrap_or(0),
        busy: of(|run| Some(run.busy)).unwrap_or(0.0),
        p50_us: of(|run| run.p50_us),
        p99_us: of(|run| run.p99_us),
    };
    Summary { peer, values: Ok(values) }
}

fn table(summaries: &[Summary]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["peer", "events/s", "CPU us/event", "CPU : tidemill", "busy", "peak MiB", "p50 ms", "p99 ms"]);
    let ours = summaries.iter().find(|summary| summary.peer == Peer::Tidemill);
    let ours = ours.and_then(|summary| summary.values.as_ref().ok()).map(|values| values.cpu_us_per_event);
    for Summary { peer, values } in summaries {
        let ms = |us: Option<f64>| us.map_or("-".to_owned(), |us| format!("{:.2}", us / 1000.0));
        match values {
            Ok(values) => table.add_row([
                peer.to_string(),
                format!("{:.0}", values.events_per_s),
                format!("{:.3}", values.cpu_us_per_event),
                ours.map_or("-".to_owned(), |ours| format!("{:.1} x", values.cpu_us_per_event / ours)),
                format!("{:.0} %", values.busy * 100.0),
                format!("{:.0}", values.peak_rss_kib as f64 / 1024.0),
                ms(values.p50_us),
                ms(values.p99_us),
            ]),
            Err(why) => table.add_row([peer.to_string(), format!("no figures: {why}")]),
        };
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn object(place: Place, rate: Option<f64>, summary: &Summary) -> Value {
    match &summary.values {
        Ok(values) => json!({
            "target": place,
            "peer": summary.peer,
            "paced": rate.is_some(),
            "offered_per_s": rate,
            "events_per_s": values.events_per_s,
            "cpu_us_per_event": values.cpu_us_per_event,
            "events_per_cpu_s": 1e6 / values.cpu_us_per_event,
            "peak_rss_kib": values.peak_rss_kib,
            "busy": values.busy,
            "p50_us": values.p50_us,
            "p99_us": values.p99_us,
        }),
        Err(why) => {
            json!({ "target": place, "peer": summary.peer, "paced": rate.is_some(), "offered_per_s": rate, "no_figures": why })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: Peer, events_per_s: Option<f64>) -> Row {
        let measured = |events_per_s| Measured {
            events_per_s,
            cpu_us_per_event: 1.0,
            peak_rss_kib: 1024,
            busy: 1.0,
            p50_us: None,
            p99_us: None,
        };
        let outcome = events_per_s.map(measured).ok_or_else(|| Error::new("gone"));
        Row { place: Place::Feed, peer, rate: None, outcome }
    }

    #[test]
    fn a_peer_that_failed_once_has_no_figures() {
        let mut report = Report::default();
        for rate in [Some(1.0), None, Some(3.0)] {
            report.add(row(Peer::Paho, rate));
        }
        for rate in [Some(1.0), Some(9.0), Some(3.0)] {
            report.add(row(Peer::Rumqttc, rate));
        }
        let summaries = report.summaries(Place::Feed, None);
        assert!(summaries[0].values.is_err());
        assert!(summaries[1].values.as_ref().is_ok_and(|values| (values.events_per_s - 3.0).abs() < 1e-9));
    }
}
