//! The baseline, and how figures compare with it. Pure.
//!
//! INVARIANT: what is in only one of the two is a failure: a figure that is not compared with anything guards nothing.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

/// What one event costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) instructions: f64,
    pub(super) allocations: f64,
}

/// By the name of what was measured.
pub(super) type Figures = BTreeMap<String, Figure>;

/// The committed file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Baseline {
    /// The compiler it was measured with.
    pub(super) rustc: String,
    pub(super) figures: Figures,
}

impl Baseline {
    /// Whole instructions and thousandths of allocations: the rest is noise that would only make diffs.
    pub(super) fn to_json(&self) -> String {
        let figures: Map<String, Value> = self
            .figures
            .iter()
            .map(|(name, figure)| {
                let allocations = (figure.allocations * 1000.0).round() / 1000.0;
                (name.clone(), json!({ "instructions": figure.instructions.round(), "allocations": allocations }))
            })
            .collect();
        format!("{:#}\n", json!({ "rustc": self.rustc, "per_event": figures }))
    }

    pub(super) fn from_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let figures = value["per_event"].as_object()?.iter().map(|(name, figure)| {
            let number = |key: &str| figure[key].as_f64();
            Some((name.clone(), Figure { instructions: number("instructions")?, allocations: number("allocations")? }))
        });
        Some(Self { rustc: value["rustc"].as_str()?.to_owned(), figures: figures.collect::<Option<_>>()? })
    }
}

/// What a benchmark reported with `--instructions --json`, each name behind that of the case.
pub(super) fn counted(case: &str, json: &str) -> Option<Figures> {
    let value: Value = serde_json::from_str(json.trim()).ok()?;
    let figures: Figures = value["instructions"]
        .as_array()?
        .iter()
        .map(|count| {
            let name = format!("{case}: {}", count["name"].as_str()?);
            let instructions = count["instructions_per_event"].as_f64()?;
            Some((name, Figure { instructions, allocations: count["allocations_per_event"].as_f64()? }))
        })
        .collect::<Option<_>>()?;
    (!figures.is_empty()).then_some(figures)
}

/// How much more is too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) instructions_percent: f64,
    pub(super) allocations: f64,
}

/// A line of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    name: String,
    old: Option<f64>,
    new: Option<f64>,
    /// Most that it may be.
    limit: Option<f64>,
    digits: usize,
}

impl Row {
    /// Whether both are there and the new one is within its limit.
    pub(super) fn is_good(&self) -> bool {
        matches!((self.new, self.limit), (Some(new), Some(limit)) if new <= limit)
    }

    fn verdict(&self) -> &'static str {
        match (self.old, self.new) {
            (None, _) => "NOT IN THE BASELINE",
            (_, None) => "NOT MEASURED",
            _ if self.is_good() => "ok",
            _ => "TOO MUCH",
        }
    }
}

/// Two lines per name in either.
pub(super) fn compare(old: &Figures, new: &Figures, limits: Limits) -> Vec<Row> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let mut rows = Vec::new();
    for name in names {
        let (old, new) = (old.get(name), new.get(name));
        let instructions = |figure: &Figure| figure.instructions;
        let allocations = |figure: &Figure| figure.allocations;
        rows.push(Row {
            name: format!("{name}, instructions"),
            old: old.map(instructions),
            new: new.map(instructions),
            limit: old.map(|old| old.instructions * (1.0 + limits.instructions_percent / 100.0)),
            digits: 0,
        });
        rows.push(Row {
            name: format!("{name}, allocations"),
            old: old.map(allocations),
            new: new.map(allocations),
            limit: old.map(|old| old.allocations + limits.allocations),
            digits: 3,
        });
    }
    rows
}

