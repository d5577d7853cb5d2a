//! The steps of `cargo xtask test`: which there are, in which order, and what each needs.
//!
//! To add a step: a variant of [`Step`], its place in [`Step::ALL`], and an arm in each function below; the compiler
//! names them.

mod chart;
mod deps;
mod docs;
mod features;
mod lints;
mod programs;
mod repo;
mod testing;

use std::process::ExitStatus;

use clap::ValueEnum;

use crate::checkout::Checkout;
use crate::counts::Counts;
use crate::failure::Failure;
use crate::report::Verdict;

/// A step of `cargo xtask test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Programs that the tests use are installed
    Programs,
    /// Sources are formatted
    Format,
    /// Rules of this repository
    Repo,
    /// No warnings of the compiler or of clippy
    Clippy,
    /// All tests but those in documentation
    Tests,
    /// Examples in documentation
    DocTests,
    /// The chart for Kubernetes
    Chart,
    /// Documentation builds without a warning
    Docs,
    /// Each feature of the sinks builds alone, without a warning
    Features,
    /// Licences, advisories and sources of dependencies
    Deps,
}

impl Step {
    /// All steps in the order in which they run: the quick ones first.
    pub(crate) const ALL: [Self; 10] = [
        Self::Programs,
        Self::Format,
        Self::Repo,
        Self::Clippy,
        Self::Tests,
        Self::DocTests,
        Self::Chart,
        Self::Docs,
        Self::Features,
        Self::Deps,
    ];

    /// Its name, as `--only` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Programs => "programs",
            Self::Format => "format",
            Self::Repo => "repo",
            Self::Clippy => "clippy",
            Self::Tests => "tests",
            Self::DocTests => "doc-tests",
            Self::Chart => "chart",
            Self::Docs => "docs",
            Self::Features => "features",
            Self::Deps => "deps",
        }
    }

    /// What it looks at.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Programs => "programs that the tests use",
            Self::Format => "cargo fmt",
            Self::Repo => "rules of this repository",
            Self::Clippy => "cargo clippy, all targets, all features, no warnings",
            Self::Tests => "all tests but those in documentation",
            Self::DocTests => "examples in documentation",
            Self::Chart => "the chart: lint, schemas of Kubernetes, policies, refusals",
            Self::Docs => "cargo doc, no warnings",
            Self::Features => "cargo clippy, each feature of the sinks alone, no warnings",
            Self::Deps => "cargo deny: licences, advisories, sources",
        }
    }

    /// Whether it belongs to a `--fast` run.
    pub(crate) fn is_fast(self) -> bool {
        !matches!(self, Self::DocTests | Self::Chart | Self::Docs | Self::Features | Self::Deps)
    }

    /// The step without which this one cannot work: code that does not compile cannot be tested.
    pub(crate) fn needs(self) -> Option<Self> {
        match self {
            Self::Tests | Self::DocTests | Self::Chart | Self::Features => Some(Self::Clippy),
            Self::Programs | Self::Format | Self::Repo | Self::Clippy | Self::Docs | Self::Deps => None,
        }
    }

    /// Leaves it out; a step that runs tests has then run none.
    pub(crate) fn left_out(self, why: impl Into<String>) -> Ended {
        let ended = Ended::skipped(why);
        match self {
            Self::Tests | Self::DocTests | Self::Chart => ended.with_tests(Counts::default()),
            Self::Programs | Self::Format | Self::Repo | Self::Clippy | Self::Docs | Self::Features | Self::Deps => {
                ended
            }
        }
    }

    /// Does it.
    pub(crate) fn run(self, setup: &Setup<'_>) -> Result<Ended, Failure> {
        match self {
            Self::Programs => programs::run(setup),
            Self::Format => lints::format(setup.checkout),
            Self::Repo => repo::run(setup.checkout),
            Self::Clippy => lints::clippy(setup.checkout),
            Self::Tests => testing::run(setup.checkout),
            Self::DocTests => testing::doc_tests(setup.checkout),
            Self::Chart => chart::run(setup),
            Self::Docs => docs::run(setup.checkout),
            Self::Features => features::run(setup.checkout),
            Self::Deps => deps::run(setup.checkout),
        }
    }
}

/// What all steps work with.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// The sources.
    pub(crate) checkout: &'a Checkout,
    /// Whether packages of the system may be installed.
    pub(crate) may_install: bool,
}

/// How a step ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) verdict: Verdict,
    /// For the table; may be empty.
    pub(crate) note: String,
    /// The tests it ran; `None` for a step that runs none.
    pub(crate) tests: Option<Counts>,
}

impl Ended {
    fn passed(note: impl Into<String>) -> Self {
        Self { verdict: Verdict::Passed, note: note.into(), tests: None }
    }

    fn failed(note: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, note: note.into(), tests: None }
    }

    fn skipped(note: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, note: note.into(), tests: None }
    }

    fn with_status(status: ExitStatus) -> Self {
        if status.success() { Self::passed("") } else { Self::failed(status.to_string()) }
    }

    fn with_tests(self, tests: Counts) -> Self {
        Self { tests: Some(tests), ..self }
    }
}

#[cfg(test)]
#[test]
fn names_of_steps_are_those_of_the_command_line() {
    for step in Step::ALL {
        assert_eq!(step.to_possible_value().unwrap().get_name(), step.name());
    }
    assert_eq!(Step::ALL, Step::value_variants());
}
