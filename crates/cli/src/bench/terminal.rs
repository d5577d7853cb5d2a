//! What people see: a progress bar while it is measured, on a terminal only, and plain tables and bars afterwards.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::stage::Progress;
use crate::figures::{grouped, whole};

/// Steps of the bar.
const STEPS: f64 = 1000.0;
/// Cells of a full bar in a plot.
const WIDTH: f64 = 40.0;

/// A bar on standard error.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Draws nothing where standard error is no terminal.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(whole(STEPS)), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{bar:40.cyan/238} {percent:>3} %  {msg}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─")))
    }

    /// Shows how far it is: number `step` of `steps` measurements.
    pub(crate) fn show(&self, name: &str, step: usize, steps: usize, progress: Progress) {
        let part = (step as f64 + progress.part.clamp(0.0, 1.0)) / steps.max(1) as f64;
        self.0.set_position(whole(part * STEPS));
        self.0.set_message(format!("{name}  {} handled", grouped(progress.handled)));
    }

    /// Says something that stays, above the bar.
    pub(crate) fn say(&self, line: &str) {
        if self.0.is_hidden() { crate::terminal::tell(line) } else { self.0.println(line) }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// A table for people. The first column is text, unless told otherwise the others are numbers.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, text_columns: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        let is_text = text_columns.contains(&column.index);
        column.set_cell_alignment(if is_text { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((1, 1));
    }
    table.to_string()
}

/// A bar of a plot: full where the part is 1.
pub(crate) fn bar(part: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = whole(part.clamp(0.0, 1.0) * WIDTH * 8.0);
    let (full, rest) = (usize::try_from(eighths / 8).unwrap_or(0), usize::try_from(eighths % 8).unwrap_or(0));
    format!("{}{}", "█".repeat(full), EIGHTHS[rest])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!((bar(0.0).as_str(), bar(1.0).chars().count(), bar(7.0).chars().count()), ("", 40, 40));
        assert_eq!(bar(0.5), "█".repeat(20));
        assert!(bar(0.001).chars().count() <= 1);
    }
}
