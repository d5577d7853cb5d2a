//! Every Rust file opens with `//!`: what it owns and which invariant it keeps.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("rs")
        .filter(|(_, text)| !opens_with_docs(text))
        .map(|(path, _)| Finding::error(path, 1, "open the file with `//!`: what it owns and what it guarantees"))
        .collect()
}

/// Attributes of the whole file may stand above.
fn opens_with_docs(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#!"))
        .is_some_and(|line| line.starts_with("//!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_docs_is_named() {
        let tree = Tree::from([("a.rs", "fn main() {}\n"), ("b.rs", ""), ("c.rs", "//! What.\n"), ("d.md", "")]);
        let named: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(named, ["a.rs", "b.rs"]);
    }

    #[test]
    fn attributes_may_stand_above_the_docs() {
        assert!(opens_with_docs("#![allow(missing_docs)]\n\n//! What.\n"));
        assert!(!opens_with_docs("// Not docs.\n//! Docs.\n"));
    }
}
