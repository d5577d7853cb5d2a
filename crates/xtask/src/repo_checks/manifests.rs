//! Every member inherits what the workspace fixes: all of `[workspace.package]`, the lints, and each dependency.

use toml::{Table, Value};

use super::{Finding, Tree};

const ROOT: &str = "Cargo.toml";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let root = match parse(tree, ROOT) {
        Ok(root) => root,
        Err(finding) => return vec![finding],
    };
    let Some(workspace) = root.get("workspace").and_then(Value::as_table) else {
        return vec![Finding::error(ROOT, None, "no [workspace]")];
    };
    let fixed: Vec<&str> = workspace
        .get("package")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::keys)
        .map(String::as_str)
        .collect();
    let mut findings = Vec::new();
    for pattern in workspace.get("members").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let members = members(tree, pattern);
        if members.is_empty() {
            findings.push(Finding::error(ROOT, None, format!("no manifest matches the member `{pattern}`")));
        }
        for path in members {
            match parse(tree, path) {
                Ok(manifest) => findings.extend(check_member(path, &manifest, &fixed)),
                Err(finding) => findings.push(finding),
            }
        }
    }
    findings
}

fn check_member(path: &str, manifest: &Table, fixed: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let package = manifest.get("package").and_then(Value::as_table);
    for key in fixed {
        if !package.and_then(|package| package.get(*key)).is_some_and(is_inherited) {
            findings.push(Finding::error(path, None, format!("write `{key}.workspace = true` in [package]")));
        }
    }
    if !manifest.get("lints").is_some_and(is_inherited) {
        findings.push(Finding::error(path, None, "write `workspace = true` in [lints]"));
    }
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    for table in [manifest].into_iter().chain(targets.filter_map(Value::as_table)) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, dependency) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                if !is_inherited(dependency) {
                    let way_out = format!("`{name}` in [{kind}]: put the version into the workspace and inherit it");
                    findings.push(Finding::error(path, None, way_out));
                }
            }
        }
    }
    findings
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// The manifests that a member pattern names: a folder, or `folder/*` for each folder in it.
fn members<'a>(tree: &'a Tree, pattern: &str) -> Vec<&'a str> {
    let named = |path: &str| {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else { return false };
        match pattern.strip_suffix("/*") {
            Some(parent) => folder.rsplit_once('/').is_some_and(|(above, _)| above == parent),
            None => folder == pattern,
        }
    };
    tree.texts().map(|(path, _)| path).filter(|path| named(path)).collect()
}

fn parse(tree: &Tree, path: &str) -> Result<Table, Finding> {
    let text = tree.text(path).ok_or_else(|| Finding::error(path, None, "not there"))?;
    text.parse().map_err(|e: toml::de::Error| Finding::error(path, None, e.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "
        [workspace]
        members = ['crates/*', 'benches']
        [workspace.package]
        version = '0.1.0'
        license = 'Apache-2.0'
    ";
    const GOOD: &str = "
        [package]
        name = 'good'
        version.workspace = true
        license.workspace = true
        [dependencies]
        bytes.workspace = true
        [target.'cfg(unix)'.dev-dependencies]
        serde = { workspace = true, features = ['derive'] }
        [lints]
        workspace = true
    ";

    fn texts(member: &str) -> Vec<String> {
        let tree =
            Tree::from([("Cargo.toml", WORKSPACE), ("crates/a/Cargo.toml", member), ("benches/Cargo.toml", GOOD)]);
        check(&tree).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn a_member_that_inherits_everything_passes() {
        assert_eq!(texts(GOOD), [""; 0]);
    }

    #[test]
    fn a_field_of_the_package_that_is_not_inherited_is_named() {
        let found = texts(&GOOD.replace("license.workspace = true", "license = 'Apache-2.0'"));
        assert_eq!(found, ["write `license.workspace = true` in [package]"]);
    }

    #[test]
    fn missing_lints_are_named() {
        let found = texts(&GOOD.replace("[lints]", "[features]").replace("workspace = true\n    ", "a = []\n"));
        assert!(found.contains(&"write `workspace = true` in [lints]".to_owned()), "{found:?}");
    }

    #[test]
    fn a_dependency_with_a_version_or_path_of_its_own_is_named() {
        for own in ["bytes = '1'", "bytes = { version = '1' }", "bytes = { path = '../b' }"] {
            let found = texts(&GOOD.replace("bytes.workspace = true", own));
            assert_eq!(found, ["`bytes` in [dependencies]: put the version into the workspace and inherit it"]);
        }
        let found = texts(&GOOD.replace("serde = { workspace = true, ", "serde = { version = '1', "));
        assert_eq!(found, ["`serde` in [dev-dependencies]: put the version into the workspace and inherit it"]);
    }

    #[test]
    fn a_manifest_deeper_than_a_member_is_none_of_ours() {
        let tree = Tree::from([
            ("Cargo.toml", WORKSPACE),
            ("crates/a/Cargo.toml", GOOD),
            ("crates/a/templates/Cargo.toml", ""),
            ("benches/Cargo.toml", GOOD),
        ]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn broken_and_missing_manifests_are_named() {
        assert_eq!(texts("[package").len(), 1);
        assert_eq!(check(&Tree::from([("Cargo.toml", WORKSPACE)])).len(), 2);
        assert_eq!(check(&Tree::default()).len(), 1);
    }
}
