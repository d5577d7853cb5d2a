//! Results: medians over the runs, how far the runs spread, and ratios to the clients that matter.

use std::fs;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::clients::ClientName;
use super::orchestrate::{Run, Setup};
use crate::stats::{median, range};

/// The versions of all dependencies, for the report.
const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

/// What one client needs per event: medians over its runs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) name: ClientName,
    events_per_s: f64,
    user_us: f64,
    system_us: f64,
    cpu_us_per_event: f64,
    peak_rss_kib: u64,
    #[serde(skip)]
    spread: Spread,
}

/// Smallest and largest of the runs.
#[derive(Clone, Debug, Serialize)]
struct Spread {
    name: ClientName,
    events_per_s: [f64; 2],
    cpu_us_per_event: [f64; 2],
    /// Median share of the time that the feed was on a CPU; near 1 it was the feed that set the pace.
    feed_busy: f64,
    /// The same of the client, between its first and its last event; well below 1 it waited, for the feed or for a
    /// core that others used.
    client_busy: f64,
}

/// One summary per client that ran, in the order of `clients`.
pub(super) fn summarize(clients: &[ClientName], runs: &[Run]) -> Vec<Summary> {
    clients.iter().filter_map(|&name| summary(name, runs)).collect()
}

fn summary(name: ClientName, runs: &[Run]) -> Option<Summary> {
    let of = |value: fn(&Run) -> f64| {
        let values = || runs.iter().filter(|run| run.client == name).map(value);
        let (low, high) = range(values())?;
        Some(Values { median: median(values())?, range: [low, high] })
    };
    let rate = of(|run| run.measured.events as f64 / run.measured.wall_s)?;
    let cpu = of(|run| (run.measured.user_us + run.measured.system_us) / run.measured.events as f64)?;
    let peaks = runs.iter().filter(|run| run.client == name).map(|run| run.measured.peak_rss_kib);
    Some(Summary {
        name,
        events_per_s: rate.median,
        user_us: of(|run| run.measured.user_us / run.measured.events as f64)?.median,
        system_us: of(|run| run.measured.system_us / run.measured.events as f64)?.median,
        cpu_us_per_event: cpu.median,
        peak_rss_kib: peaks.max().unwrap_or(0),
        spread: Spread {
            name,
            events_per_s: rate.range,
            cpu_us_per_event: cpu.range,
            feed_busy: of(|run| run.served.busy)?.median,
            client_busy: of(|run| (run.measured.user_us + run.measured.system_us) / (run.measured.wall_s * 1e6))?
                .median,
        },
    })
}

struct Values {
    median: f64,
    range: [f64; 2],
}

/// Prints the summaries, as a table or as one line of JSON.
pub(super) fn print(summaries: &[Summary], setup: &Setup, runs: u32, json: bool) {
    if json {
        let spread: Vec<&Spread> = summaries.iter().map(|summary| &summary.spread).collect();
        println!("{}", with_circumstances(setup, json!({ "clients": summaries, "spread": spread, "runs": runs })));
        return;
    }
    println!("{}", table(summaries));
    let load = &setup.load;
    println!(
        "QoS {}, {} events of {} bytes on {} topics, Receive Maximum {}, medians of {runs} runs (min..max), CPU in us \
         per event.\nA client well below 100 % busy waited, for the feed or for a core that others used: then compare CPU, \
         not events/s.",
        load.qos.level(),
        load.events,
        load.payload,
        load.topics,
        load.window
    );
}

