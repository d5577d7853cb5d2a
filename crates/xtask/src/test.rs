//! `cargo xtask test`: every check of this repository, and the sum of it.
//!
//! All steps run even when one fails, so that one run shows everything that is wrong. Only what cannot work is left
//! out: see [`Step::needs`].

use std::process::ExitCode;

use crate::checkout::Checkout;
use crate::counts::Counts;
use crate::failure::Failure;
use crate::report::{Report, Row, Stopwatch, Verdict};
use crate::steps::{Setup, Step};

/// Options of `cargo xtask test`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Leave out what seldom breaks while you work: doc tests, the chart, docs, dependencies
    #[arg(long, conflicts_with = "only")]
    fast: bool,
    /// Never install anything; say what is missing
    #[arg(long)]
    no_install: bool,
    /// Run this step alone; may be given several times
    #[arg(long, value_name = "STEP", value_enum)]
    only: Vec<Step>,
}

impl Args {
    /// The chosen steps, in the order in which they run.
    fn steps(&self) -> Vec<Step> {
        Step::ALL
            .into_iter()
            .filter(|step| if self.only.is_empty() { !self.fast || step.is_fast() } else { self.only.contains(step) })
            .collect()
    }
}

/// Runs the chosen steps and sums up; the exit code says whether all of them are in order.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode, Failure> {
    let setup = Setup { checkout, may_install: !args.no_install };
    let mut report = Report::to_stdout();
    let mut results = Results::default();
    for step in args.steps() {
        report.heading(step.name(), step.about())?;
        let watch = Stopwatch::start();
        let ended = match results.obstacle(step) {
            Some(needed) => step.left_out(format!("{} failed", needed.name())),
            None => step.run(&setup)?,
        };
        let row = Row { step: step.name(), verdict: ended.verdict, took: watch.elapsed(), note: ended.note.clone() };
        report.closing(&row)?;
        results.add(step, row, ended.tests);
    }
    report.table(&results.rows)?;
    if let Some(tests) = results.tests {
        // The last line, alone and without colours: programs read it too.
        report.line(format_args!("\n{tests}"))?;
    }
    Ok(if results.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the steps so far came to.
#[derive(Debug, Default)]
struct Results {
    rows: Vec<Row>,
    failed: Vec<Step>,
    tests: Option<Counts>,
}

impl Results {
    fn add(&mut self, step: Step, row: Row, tests: Option<Counts>) {
        if row.verdict == Verdict::Failed {
            self.failed.push(step);
        }
        self.rows.push(row);
        if let Some(tests) = tests {
            self.tests = Some(self.tests.unwrap_or_default() + tests);
        }
    }

    /// The failed step without which `step` cannot work.
    fn obstacle(&self, step: Step) -> Option<Step> {
        step.needs().filter(|needed| self.failed.contains(needed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn chosen(fast: bool, only: &[Step]) -> Vec<Step> {
        Args { fast, no_install: true, only: only.to_vec() }.steps()
    }

    fn row(verdict: Verdict) -> Row {
        Row { step: "any", verdict, took: Duration::ZERO, note: String::new() }
    }

    #[test]
    fn all_steps_run_unless_told_otherwise() {
        assert_eq!(chosen(false, &[]), Step::ALL);
    }

    #[test]
    fn named_steps_run_in_their_order_whatever_order_they_are_named_in() {
        assert_eq!(chosen(false, &[Step::Clippy, Step::Repo]), [Step::Repo, Step::Clippy]);
    }

    #[test]
    fn a_fast_run_still_tests() {
        let fast = chosen(true, &[]);
        assert!(fast.contains(&Step::Tests));
        assert!(!fast.contains(&Step::DocTests));
    }

    #[test]
    fn tests_are_left_out_after_clippy_failed_and_the_rest_is_not() {
        let mut results = Results::default();
        results.add(Step::Clippy, row(Verdict::Failed), None);
        assert_eq!(results.obstacle(Step::Tests), Some(Step::Clippy));
        assert_eq!(results.obstacle(Step::Repo), None);
    }

    #[test]
    fn tests_run_when_clippy_passed_or_was_not_chosen() {
        let mut results = Results::default();
        assert_eq!(results.obstacle(Step::Tests), None);
        results.add(Step::Clippy, row(Verdict::Passed), None);
        assert_eq!(results.obstacle(Step::Tests), None);
    }

    #[test]
    fn tests_of_all_steps_are_summed() {
        let mut results = Results::default();
        let some = Counts { passed: 2, failed: 0, skipped: 1 };
        results.add(Step::Tests, row(Verdict::Passed), Some(some));
        results.add(Step::DocTests, row(Verdict::Passed), Some(some));
        results.add(Step::Repo, row(Verdict::Passed), None);
        assert_eq!(results.tests, Some(some + some));
    }
}
