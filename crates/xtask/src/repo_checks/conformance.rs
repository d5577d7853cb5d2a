//! A table with a column `test` names tests that exist, so that a rule that is said to be kept is kept by something.
//!
//! A test is named as `crate::module::test`, in backticks: for tests beside the code by its module path, for those in
//! `tests/` by the path there. A row without a test is a gap: warned about, not wrong.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_extension("md") {
        for row in rows(text) {
            if row.tests.is_empty() {
                let gap = format!("no test for `{}`", row.rule);
                findings.push(Finding::warning(path, row.line, gap));
            }
            let missing = row.tests.iter().filter(|test| !exists(tree, test));
            findings.extend(missing.map(|test| {
                Finding::error(
                    path,
                    row.line,
                    format!("there is no test `{test}`; name it as in `crate::module::test`"),
                )
            }));
        }
    }
    findings
}

/// A row of a table that has a column `test`.
#[derive(Debug, Default)]
struct Row {
    line: usize,
    /// The text of the first cell.
    rule: String,
    tests: Vec<String>,
}

fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut column, mut cell, mut head) = (None, 0, String::new());
    let mut in_head = false;
    for (event, span) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::TableHead) => (column, cell, in_head) = (None, 0, true),
            Event::End(TagEnd::TableHead) => in_head = false,
            Event::Start(Tag::TableRow) => {
                cell = 0;
                if column.is_some() {
                    let line = 1 + text[..span.start].matches('\n').count();
                    rows.push(Row { line, ..Row::default() });
                }
            }
            Event::Start(Tag::TableCell) => head.clear(),
            Event::End(TagEnd::TableCell) => {
                if in_head && head == "test" {
                    column = Some(cell);
                }
                cell += 1;
            }
            Event::Text(part) | Event::Code(part) if in_head => head.push_str(&part),
            Event::Code(test) if column == Some(cell) => {
                if let Some(row) = rows.last_mut() {
                    row.tests.push(test.into_string());
                }
            }
            Event::Text(part) | Event::Code(part) if column.is_some() && cell == 0 => {
                if let Some(row) = rows.last_mut() {
                    row.rule.push_str(&part);
                }
            }
            Event::End(TagEnd::Table) => column = None,
            _ => {}
        }
    }
    rows
}

fn exists(tree: &Tree, test: &str) -> bool {
    let parts: Vec<&str> = test.split("::").collect();
    let [package, modules @ .., name] = parts.as_slice() else { return false };
    let Some(folder) = folder_of(tree, package) else { return false };
    // The longest module path that is a file; what is left are modules inside of it.
    (0..=modules.len()).rev().any(|split| {
        let (path, inline) = modules.split_at(split);
        files_of(&folder, path).iter().filter_map(|file| tree.text(file)).any(|text| has_test(text, inline, name))
    })
}

/// The folder of a crate that is written with underscores.
fn folder_of(tree: &Tree, package: &str) -> Option<String> {
    tree.texts().find_map(|(path, text)| {
        let folder = path.strip_suffix("/Cargo.toml")?;
        let named = |line: &str| {
            line.strip_prefix("name = ").is_some_and(|name| name.trim_matches('"').replace('-', "_") == package)
        };
        text.lines().take_while(|line| !line.starts_with("[dep")).any(named).then(|| folder.to_owned())
    })
}

/// The files that may hold a module.
fn files_of(folder: &str, modules: &[&str]) -> Vec<String> {
    if modules.is_empty() {
        return ["lib.rs", "main.rs"].map(|file| format!("{folder}/src/{file}")).into();
    }
    let path = modules.join("/");
    let mut files = Vec::new();
    for root in ["src", "tests"] {
        files.extend([".rs", "/mod.rs", "/main.rs"].map(|end| format!("{folder}/{root}/{path}{end}")));
    }
    files
}

/// Whether a file has the test, behind the opening of the modules that it stands in.
fn has_test(text: &str, modules: &[&str], name: &str) -> bool {
    let mut rest = text;
    for module in modules {
        let Some((_, behind)) = rest.split_once(&format!("mod {module} {{")) else { return false };
        rest = behind;
    }
    let lines: Vec<&str> = rest.lines().map(str::trim_start).collect();
    let is_function = |line: &str| {
        line.split_once("fn ")
            .is_some_and(|(_, rest)| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    };
    let marked = |at: usize| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        above.into_iter().any(|line| line.starts_with("#[") && line.contains("test"))
    };
    lines.iter().enumerate().any(|(at, line)| is_function(line) && marked(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "fn helper() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn in_the_file() {}\n}\n";
    const DEEP: &str = "proptest! {\n    #[test]\n    // Why.\n    #[ignore]\n    fn by_property(a in any()) {}\n}\n";

    fn found(table: &str) -> Vec<String> {
        let page =
            format!("# Rules\n\n| rule | test |\n|---|---|\n{table}\n\n| no | column |\n|---|---|\n| a | `gone` |\n");
        let tree = Tree::from([
            ("docs/rules.md", page.as_str()),
            ("crates/core/Cargo.toml", "[package]\nname = \"tide-core\"\n"),
            ("crates/core/src/lib.rs", LIB),
            ("crates/core/src/deep/mod.rs", ""),
            ("crates/core/src/deep/tests.rs", DEEP),
            ("crates/core/tests/it/broker.rs", "#[tokio::test(start_paused = true)]\nasync fn with_broker() {}\n"),
        ]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn tests_that_exist_pass_wherever_they_stand() {
        let table = "| one | `tide_core::tests::in_the_file` |\n\
            | two | `tide_core::deep::tests::by_property`, `tide_core::it::broker::with_broker` |";
        assert_eq!(found(table), [""; 0]);
    }

    #[test]
    fn tests_that_do_not_exist_are_named_with_their_line() {
        for gone in [
            "tide_core::tests::gone",
            "tide_core::helper",
            "other::tests::in_the_file",
            "in_the_file",
            "tide_core::deep::in_the_file",
        ] {
            let expected =
                format!("error: docs/rules.md:5: there is no test `{gone}`; name it as in `crate::module::test`");
            assert_eq!(found(&format!("| one | `{gone}` |")), [expected]);
        }
    }

    #[test]
    fn a_row_without_a_test_is_a_warning() {
        assert_eq!(found("| one `two` | |"), ["warning: docs/rules.md:5: no test for `one two`"]);
    }
}
