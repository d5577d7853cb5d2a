//! Results: medians over the pairs of runs, and how far these spread.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::measure::Measured;
use crate::stats::{median, range};

/// One run of the bare client and the run of the sink beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) bare: Measured,
    pub(super) engine: Measured,
}

impl Pair {
    pub(super) fn ratio(&self) -> f64 {
        self.engine.rate / self.bare.rate
    }
}

/// A row of the result.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    sink: &'static str,
    bare: &'static str,
    bare_records_per_s: f64,
    records_per_s: f64,
    /// Median of the ratios of the pairs.
    ratio: f64,
    /// Least and greatest of them.
    ratios: [f64; 2],
    bare_cpu_us_per_record: f64,
    cpu_us_per_record: f64,
    records_per_batch: f64,
}

impl Row {
    /// At least one pair.
    pub(super) fn new(sink: &'static str, bare: &'static str, pairs: &[Pair]) -> Self {
        let of = |value: fn(&Pair) -> f64| median(pairs.iter().map(value)).unwrap_or_default();
        let (least, greatest) = range(pairs.iter().map(Pair::ratio)).unwrap_or_default();
        Self {
            sink,
            bare,
            bare_records_per_s: of(|pair| pair.bare.rate),
            records_per_s: of(|pair| pair.engine.rate),
            ratio: of(Pair::ratio),
            ratios: [least, greatest],
            bare_cpu_us_per_record: of(|pair| pair.bare.cpu_us),
            cpu_us_per_record: of(|pair| pair.engine.cpu_us),
            records_per_batch: of(|pair| pair.engine.per_batch),
        }
    }
}

/// A Markdown table.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "sink",
        "bare",
        "bare records/s",
        "sink records/s",
        ": bare",
        "min..max",
        "records/write",
        "CPU us, bare",
        "CPU us, sink",
    ]);
    for row in rows {
        table.add_row([
            row.sink.to_owned(),
            row.bare.to_owned(),
            format!("{:.0} k", row.bare_records_per_s / 1e3),
            format!("{:.0} k", row.records_per_s / 1e3),
            format!("{:.2} x", row.ratio),
            format!("{:.2}..{:.2}", row.ratios[0], row.ratios[1]),
            format!("{:.0}", row.records_per_batch),
            format!("{:.2}", row.bare_cpu_us_per_record),
            format!("{:.2}", row.cpu_us_per_record),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_median_of_ratios_not_the_ratio_of_medians() {
        let side = |rate| Measured { rate, cpu_us: 1.0, per_batch: 500.0 };
        let pair = |bare, engine| Pair { bare: side(bare), engine: side(engine) };
        // The machine was slow during the second pair.
        let row = Row::new("x", "y", &[pair(100.0, 90.0), pair(10.0, 8.0), pair(100.0, 70.0)]);
        assert!((row.ratio - 0.8).abs() < 1e-9);
        assert!((row.records_per_s - 70.0).abs() < 1e-9);
        assert!((row.ratios[0] - 0.7).abs() < 1e-9 && (row.ratios[1] - 0.9).abs() < 1e-9);
    }
}
