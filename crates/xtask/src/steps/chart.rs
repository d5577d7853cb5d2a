//! The chart: see [`chart`]. Left out where Python is missing, except in continuous integration.

use crate::chart::{self, Checked};
use crate::counts::Counts;
use crate::failure::Failure;
use crate::process;

use super::{Ended, Setup};

pub(super) fn run(setup: &Setup<'_>) -> Result<Ended, Failure> {
    let python = match chart::environment(setup.checkout, setup.may_install)? {
        Ok(python) => python,
        Err(obstacle) if process::in_ci() => return Ok(Ended::failed(obstacle).with_tests(Counts::default())),
        Err(obstacle) => return Ok(Ended::skipped(obstacle).with_tests(Counts::default())),
    };
    Ok(match chart::check(setup.checkout, &python)? {
        Checked::NotBuilt => Ended::failed("tidemill does not build").with_tests(Counts::default()),
        Checked::Ran { good: true, counts } => Ended::passed("").with_tests(counts),
        Checked::Ran { good: false, counts } if counts.ran_none() => {
            Ended::failed("the checks did not end").with_tests(counts)
        }
        Checked::Ran { good: false, counts } => Ended::failed("").with_tests(counts),
    })
}
