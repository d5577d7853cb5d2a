//! A run's result as a page with plots.

use super::super::histogram::Latencies;
use super::super::html::{Axis, Cell, Chart, Page, Series, bars};
use super::result::RunResult;
use crate::figures::{grouped, percent, whole};

/// Nines of the latency axis: 0 %, 90 %, 99 % and so on.
const NINES: [&str; 7] = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];

/// The page.
pub(super) fn html(result: &RunResult, latency: &Latencies) -> String {
    let settings = &result.settings;
    let subtitle = format!(
        "tidemill bench run: {} broker, MQTT {}, QoS {}, {} publishers, {} instances, window {}, work {}, payload {} bytes, {}",
        settings.broker,
        settings.mqtt,
        settings.qos,
        settings.publishers,
        settings.instances,
        settings.window,
        settings.work,
        settings.payload,
        if settings.rate == 0 { "flat out".to_owned() } else { format!("{} events/s offered", grouped(settings.rate)) }
    );
    let mut page = Page::new(&result.scenario, &subtitle);
    match result.faults() {
        faults if faults.is_empty() => page.verdict(true, "OK", result.praise()),
        faults => page.verdict(false, "FAILED", &faults.join(", ")),
    }
    page.tiles(&[
        (grouped(whole(result.events_per_s)), "events/s"),
        (format!("{:.2} ms", result.latency_ms.p50), "median latency"),
        (format!("{:.2} ms", result.latency_ms.p99), "p99 latency"),
        (format!("{:.2} us", result.worker.cpu_us_per_event), "worker CPU per event"),
        (result.bound.bound.label().to_owned(), "bound"),
    ]);
    page.verdict(true, &format!("Bound by {}:", result.bound.bound.label()), &result.bound.reason);
    page.section(
        "Latency by percentile",
        "From when an event was due until its handler had it. Each mark to the right is one more nine.",
    );
    page.plot(&percentiles(latency).svg());
    page.section("Over time", "Events per second and latency of each second, without the warm-up.");
    page.plot(&over_time("events/s", &[("handled", &|second| second.handled as f64)], result));
    page.plot(&over_time("latency, ms", &[("p50", &|second| second.p50), ("p99", &|second| second.p99)], result));
    page.section("Shares of the instances", "");
    let all = result.instances.iter().map(|share| share.events).sum();
    let rows: Vec<_> = result
        .instances
        .iter()
        .map(|share| {
            (share.id.clone(), share.share, format!("{}  {}", percent(share.events, all), grouped(share.events)))
        })
        .collect();
    page.plot(&bars(&rows));
    page.section(
        "Cost",
        "Each part is a process of its own. Bytes per event: growth / events unfinished at the worst moment.",
    );
    let parts = [
        ("worker", Some(&result.worker)),
        ("publishers", Some(&result.publishers)),
        ("broker", result.broker.as_ref()),
    ];
    let rows: Vec<Vec<Cell>> = parts
        .iter()
        .filter_map(|(name, cost)| {
            let cost = (*cost)?;
            let mib =
                |kib: Option<u64>| kib.map_or_else(|| "-".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0));
            Some(vec![
                Cell::Text((*name).to_owned()),
                Cell::Number(format!("{:.2}", cost.cpu_us_per_event)),
                Cell::Number(format!("{:.2}", cost.cores)),
                Cell::Number(format!("{:.0} %", cost.busiest_thread * 100.0)),
                Cell::Number(mib(cost.peak_kib)),
                Cell::Number(cost.bytes_per_event.map_or_else(|| "-".to_owned(), |bytes| grouped(whole(bytes)))),
            ])
        })
        .collect();
    page.table(&["process", "CPU us/event", "cores", "busiest thread", "peak MiB", "bytes/event"], &rows, None);
    page.section("Account", "");
    let counts = [
        ("published", result.published),
        ("handled", result.handled),
        ("lost", result.lost),
        ("duplicated", result.duplicated),
        ("out of order", result.out_of_order),
        ("dead-lettered", result.dead_lettered),
        ("not confirmed", result.unconfirmed),
    ];
    let rows: Vec<Vec<Cell>> = counts
        .iter()
        .map(|(name, count)| vec![Cell::Text((*name).to_owned()), Cell::Number(grouped(*count))])
        .collect();
    page.table(&["events", ""], &rows, None);
    page.finish()
}

/// Percentiles over an axis on which each nine is as far away as the one before.
fn percentiles(latency: &Latencies) -> Chart {
    let nines = |part: f64| -(1.0 - part.min(1.0 - 1e-7)).log10();
    let most = (latency.count().max(10) as f64).log10();
    let points = latency.curve().into_iter().map(|(part, ms)| (nines(part).min(most), ms)).collect();
    let marks = (0..).zip(NINES).map(|(at, label)| (f64::from(at), label.to_owned()));
    Chart {
        x: Axis {
            title: "part of the events".to_owned(),
            marks: marks.filter(|(at, _)| *at <= most).collect(),
            from_zero: true,
        },
        y: Axis { title: "latency, ms".to_owned(), from_zero: true, ..Axis::default() },
        series: vec![Series { name: "latency".to_owned(), points, is_guide: false }],
    }
}

type Field<'a> = &'a dyn Fn(&super::super::process::Second) -> f64;

fn over_time(title: &str, fields: &[(&str, Field<'_>)], result: &RunResult) -> String {
    let series = fields.iter().map(|(name, field)| {
        let points = (1..).zip(&result.samples).map(|(second, sample)| (f64::from(second), field(sample)));
        Series { name: (*name).to_owned(), points: points.collect(), is_guide: false }
    });
    Chart {
        x: Axis { title: "seconds".to_owned(), from_zero: true, ..Axis::default() },
        y: Axis { title: title.to_owned(), from_zero: true, ..Axis::default() },
        series: series.collect(),
    }
    .svg()
}
