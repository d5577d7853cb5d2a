//! What programs report, as blocks of a document. Pure.

use serde_json::Value;

use super::table::{Block, Table, as_printed};
use crate::bench_gate;

/// How the output of a program becomes a part of the document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Its tables and the lines around them, as they are.
    Printed,
    /// Instructions and allocations, behind the name of what was counted.
    Counted(&'static str),
    /// `tidemill bench sweep`.
    Sweep,
    /// `tidemill bench rebalance`.
    Rebalance,
    /// `tidemill demo`, several times, on a broker that is called so.
    Demo(&'static str),
}

impl Shape {
    /// The blocks for what a program printed, once for each time that it ran; `None` when that is not what it prints.
    pub(super) fn blocks(self, printed: &[String]) -> Option<Vec<Block>> {
        let only = printed.first()?;
        match self {
            Self::Printed => Some(as_printed(only)).filter(|blocks| !blocks.is_empty()),
            Self::Counted(what) => counted(what, only),
            Self::Sweep => sweep(&last_json(only)?),
            Self::Rebalance => rebalance(&last_json(only)?),
            Self::Demo(broker) => {
                demo(broker, &printed.iter().map(|text| last_json(text)).collect::<Option<Vec<_>>>()?)
            }
        }
    }
}

fn last_json(printed: &str) -> Option<Value> {
    serde_json::from_str(printed.trim().lines().next_back()?).ok()
}

fn counted(what: &str, printed: &str) -> Option<Vec<Block>> {
    let rows = bench_gate::counted(what, printed)?
        .into_iter()
        .map(|(name, instructions, allocations)| vec![name, format!("{instructions:.0}"), format!("{allocations:.3}")]);
    let header = vec!["per event or publication", "instructions", "allocations"];
    Some(vec![Block::Table(Table { header, rows: rows.collect() })])
}

fn number(value: &Value, key: &str, digits: usize) -> Option<String> {
    Some(format!("{:.digits$}", value[key].as_f64()?))
}

fn word(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn sweep(value: &Value) -> Option<Vec<Block>> {
    let broker = word(value, "broker")?;
    let row = |point: &Value| {
        Some(vec![
            broker.clone(),
            number(point, "instances", 0)?,
            number(point, "window", 0)?,
            number(point, "events_per_s", 0)?,
            number(point, "p50_ms", 2)?,
            number(point, "p99_ms", 2)?,
            number(point, "worker_cores", 2)?,
            point["broker_cores"].as_f64().map_or("-".to_owned(), |cores| format!("{cores:.2}")),
            format!("{:.0} %", point["window_use"].as_f64()? * 100.0),
            number(point, "lost", 0)?,
            word(point, "bound")?,
        ])
    };
    let rows = value["points"].as_array()?.iter().map(row).collect::<Option<_>>()?;
    let header = vec![
        "broker",
        "instances",
        "window",
        "events/s",
        "p50 ms",
        "p99 ms",
        "worker cores",
        "broker cores",
        "windows",
        "lost",
        "bound",
    ];
    Some(vec![Block::Table(Table { header, rows })])
}

fn rebalance(value: &Value) -> Option<Vec<Block>> {
    let (mut steps, mut sums) = (Vec::new(), Vec::new());
    for change in value["changes"].as_array()? {
        let name = word(change, "change")?.replace('_', "-");
        for step in change["steps"].as_array()? {
            steps.push(vec![
                name.clone(),
                word(step, "step")?,
                number(step, "took_ms", 0)?,
                number(step, "calm_p99_ms", 2)?,
                number(step, "pause_p99_ms", 2)?,
                number(step, "pause_max_ms", 2)?,
                number(step, "gap_ms", 2)?,
            ]);
        }
        let sessions = if change["durable"].as_bool()? { "durable" } else { "ephemeral" };
        let count = |key: &str| number(change, key, 0);
        sums.push(vec![
            name,
            sessions.to_owned(),
            count("published")?,
            count("handled")?,
            count("lost")?,
            count("duplicated")?,
            count("resent")?,
            count("out_of_order")?,
        ]);
    }
    let header = vec!["change", "step", "took ms", "p99 before, ms", "p99 ms", "longest ms", "nothing handled for ms"];
    let steps = Table { header, rows: steps };
    let header = vec!["change", "sessions", "published", "handled", "lost", "duplicated", "sent again", "out of order"];
    let about = format!("{} broker, {} events/s.", word(value, "broker")?, number(value, "rate", 0)?);
    Some(vec![Block::Table(steps), Block::Table(Table { header, rows: sums }), Block::Text(about)])
}

fn demo(broker: &str, runs: &[Value]) -> Option<Vec<Block>> {
    let mut rates = runs.iter().map(|run| run["events_per_s"].as_f64()).collect::<Option<Vec<_>>>()?;
    rates.sort_by(f64::total_cmp);
    let (first, last) = (rates.first()?, rates.last()?);
    let middle = rates.len() / 2;
    let median =
        if rates.len().is_multiple_of(2) { f64::midpoint(rates[middle - 1], rates[middle]) } else { rates[middle] };
    let sum = |key: &str| -> Option<String> {
        Some(runs.iter().map(|run| run[key].as_u64()).sum::<Option<u64>>()?.to_string())
    };
    let row = vec![
        broker.to_owned(),
        format!("{median:.0}"),
        format!("{first:.0}..{last:.0}"),
        runs.len().to_string(),
        sum("lost")?,
        sum("duplicated")?,
        sum("out_of_order")?,
    ];
    let header = vec!["broker", "events/s", "min..max", "runs", "lost", "duplicated", "out of order"];
    Some(vec![Block::Table(Table { header, rows: vec![row] })])
}

#[cfg(test)]
mod tests {
    use super::super::table::text;
    use super::*;

    fn shown(shape: Shape, printed: &[&str]) -> String {
        text(&shape.blocks(&printed.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap())
    }

    #[test]
    fn a_demo_is_the_median_of_its_runs_and_the_sum_of_its_faults() {
        let run = |rate: u32, lost: u32| {
            format!(r#"{{"events_per_s":{rate}.4,"lost":{lost},"duplicated":0,"out_of_order":1}}"#)
        };
        let shown = shown(Shape::Demo("embedded"), &[&run(3, 0), &run(1, 2), &run(7, 0)]);
        assert!(
            shown.ends_with("| embedded | 3        | 1..7     | 3    | 2    | 0          | 3            |"),
            "{shown}"
        );
    }

    #[test]
    fn a_sweep_has_a_row_per_point_with_its_bound() {
        let json = r#"{"broker":"embedded","points":[{"instances":4,"window":64,"events_per_s":51200.4,"p50_ms":5.0,
            "p99_ms":6.126,"worker_cores":0.5,"broker_cores":null,"window_use":0.98,"lost":0,"bound":"window"}]}"#
            .replace('\n', "");
        let shown = shown(Shape::Sweep, &[&format!("something else\n{json}\n")]);
        let row = "| embedded | 4         | 64     | 51200    | 5.00   | 6.13   | 0.50         | -            | 98 %    \
                   | 0    | window |";
        assert!(shown.ends_with(row), "{shown}");
    }

    #[test]
    fn a_change_of_the_group_has_its_steps_and_its_account() {
        let json = r#"{"broker":"mosquitto","rate":20000,"changes":[{"change":"broker_restart","durable":true,
            "published":10,"handled":9,"lost":1,"duplicated":2,"resent":3,"out_of_order":0,"steps":[{"step":"back",
            "took_ms":5.4,"calm_p99_ms":0.7,"pause_p99_ms":435.2,"pause_max_ms":509.0,"gap_ms":501.0}]}]}"#
            .replace('\n', "");
        let shown = shown(Shape::Rebalance, &[&json]);
        assert!(shown.contains("| broker-restart | back | 5       | 0.70 "), "{shown}");
        assert!(shown.contains("| broker-restart | durable  | 10        | 9       | 1    | 2 "), "{shown}");
        assert!(shown.ends_with("mosquitto broker, 20000 events/s."), "{shown}");
    }

    #[test]
    fn output_that_is_not_understood_is_no_figure() {
        for shape in [Shape::Printed, Shape::Counted("x"), Shape::Sweep, Shape::Rebalance, Shape::Demo("x")] {
            assert_eq!(shape.blocks(&[String::new()]), None, "{shape:?}");
        }
        assert_eq!(Shape::Sweep.blocks(&["{}".to_owned()]), None);
    }
}
