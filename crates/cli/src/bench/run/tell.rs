//! A run's result for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::stage::Setup;
use super::super::terminal::table;
use super::result::{Cost, RunResult};
use crate::figures::{grouped, percent, whole};
use crate::paint::Paint;

/// The most instances that are listed one by one.
const LISTED: usize = 16;

/// What is going to be measured.
pub(super) fn headline(setup: &Setup) -> String {
    let (load, worker) = (&setup.load, &setup.worker);
    let time = load.schedule.map_or(load.length_ns, |schedule| schedule.length_ns);
    let end = load.count.map_or_else(
        || humantime::format_duration(Duration::from_nanos(time)).to_string(),
        |count| format!("{} events", grouped(count)),
    );
    format!(
        "measuring {} publishers -> {} instances, window {}, work {}: {end}",
        load.publishers, worker.instances, worker.window, worker.work
    )
}

/// Tables, sums and the verdict.
pub(super) fn text(result: &RunResult, paint: Paint) -> String {
    let mut text = format!("\n{}\n\n", paint.strong(&result.scenario));
    let latency = |name: &str, p: &super::super::histogram::Percentiles| {
        let cell = |ms: f64| format!("{ms:.3}");
        vec![name.to_owned(), cell(p.p50), cell(p.p90), cell(p.p99), cell(p.p999), cell(p.max)]
    };
    let rows = vec![
        latency("due -> handler has it", &result.latency_ms),
        latency("in the handler", &result.handler_ms),
        latency("late at the publisher", &result.generator_late_ms),
    ];
    let _ = writeln!(text, "{}\n", table(&["ms", "p50", "p90", "p99", "p99.9", "max"], rows, &[0]));

    if result.instances.len() <= LISTED {
        let all = result.instances.iter().map(|share| share.events).sum();
        let rows = result.instances.iter().map(|share| {
            let p = share.latency_ms;
            let (events, part) = (grouped(share.events), percent(share.events, all));
            vec![share.id.clone(), events, part, format!("{:.3}", p.p50), format!("{:.3}", p.p99)]
        });
        let _ =
            writeln!(text, "{}\n", table(&["instance", "events", "share", "p50 ms", "p99 ms"], rows.collect(), &[0]));
    }

    let costs = [
        ("worker", Some(&result.worker)),
        ("publishers", Some(&result.publishers)),
        ("broker", result.broker.as_ref()),
    ];
    let rows = costs.iter().filter_map(|(name, cost)| Some(cost_row(name, (*cost)?)));
    let header = ["process", "CPU us/event", "cores", "busiest", "idle MiB", "peak MiB", "bytes/event"];
    let _ = writeln!(text, "{}\n", table(&header, rows.collect(), &[0]));

    let _ = writeln!(
        text,
        "  {} over {:.2} s   bound by {}\n  {}",
        paint.strong(&format!("{} events/s", grouped(whole(result.events_per_s)))),
        result.measured_s,
        paint.strong(result.bound.bound.label()),
        result.bound.reason,
    );
    let _ = write!(text, "  windows {:.0} % full", result.window_use * 100.0);
    if let (Some(inflight), Some(queued)) = (result.broker_inflight, result.broker_queued) {
        let _ = write!(text, ", {inflight:.0} events under way and {queued:.0} waiting in the broker");
    }
    let _ = writeln!(
        text,
        "\n  published {}   handled {}   lost {}   duplicated {}   out of order {}",
        grouped(result.published),
        grouped(result.handled),
        grouped(result.lost),
        grouped(result.duplicated),
        grouped(result.out_of_order)
    );
    if result.refused > 0 {
        let _ = writeln!(text, "  refused by the broker {}, which nobody could handle", grouped(result.refused));
    }
    if result.resent > 0 {
        let _ = writeln!(text, "  {} handled again because they were published again", grouped(result.resent));
    }
    if result.settings.rate == 0 {
        let note = "Flat out, latency is time spent in queues; --rate N shows how fast events pass.";
        let _ = writeln!(text, "  {}", paint.faint(note));
    }
    let _ = match result.faults() {
        faults if faults.is_empty() => write!(text, "\n  {} {}", paint.good("OK"), result.praise()),
        faults => write!(text, "\n  {} {}", paint.bad("FAILED"), faults.join(", ")),
    };
    if result.lost > 0 {
        let why = match (result.settings.qos, result.settings.broker.as_str()) {
            (0, _) => "At QoS 0 a broker may drop events when it is busy; with --qos 1 it may not.",
            (_, "embedded") => "The embedded broker lets nothing fall: this is a defect worth reporting.",
            _ => {
                "The broker confirmed these events and dropped them, likely at a queue limit: raise it, or lower --ahead."
            }
        };
        let _ = write!(text, "\n  {}", paint.faint(why));
    }
    text
}

fn cost_row(name: &str, cost: &Cost) -> Vec<String> {
    let mib = |kib: Option<u64>| kib.map_or_else(|| "-".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0));
    vec![
        name.to_owned(),
        format!("{:.2}", cost.cpu_us_per_event),
        format!("{:.2}", cost.cores),
        format!("{:.0} %", cost.busiest_thread * 100.0),
        mib(cost.idle_kib),
        mib(cost.peak_kib),
        cost.bytes_per_event.map_or_else(|| "-".to_owned(), |bytes| grouped(whole(bytes))),
    ]
}