fn table(summaries: &[Summary]) -> Table {
    let by_name = |name| summaries.iter().find(|summary| summary.name == name);
    let floor = by_name(ClientName::Floor);
    let manual = summaries
        .iter()
        .filter(|summary| summary.name.acks_by_hand())
        .max_by(|a, b| a.events_per_s.total_cmp(&b.events_per_s));
    let times = |part: f64, of: Option<f64>| of.map_or("-".to_owned(), |of| format!("{:.2} x", part / of));

    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "client",
        "events/s",
        "min..max",
        "CPU us",
        "min..max",
        "user",
        "system",
        "peak KiB",
        "events/s : floor",
        "CPU : floor",
        "events/s : manual",
        "CPU : manual",
        "client busy",
        "feed busy",
    ]);
    for summary in summaries {
        let Summary { events_per_s: rate, cpu_us_per_event: cpu, spread, .. } = summary;
        table.add_row([
            summary.name.to_string(),
            format!("{rate:.0}"),
            format!("{:.0}..{:.0}", spread.events_per_s[0], spread.events_per_s[1]),
            format!("{cpu:.3}"),
            format!("{:.3}..{:.3}", spread.cpu_us_per_event[0], spread.cpu_us_per_event[1]),
            format!("{:.3}", summary.user_us),
            format!("{:.3}", summary.system_us),
            summary.peak_rss_kib.to_string(),
            times(*rate, floor.map(|floor| floor.events_per_s)),
            times(*cpu, floor.map(|floor| floor.cpu_us_per_event)),
            times(*rate, manual.map(|manual| manual.events_per_s)),
            times(*cpu, manual.map(|manual| manual.cpu_us_per_event)),
            format!("{:.0} %", spread.client_busy * 100.0),
            format!("{:.0} %", spread.feed_busy * 100.0),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Adds the load, the machine and the versions to a result.
pub(super) fn with_circumstances(setup: &Setup, mut result: Value) -> Value {
    let load = &setup.load;
    if let Value::Object(result) = &mut result {
        result.insert(
            "load".to_owned(),
            json!({
                "events": load.events, "qos": load.qos.level(), "window": load.window,
                "payload_bytes": load.payload, "topics": load.topics, "mqtt_version": "5",
                "pin_feed": setup.pin_feed, "pin_client": setup.pin_client,
            }),
        );
        result.insert("machine".to_owned(), machine());
        result.insert("versions".to_owned(), versions());
    }
    result
}

fn machine() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    json!({
        "cpu": model.map(|(_, name)| name.trim()),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "load_average": read("/proc/loadavg").split(' ').next(),
        "debug_build": cfg!(debug_assertions),
    })
}

fn versions() -> Value {
    let mut versions = Map::new();
    let mut lines = LOCK.lines();
    while let Some(line) = lines.next() {
        let quoted = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
        let Some(name) = quoted(line, "name = ") else { continue };
        if matches!(&*name, "rumqttc" | "tokio" | "tidemill-runtime") {
            let version = lines.next().and_then(|line| quoted(line, "version = "));
            versions.insert(name, json!(version));
        }
    }
    Value::Object(versions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::rusage::Measured;
    use crate::feed::server::Served;

    fn run(client: ClientName, wall_s: f64) -> Run {
        let measured = Measured { events: 1000, wall_s, user_us: 2000.0, system_us: 500.0, peak_rss_kib: 10 };
        Run { client, measured, served: Served { sent: 1000, acked: 1000, busy: 0.5 } }
    }

    #[test]
    fn results_are_medians_per_event_and_keep_the_spread() {
        let runs: Vec<Run> = [0.5, 4.0, 1.0].map(|wall_s| run(ClientName::Floor, wall_s)).into();
        let summaries = summarize(&[ClientName::Floor, ClientName::RumqttcAuto], &runs);
        assert_eq!(summaries.len(), 1);
        assert_eq!(
            serde_json::to_value(&summaries).unwrap_or_default(),
            json!([{
                "name": "floor", "events_per_s": 1000.0, "user_us": 2.0, "system_us": 0.5,
                "cpu_us_per_event": 2.5, "peak_rss_kib": 10
            }])
        );
        assert_eq!(summaries[0].spread.events_per_s, [250.0, 2000.0]);
    }

    #[test]
    fn ratios_are_to_the_floor_and_to_the_faster_manual_client() {
        let runs = [
            run(ClientName::Floor, 1.0),
            run(ClientName::RumqttcManual, 8.0),
            run(ClientName::RumqttcManualNagle, 4.0),
        ];
        let names = runs.clone().map(|run| run.client);
        let text = table(&summarize(&names, &runs)).to_string();
        let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let slow = text.lines().find(|line| line.contains("rumqttc-manual ")).map(cells).unwrap_or_default();
        assert_eq!((&*slow[9], &*slow[11]), ("0.12 x", "0.50 x"), "{text}");
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(versions().get("rumqttc").is_some_and(Value::is_string));
    }
}
