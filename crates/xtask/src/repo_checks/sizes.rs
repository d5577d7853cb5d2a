//! A Rust file is about one idea and stays short enough to be read at once.

use super::{Finding, Tree};

const WARN_ABOVE: usize = 500;
const FAIL_ABOVE: usize = 600;

/// Generated files and tables, with the reason why they may be longer.
const EXEMPT: &[(&str, &str)] = &[];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    check_but(tree, EXEMPT)
}

fn check_but(tree: &Tree, exempt: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = tree
        .with_extension("rs")
        .filter(|(path, _)| !exempt.iter().any(|(listed, _)| listed == path))
        .filter_map(|(path, text)| {
            let lines = text.lines().count();
            let text = format!("{lines} lines; split it by idea to stay below {WARN_ABOVE}");
            if lines > FAIL_ABOVE {
                Some(Finding::error(path, None, text))
            } else {
                (lines > WARN_ABOVE).then(|| Finding::warning(path, None, text))
            }
        })
        .collect();
    let gone = exempt.iter().filter(|(path, _)| !tree.has(path));
    findings.extend(gone.map(|(path, _)| Finding::error(path, None, "exempt from the size rule, but not there")));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo_checks::Severity;

    #[test]
    fn long_files_are_warned_about_and_longer_ones_fail() {
        let (short, long, longer) = ("x\n".repeat(500), "x\n".repeat(600), "x\n".repeat(601));
        let tree = Tree::from([("a.rs", short.as_str()), ("b.rs", &long), ("c.rs", &longer), ("d.md", &longer)]);
        let found: Vec<_> = check_but(&tree, &[]).into_iter().map(|f| (f.path, f.severity)).collect();
        assert_eq!(found, [("b.rs".to_owned(), Severity::Warning), ("c.rs".to_owned(), Severity::Error)]);
    }

    #[test]
    fn listed_files_may_be_long_and_must_exist() {
        let longer = "x\n".repeat(601);
        let tree = Tree::from([("table.rs", longer.as_str())]);
        assert_eq!(check_but(&tree, &[("table.rs", "a table")]), []);
        assert_eq!(check_but(&tree, &[("table.rs", "a table"), ("gone.rs", "a table")]).len(), 1);
    }
}
