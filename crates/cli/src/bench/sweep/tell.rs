//! A sweep for people: a line while it goes, then the curve, the bounds and the recommendation.

use std::fmt::Write as _;

use super::super::bound::Point;
use super::super::terminal::{bar, table};
use super::SweepResult;
use crate::figures::{grouped, whole};
use crate::paint::Paint;

/// A point as soon as it is measured.
pub(super) fn line(point: &Point) -> String {
    format!(
        "{:>4} instances  window {:>5}  {:>12} events/s  p99 {:>9.2} ms{}",
        point.instances,
        point.window,
        grouped(whole(point.events_per_s)),
        point.p99_ms,
        if point.lost > 0 { format!("  {} LOST", grouped(point.lost)) } else { String::new() }
    )
}

/// Everything at the end.
pub(super) fn text(result: &SweepResult, paint: Paint) -> String {
    let most = result.points.iter().map(|judged| judged.point.events_per_s).fold(1e-9, f64::max);
    let rows = result.points.iter().map(|judged| {
        let (point, verdict) = (&judged.point, &judged.verdict);
        vec![
            point.instances.to_string(),
            point.window.to_string(),
            if point.concurrency == 0 { "-".to_owned() } else { point.concurrency.to_string() },
            grouped(whole(point.events_per_s)),
            format!("{:.2}", point.p50_ms),
            format!("{:.2}", point.p99_ms),
            format!("{:.2}", point.worker_cores),
            format!("{:.0} %", point.window_use * 100.0),
            grouped(point.lost),
            verdict.bound.label().to_owned(),
            bar(point.events_per_s / most),
        ]
    });
    let header =
        ["instances", "window", "concurrency", "events/s", "p50 ms", "p99 ms", "cores", "windows", "lost", "bound", ""];
    let mut text = format!("\n{}\n\n", table(&header, rows.collect(), &[9, 10]));
    for scaling in &result.scaling {
        let fit = scaling.r2.map_or_else(|| "too few points for R2".to_owned(), |r2| format!("R2 {r2:.4}"));
        let _ = writeln!(
            text,
            "  window {}{}: linear up to {} instances, {} events/s each ({fit})",
            scaling.window,
            if scaling.concurrency > 0 { format!(", concurrency {}", scaling.concurrency) } else { String::new() },
            scaling.linear_to,
            grouped(whole(scaling.per_instance)),
        );
    }
    match &result.recommended {
        None if result.points.is_empty() => {}
        None => {
            let _ = write!(text, "\n  {} no point without loss, so none to recommend", paint.bad("FAILED"));
        }
        Some(best) => {
            let what = format!("{} instances, window {}", best.instances, best.window);
            let _ = write!(
                text,
                "\n  {} {}: {} events/s, bound by {}\n  {}\n\n{}",
                paint.good("Recommended:"),
                paint.strong(&what),
                grouped(whole(best.events_per_s)),
                best.bound.label(),
                best.reason,
                indented(&best.config),
            );
        }
    }
    let remarks = result.remarks();
    if !remarks.is_empty() {
        let word = if result.ok { paint.strong("Note:") } else { paint.bad("FAILED") };
        let _ = write!(text, "\n  {word} {}", remarks.join(", "));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
