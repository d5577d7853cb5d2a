//! Formatting and lints.

use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;

use super::Ended;

pub(super) fn format(checkout: &Checkout) -> Result<Ended, Failure> {
    let status = process::run(&mut process::cargo(checkout, &["fmt", "--all", "--check"]))?;
    Ok(if status.success() { Ended::passed("") } else { Ended::failed("run cargo fmt --all") })
}

pub(super) fn clippy(checkout: &Checkout) -> Result<Ended, Failure> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    let status = process::run(&mut process::cargo(checkout, &arguments))?;
    Ok(Ended::with_status(status))
}