/// The comparison as people read it.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}  {:>9}  {:>9}  {:>9}  {:>7}\n", "per event", "old", "new", "limit", "change");
    for row in rows {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.*}", row.digits));
        let change = match (row.old, row.new) {
            (Some(old), Some(new)) if old > 0.0 => format!("{:+.1} %", (new / old - 1.0) * 100.0),
            _ => "-".to_owned(),
        };
        let (old, new, limit) = (number(row.old), number(row.new), number(row.limit));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {old:>9}  {new:>9}  {limit:>9}  {change:>7}  {}", row.name, row.verdict());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { instructions_percent: 3.0, allocations: 0.02 };

    fn figures(list: &[(&str, f64, f64)]) -> Figures {
        let figure = |(name, instructions, allocations): &(&str, f64, f64)| {
            ((*name).to_owned(), Figure { instructions: *instructions, allocations: *allocations })
        };
        list.iter().map(figure).collect()
    }

    fn verdicts(old: &[(&str, f64, f64)], new: &[(&str, f64, f64)]) -> Vec<&'static str> {
        compare(&figures(old), &figures(new), LIMITS).iter().map(Row::verdict).collect()
    }

    #[test]
    fn up_to_the_limit_is_good_and_above_is_not() {
        assert_eq!(verdicts(&[("a", 1000.0, 1.0)], &[("a", 1030.0, 1.02)]), ["ok", "ok"]);
        assert_eq!(verdicts(&[("a", 1000.0, 1.0)], &[("a", 1031.0, 1.0)]), ["TOO MUCH", "ok"]);
        assert_eq!(verdicts(&[("a", 1000.0, 1.0)], &[("a", 1.0, 1.03)]), ["ok", "TOO MUCH"]);
        assert_eq!(verdicts(&[("a", 1000.0, 0.0)], &[("a", 900.0, 0.0)]), ["ok", "ok"], "less is always good");
    }

    #[test]
    fn what_is_in_only_one_of_the_two_fails() {
        let rows = compare(&figures(&[("gone", 1.0, 1.0)]), &figures(&[("new", 1.0, 1.0)]), LIMITS);
        assert!(rows.iter().all(|row| !row.is_good()));
        let verdicts: Vec<_> = rows.iter().map(Row::verdict).collect();
        assert_eq!(verdicts, ["NOT MEASURED", "NOT MEASURED", "NOT IN THE BASELINE", "NOT IN THE BASELINE"]);
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let figures = figures(&[("receive qos 1: tidemill", 2100.4, 1.005_36), ("b", 10.0, 0.0)]);
        let written = Baseline { rustc: "rustc 1.95.0".into(), figures }.to_json();
        let read = Baseline::from_json(&written).unwrap();
        assert_eq!(read.figures["receive qos 1: tidemill"], Figure { instructions: 2100.0, allocations: 1.005 });
        assert_eq!((read.rustc.as_str(), read.to_json()), ("rustc 1.95.0", written));
        assert_eq!(Baseline::from_json("{}"), None);
        assert_eq!(Baseline::from_json(r#"{"rustc": "x", "per_event": {"a": {"instructions": 1}}}"#), None);
    }

    #[test]
    fn reports_are_read_and_an_empty_one_is_none() {
        let report = r#"{"load": 1, "instructions": [{"name": "tidemill", "instructions_per_event": 2091.5,
            "allocations_per_event": 1.005}]}"#;
        assert_eq!(counted("receive", report), Some(figures(&[("receive: tidemill", 2091.5, 1.005)])));
        assert_eq!(counted("receive", r#"{"instructions": []}"#), None);
        assert_eq!(counted("receive", "no json"), None);
    }

    #[test]
    fn the_table_shows_old_new_limit_and_change() {
        let rows = compare(&figures(&[("a", 1000.0, 1.0)]), &figures(&[("a", 1100.0, 1.0)]), LIMITS);
        let expected = "\
per event              old        new      limit   change
a, instructions       1000       1100       1030  +10.0 %  TOO MUCH
a, allocations       1.000      1.000      1.020   +0.0 %  ok
";
        assert_eq!(table(&rows), expected);
    }
}
