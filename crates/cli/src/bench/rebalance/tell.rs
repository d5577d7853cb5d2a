//! What a change costs, for people.

use super::super::terminal::table;
use super::{Kind, RebalanceResult, SceneResult};
use crate::figures::grouped;
use crate::paint::Paint;

/// A scene as soon as it is over.
pub(super) fn line(scene: &SceneResult) -> String {
    let most = scene.steps.iter().map(|step| step.pause_max_ms).fold(0.0, f64::max);
    format!(
        "{:<15} {:>9} events  lost {}  duplicated {}  longest pause {most:.1} ms",
        label(scene.change),
        grouped(scene.published),
        grouped(scene.lost),
        grouped(scene.duplicated)
    )
}

/// The name of a change, as it is written on the command line.
pub(super) fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Join => "join",
        Kind::Leave => "leave",
        Kind::Kill => "kill",
        Kind::BrokerRestart => "broker-restart",
        Kind::Scale => "scale",
        Kind::Rolling => "rolling",
    }
}

/// Everything at the end.
pub(super) fn text(result: &RebalanceResult, paint: Paint) -> String {
    let steps = result.changes.iter().flat_map(|scene| scene.steps.iter().map(move |step| (scene, step)));
    let rows = steps.map(|(scene, step)| {
        vec![
            label(scene.change).to_owned(),
            step.step.clone(),
            format!("{:.0}", step.took_ms),
            format!("{:.2}", step.calm_p99_ms),
            format!("{:.2}", step.pause_p99_ms),
            format!("{:.2}", step.pause_max_ms),
            format!("{:.2}", step.gap_ms),
        ]
    });
    let header = ["change", "step", "took ms", "p99 before, ms", "p99 ms", "max ms", "gap ms"];
    let mut text = format!("\n{}\n\n", table(&header, rows.collect(), &[0, 1]));
    let rows = result.changes.iter().map(|scene| {
        vec![
            label(scene.change).to_owned(),
            if scene.durable { "durable" } else { "ephemeral" }.to_owned(),
            grouped(scene.published),
            grouped(scene.handled),
            grouped(scene.lost),
            grouped(scene.duplicated),
            grouped(scene.resent),
            grouped(scene.out_of_order),
        ]
    });
    let header = ["change", "sessions", "published", "handled", "lost", "duplicated", "sent again", "out of order"];
    text.push_str(&table(&header, rows.collect(), &[0, 1]));
    text.push_str("\n\n  ");
    text.push_str(&match result.ok {
        true => format!("{} {}", paint.good("OK"), result.verdict()),
        false => format!("{} {}", paint.bad("FAILED"), result.verdict()),
    });
    text
}
