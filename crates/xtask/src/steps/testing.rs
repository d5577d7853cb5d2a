//! All tests, by cargo-nextest where it is installed, else by `cargo test`; and the examples in documentation.
//!
//! Tests that need a server decide themselves what its absence means, from the variable `CI`, which is passed on.

use crate::checkout::Checkout;
use crate::counts::{self, Counts};
use crate::failure::Failure;
use crate::process;
use crate::report::Verdict;

use super::Ended;

pub(super) fn run(checkout: &Checkout) -> Result<Ended, Failure> {
    let (watched, counts, note) = if process::has_program("cargo-nextest") {
        let profile = if process::in_ci() { "ci" } else { "default" };
        let arguments = ["nextest", "run", "--workspace", "--all-features", "--no-fail-fast", "--profile", profile];
        let watched = process::watch(&mut process::cargo(checkout, &arguments), is_nextest_summary)?;
        let counts = nextest_counts(&watched.lines);
        (watched, counts, "")
    } else {
        let targets = ["--lib", "--bins", "--tests", "--examples"];
        let mut command = process::cargo(checkout, &["test", "--workspace", "--all-features", "--no-fail-fast"]);
        let watched = process::watch(command.args(targets), is_libtest_summary)?;
        let counts = libtest_counts(&watched.lines);
        (watched, counts, "by cargo test: cargo-nextest is not installed")
    };
    let ended = match Ended::with_status(watched.status) {
        // A run that tests nothing must not look green.
        ended if ended.verdict == Verdict::Passed && counts.ran_none() => Ended::failed("no test ran"),
        ended if ended.verdict == Verdict::Passed => Ended::passed(note),
        ended => ended,
    };
    Ok(ended.with_tests(counts))
}

pub(super) fn doc_tests(checkout: &Checkout) -> Result<Ended, Failure> {
    let arguments = ["test", "--doc", "--workspace", "--all-features", "--no-fail-fast"];
    let watched = process::watch(&mut process::cargo(checkout, &arguments), is_libtest_summary)?;
    Ok(Ended::with_status(watched.status).with_tests(libtest_counts(&watched.lines)))
}

fn is_nextest_summary(line: &str) -> bool {
    counts::from_nextest(line).is_some()
}

fn is_libtest_summary(line: &str) -> bool {
    counts::from_libtest(line).is_some()
}

/// The summary that is least indented: the output of a failed test, which is shown indented, may look like one.
fn nextest_counts(lines: &[String]) -> Counts {
    let indent = |line: &&String| line.len() - line.trim_start().len();
    lines.iter().min_by_key(indent).and_then(|line| counts::from_nextest(line)).unwrap_or_default()
}

/// The sum over all test binaries.
fn libtest_counts(lines: &[String]) -> Counts {
    lines.iter().filter_map(|line| counts::from_libtest(line)).fold(Counts::default(), |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_in_the_output_of_a_failed_test_is_not_taken_for_the_real_one() {
        let real = "     Summary [   0.2s] 2 tests run: 1 passed, 1 failed, 0 skipped".to_owned();
        let printed = "         Summary [   0.2s] 900 tests run: 900 passed, 0 skipped".to_owned();
        let expected = Counts { passed: 1, failed: 1, skipped: 0 };
        assert_eq!(nextest_counts(&[printed.clone(), real.clone()]), expected);
        assert_eq!(nextest_counts(&[real, printed]), expected);
    }

    #[test]
    fn tests_of_all_binaries_are_summed() {
        let line = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let expected = Counts { passed: 4, failed: 0, skipped: 2 };
        assert_eq!(libtest_counts(&[line.to_owned(), line.to_owned()]), expected);
    }
}
