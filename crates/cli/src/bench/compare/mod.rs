//! `tidemill bench compare A.json B.json`: whether two results differ, or only fluctuate.
//!
//! Each file holds the results of `bench run --json`, one or several. With five runs or more in each the runs are
//! compared; with fewer, their seconds: these depend on one another, so a difference counts only when it is larger. The
//! rule stands in [`stats`].

mod stats;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::output;
use super::run::result::RunResult;
use super::terminal::table;
use crate::exit::{Failure, Outcome};
use crate::figures::rounded;
use crate::paint::Paint;
use crate::terminal;
use stats::{Comparison, Verdict, compare};

/// From so many runs on, runs are compared rather than seconds.
const RUNS: usize = 5;
/// A difference of medians below this is nobody's concern, however certain.
const LEAST_OF_RUNS: f64 = 0.02;
const LEAST_OF_SECONDS: f64 = 0.05;

const EXAMPLES: &str = "\
Examples:
  for i in 1 2 3 4 5; do tidemill bench run --rate 20K --json >> old.json; done
  for i in 1 2 3 4 5; do tidemill bench run --rate 20K --json >> new.json; done
  tidemill bench compare old.json new.json

Rule: Mann-Whitney U, two-sided, p < 0.01, and medians that differ by 2 % or more (5 % where single seconds of \
few runs are compared). Everything else is indistinguishable.";

/// Arguments of `tidemill bench compare`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// Results to start from
    #[arg(value_name = "A")]
    before: PathBuf,
    /// Results to compare with them
    #[arg(value_name = "B")]
    after: PathBuf,
    /// Writes the result to standard output, as one JSON object on the last line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct CompareResult {
    command: &'static str,
    /// Nothing is worse.
    ok: bool,
    /// `runs` or `seconds`.
    compared: &'static str,
    runs: [usize; 2],
    /// Both were measured with the same settings.
    same_settings: bool,
    metrics: Vec<Metric>,
}

#[derive(Debug, Serialize)]
struct Metric {
    metric: &'static str,
    #[serde(flatten)]
    comparison: Comparison,
    /// `better`, `worse` or `indistinguishable`.
    verdict: &'static str,
}

/// Runs it.
///
/// # Errors
/// A file that cannot be read, or holds no results.
pub(crate) fn run(args: &CompareArgs) -> Result<Outcome, Failure> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let result = result(&before, &after);
    terminal::tell(&text(&result, Paint::stderr()));
    if args.json {
        output::json(&result)?;
    }
    Ok(if result.ok { Outcome::Good } else { Outcome::Bad })
}

fn read(path: &Path) -> Result<Vec<RunResult>, Failure> {
    let wrong = |why: String| Failure::Run(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("{error}; `tidemill bench run --json >> FILE` writes one")))?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<RunResult>();
    let results: Vec<RunResult> = values
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("no result of `tidemill bench run --json`: {error}")))?;
    if results.is_empty() {
        return Err(wrong("it holds no result; `tidemill bench run --json >> FILE` writes one".to_owned()));
    }
    Ok(results)
}

/// Figures of a file: one for each run.
type OfRun = fn(&RunResult) -> f64;
/// The same for each second, where there is such a thing.
type OfSecond = fn(&super::process::Second) -> f64;

fn result(before: &[RunResult], after: &[RunResult]) -> CompareResult {
    let by_run = before.len() >= RUNS && after.len() >= RUNS;
    let metrics: [(&'static str, bool, OfRun, Option<OfSecond>); 5] = [
        ("events_per_s", true, |run| run.events_per_s, Some(|second| second.handled as f64)),
        ("latency_p50_ms", false, |run| run.latency_ms.p50, Some(|second| second.p50)),
        ("latency_p99_ms", false, |run| run.latency_ms.p99, Some(|second| second.p99)),
        ("worker_cpu_us_per_event", false, |run| run.worker.cpu_us_per_event, None),
        ("worker_peak_kib", false, |run| run.worker.peak_kib.unwrap_or(0) as f64, None),
    ];
    let metrics: Vec<Metric> = metrics
        .into_iter()
        .map(|(metric, more_is_better, of_run, of_second)| {
            let values = |runs: &[RunResult]| -> Vec<f64> {
                match of_second {
                    Some(of_second) if !by_run => runs.iter().flat_map(|run| &run.samples).map(of_second).collect(),
                    _ => runs.iter().map(of_run).collect(),
                }
            };
            let least = if by_run { LEAST_OF_RUNS } else { LEAST_OF_SECONDS };
            let comparison = compare(&values(before), &values(after), least);
            let verdict = match (comparison.verdict(), more_is_better) {
                (Verdict::Same, _) => "indistinguishable",
                (Verdict::More, true) | (Verdict::Less, false) => "better",
                (Verdict::More, false) | (Verdict::Less, true) => "worse",
            };
            Metric { metric, comparison, verdict }
        })
        .collect();
    CompareResult {
        command: "compare",
        ok: metrics.iter().all(|metric| metric.verdict != "worse"),
        compared: if by_run { "runs" } else { "seconds" },
        runs: [before.len(), after.len()],
        same_settings: before.iter().chain(after).all(|run| run.settings == before[0].settings),
        metrics,
    }
}

fn text(result: &CompareResult, paint: Paint) -> String {
    let rows = result.metrics.iter().map(|metric| {
        let comparison = &metric.comparison;
        let side = |median: f64, mad: f64| format!("{} ± {}", rounded(median, 3), rounded(mad, 3));
        let word = match metric.verdict {
            "better" => paint.good(metric.verdict),
            "worse" => paint.bad(metric.verdict),
            same => same.to_owned(),
        };
        vec![
            metric.metric.to_owned(),
            side(comparison.median_a, comparison.mad_a),
            side(comparison.median_b, comparison.mad_b),
            format!("{:+.1} %", comparison.change * 100.0),
            format!("{:.4}", comparison.p),
            word,
        ]
    });
    let header = ["", "A: median ± MAD", "B: median ± MAD", "B - A", "p", ""];
    let mut text = format!("\n{}\n\n", table(&header, rows.collect(), &[0, 5]));
    let [a, b] = result.runs;
    text.push_str(&format!("  compared by {}: {a} runs of A, {b} of B", result.compared));
    if result.compared == "seconds" {
        text.push_str(&format!(
            "\n  {}",
            paint.faint("From 5 runs in each file on, runs are compared, which tells more.")
        ));
    }
    if !result.same_settings {
        text.push_str(&format!("\n  {} the settings differ, so the difference may be theirs", paint.bad("Note:")));
    }
    text
}
