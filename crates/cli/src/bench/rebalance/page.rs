//! What a change costs, as a page.

use super::super::html::{Cell, Page, bars};
use super::RebalanceResult;
use super::tell::label;
use crate::figures::grouped;

/// The page.
pub(super) fn html(result: &RebalanceResult) -> String {
    let subtitle = format!(
        "tidemill bench rebalance: {} broker, {} events/s, work {} per event",
        result.broker,
        grouped(result.rate),
        result.work
    );
    let mut page = Page::new("What a change of the group costs", &subtitle);
    match result.ok {
        true => page.verdict(true, "OK", &result.verdict()),
        false => page.verdict(false, "FAILED", &result.verdict()),
    }
    page.section("Longest pause", "The longest that an event waited which was due during the change.");
    let steps = || result.changes.iter().flat_map(|scene| scene.steps.iter().map(move |step| (scene, step)));
    let most = steps().map(|(_, step)| step.pause_max_ms).fold(f64::MIN_POSITIVE, f64::max);
    let rows: Vec<_> = steps()
        .map(|(scene, step)| {
            let name = format!("{}: {}", label(scene.change), step.step);
            (name, step.pause_max_ms / most, format!("{:.1} ms", step.pause_max_ms))
        })
        .collect();
    page.plot(&bars(&rows));
    page.section("Steps", "Took: until everybody was there, or gone. Gap: the longest time without any handling.");
    let number = |value: f64| Cell::Number(format!("{value:.2}"));
    let rows: Vec<Vec<Cell>> = steps()
        .map(|(scene, step)| {
            vec![
                Cell::Text(label(scene.change).to_owned()),
                Cell::Text(step.step.clone()),
                number(step.took_ms),
                number(step.calm_p99_ms),
                number(step.pause_p99_ms),
                number(step.pause_max_ms),
                number(step.gap_ms),
            ]
        })
        .collect();
    page.table(&["change", "step", "took ms", "p99 before, ms", "p99 ms", "max ms", "gap ms"], &rows, None);
    page.section("Account", "");
    let rows: Vec<Vec<Cell>> = result
        .changes
        .iter()
        .map(|scene| {
            let count = |count: u64| Cell::Number(grouped(count));
            vec![
                Cell::Text(label(scene.change).to_owned()),
                Cell::Text(if scene.durable { "durable" } else { "ephemeral" }.to_owned()),
                count(scene.published),
                count(scene.handled),
                count(scene.lost),
                count(scene.duplicated),
                count(scene.resent),
                count(scene.out_of_order),
            ]
        })
        .collect();
    let header = ["change", "sessions", "published", "handled", "lost", "duplicated", "sent again", "out of order"];
    page.table(&header, &rows, None);
    page.finish()
}
