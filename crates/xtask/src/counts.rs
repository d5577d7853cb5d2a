//! How many tests ran and how they ended, read from the summary lines of cargo-nextest and of libtest.
//!
//! A line that is not wholly understood counts as no summary: a wrong number is worse than a missing one.

use std::fmt;
use std::ops::Add;

/// Numbers of tests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ran and passed.
    pub(crate) passed: u64,
    /// Ran and failed, timed out, or could not be started.
    pub(crate) failed: u64,
    /// Ignored or left out.
    pub(crate) skipped: u64,
}

impl Counts {
    /// Whether no test ran.
    pub(crate) fn ran_none(self) -> bool {
        self.passed + self.failed == 0
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads `Summary [   1.2s] 3/5 tests run: 2 passed (1 slow), 1 failed, 1 skipped`, the line of cargo-nextest.
pub(crate) fn from_nextest(line: &str) -> Option<Counts> {
    let rest = line.trim().strip_prefix("Summary [")?;
    let (_, rest) = rest.split_once(']')?;
    let (head, endings) = rest.split_once(':')?;
    if !(head.ends_with(" tests run") || head.ends_with(" test run")) {
        return None;
    }
    let mut counts = Counts::default();
    for ending in without_parentheses(endings).split(',') {
        let (number, how) = ending.trim().split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match how.trim() {
            "passed" => counts.passed += number,
            "failed" | "timed out" | "exec failed" => counts.failed += number,
            "skipped" => counts.skipped += number,
            _ => return None,
        }
    }
    Some(counts)
}

/// Reads `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`, the line
/// of each test binary under `cargo test`.
pub(crate) fn from_libtest(line: &str) -> Option<Counts> {
    let rest = line.strip_prefix("test result: ")?;
    let rest = rest.strip_prefix("ok. ").or_else(|| rest.strip_prefix("FAILED. "))?;
    let mut counts = Counts::default();
    for ending in rest.split("; ") {
        if ending.starts_with("finished in ") {
            continue;
        }
        let (number, how) = ending.split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match how {
            "passed" => counts.passed += number,
            "failed" => counts.failed += number,
            "ignored" | "filtered out" => counts.skipped += number,
            "measured" => {}
            _ => return None,
        }
    }
    Some(counts)
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|&c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts { passed, failed, skipped })
    }

    #[test]
    fn nextest_summaries_are_read() {
        let cases = [
            ("     Summary [   0.011s] 5 tests run: 5 passed, 0 skipped", counts(5, 0, 0)),
            ("     Summary [   0.011s] 1 test run: 1 passed, 2 skipped", counts(1, 0, 2)),
            ("Summary [  61.0s] 3/5 tests run: 2 passed (1 slow, 1 leaky), 1 failed, 7 skipped", counts(2, 1, 7)),
            ("Summary [1.0s] 4 tests run: 1 passed, 1 failed, 1 timed out, 1 exec failed, 0 skipped", counts(1, 3, 0)),
            ("Summary [1.0s] 2 tests run: 1 passed, 1 failed (1 due to being leaky), 0 skipped", counts(1, 1, 0)),
        ];
        for (line, expected) in cases {
            assert_eq!(from_nextest(line), expected, "{line}");
        }
    }

    #[test]
    fn libtest_summaries_are_read() {
        let ok = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s";
        assert_eq!(from_libtest(ok), counts(5, 0, 3));
        let failed = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(from_libtest(failed), counts(1, 2, 0));
    }

    #[test]
    fn other_lines_are_no_summary() {
        let lines = [
            "",
            "Summary",
            "Summary [1s] of what happened: 5 passed",
            "Summary [1s] 5 tests run: five passed",
            "Summary [1s] 5 tests run: 5 vanished",
            "test result: ok.",
            "test result: ok. 5 passed; 1 vanished",
            "    test result: ok. 5 passed; 0 failed",
            "test tests::passes ... ok",
        ];
        for line in lines {
            assert_eq!(from_nextest(line), None, "{line}");
            assert_eq!(from_libtest(line), None, "{line}");
        }
    }

    #[test]
    fn the_closing_line_is_plain() {
        let sum = Counts { passed: 1, failed: 2, skipped: 3 } + Counts { passed: 10, failed: 0, skipped: 0 };
        assert_eq!(sum.to_string(), "11 passed, 2 failed, 3 skipped");
    }
}
