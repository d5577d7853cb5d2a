//! A sweep as a page with plots.

use super::super::bound::Point;
use super::super::html::{Axis, Cell, Chart, Page, Series};
use super::SweepResult;
use crate::figures::{grouped, whole};

/// The page.
pub(super) fn html(result: &SweepResult) -> String {
    let load =
        if result.rate == 0 { "flat out".to_owned() } else { format!("{} events/s offered", grouped(result.rate)) };
    let subtitle = format!("tidemill bench sweep: {} broker, work {} per event, {load}", result.broker, result.work);
    let mut page = Page::new("How many instances?", &subtitle);
    match &result.recommended {
        Some(best) => {
            page.tiles(&[
                (best.instances.to_string(), "instances"),
                (best.window.to_string(), "window"),
                (grouped(whole(best.events_per_s)), "events/s"),
                (format!("{:.2} ms", best.p99_ms), "p99 latency"),
                (best.bound.label().to_owned(), "bound"),
            ]);
            page.verdict(true, "Why:", &best.reason);
            page.code(&best.config);
        }
        None => page.verdict(false, "No recommendation:", "no point was measured without loss"),
    }
    let remarks = result.remarks();
    if !remarks.is_empty() {
        page.verdict(result.ok, "Note:", &remarks.join(", "));
    }
    page.section(
        "Throughput",
        "One line per window. Where a line is no longer straight, something else than the instances is the bound.",
    );
    page.plot(&chart(result, "events/s", |point| point.events_per_s));
    page.section(
        "Latency",
        "p99 from when an event was due until its handler had it. Flat out it is the time spent in queues.",
    );
    page.plot(&chart(result, "p99 latency, ms", |point| point.p99_ms));
    page.section("Points", "");
    let rows: Vec<Vec<Cell>> = result
        .points
        .iter()
        .map(|judged| {
            let point = &judged.point;
            let number = |text: String| Cell::Number(text);
            let concurrency = if point.concurrency == 0 { "-".to_owned() } else { point.concurrency.to_string() };
            vec![
                number(point.instances.to_string()),
                number(point.window.to_string()),
                number(concurrency),
                number(grouped(whole(point.events_per_s))),
                number(format!("{:.2}", point.p99_ms)),
                number(format!("{:.2}", point.worker_cores)),
                number(format!("{:.0} %", point.window_use * 100.0)),
                number(grouped(point.lost)),
                Cell::Text(judged.verdict.bound.label().to_owned()),
                Cell::Text(judged.verdict.reason.clone()),
            ]
        })
        .collect();
    let best = result.recommended.as_ref().and_then(|best| {
        let same = |point: &Point| {
            (point.instances, point.window, point.concurrency) == (best.instances, best.window, best.concurrency)
        };
        result.points.iter().position(|judged| same(&judged.point))
    });
    let header = ["instances", "window", "at a time", "events/s", "p99 ms", "cores", "full", "lost", "bound", "why"];
    page.table(&header, &rows, best);
    page.section("How straight", "The linear part of each curve, and R2 of the line through it.");
    let rows: Vec<Vec<Cell>> = result
        .scaling
        .iter()
        .map(|scaling| {
            vec![
                Cell::Number(scaling.window.to_string()),
                Cell::Number(scaling.linear_to.to_string()),
                Cell::Number(grouped(whole(scaling.per_instance))),
                Cell::Number(scaling.r2.map_or_else(|| "too few points".to_owned(), |r2| format!("{r2:.4}"))),
            ]
        })
        .collect();
    page.table(&["window", "linear up to", "events/s per instance", "R2"], &rows, None);
    page.finish()
}

fn chart(result: &SweepResult, title: &str, value: impl Fn(&Point) -> f64) -> String {
    let mut marks: Vec<u32> = result.points.iter().map(|judged| judged.point.instances).collect();
    marks.sort_unstable();
    marks.dedup();
    let series = result.scaling.iter().map(|curve| {
        let of_curve = result.points.iter().map(|judged| &judged.point);
        let of_curve = of_curve.filter(|point| (point.window, point.concurrency) == (curve.window, curve.concurrency));
        let name = match curve.concurrency {
            0 => format!("window {}", curve.window),
            concurrency => format!("window {} concurrency {concurrency}", curve.window),
        };
        let points = of_curve.map(|point| (f64::from(point.instances), value(point))).collect();
        Series { name, points, is_guide: false }
    });
    // Marks that would be written over each other are left out.
    let widest = marks.last().copied().unwrap_or(1).max(1);
    let mut last = None;
    marks.retain(|mark| {
        let keeps = last.is_none_or(|last: u32| f64::from(mark - last) / f64::from(widest) > 0.03);
        if keeps {
            last = Some(*mark);
        }
        keeps
    });
    Chart {
        x: Axis {
            title: "instances".to_owned(),
            marks: marks.into_iter().map(|mark| (f64::from(mark), mark.to_string())).collect(),
            from_zero: true,
        },
        y: Axis { title: title.to_owned(), from_zero: true, ..Axis::default() },
        series: series.collect(),
    }
    .svg()
}
