//! The repository's own rules, see [`repo_checks`].

use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::repo_checks::{self, Severity, Tree};

use super::Ended;

pub(super) fn run(checkout: &Checkout) -> Result<Ended, Failure> {
    let tree = Tree::read(checkout)?;
    let findings = repo_checks::check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    Ok(match (errors, warnings) {
        (0, 0) => Ended::passed(""),
        (0, _) => Ended::passed(format!("warnings: {warnings}")),
        _ => Ended::failed(format!("errors: {errors}, warnings: {warnings}")),
    })
}
