//! The programs that the tests use are there, or it is said what is missing.
//!
//! Without them a developer's tests skip what they cannot do; continuous integration fails.

use crate::failure::Failure;
use crate::{install, process};

use super::{Ended, Setup};

pub(super) fn run(setup: &Setup<'_>) -> Result<Ended, Failure> {
    let missing = if setup.may_install { install::install()? } else { install::look() };
    let advice = missing.advice();
    for line in &advice {
        println!("{line}");
    }
    if missing.any_required() && process::in_ci() {
        return Ok(Ended::failed("a program that the tests need is missing"));
    }
    Ok(Ended::passed(if advice.is_empty() { "" } else { "some are missing, tests that need them are left out" }))
}
