//! Dependencies: licences, known weaknesses, where they come from. The rules stand in `.deny.toml`.

use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;

use super::Ended;

pub(super) fn run(checkout: &Checkout) -> Result<Ended, Failure> {
    if !process::has_program("cargo-deny") {
        return Ok(Ended::skipped("cargo-deny is not installed"));
    }
    let deny = |arguments: &[&str]| {
        let mut command = process::cargo(checkout, &["deny", "--workspace", "--all-features"]);
        process::run(command.args(arguments))
    };
    let kept = deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"])?;
    if !kept.success() {
        return Ok(Ended::with_status(kept));
    }
    // The list of advisories comes from another site, which not every network reaches.
    if !deny(&["fetch", "db"])?.success() {
        return Ok(Ended::passed("without advisories: the list could not be fetched"));
    }
    Ok(Ended::with_status(deny(&["check", "--hide-inclusion-graph", "--disable-fetch", "advisories"])?))
}
