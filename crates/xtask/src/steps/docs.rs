//! Documentation builds, and its links lead somewhere.

use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;

use super::Ended;

pub(super) fn run(checkout: &Checkout) -> Result<Ended, Failure> {
    // Libraries alone: the program and the library `tidemill` would write to the same folder.
    let arguments = ["doc", "--workspace", "--lib", "--all-features", "--no-deps"];
    let status = process::run(process::cargo(checkout, &arguments).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Ended::with_status(status))
}
