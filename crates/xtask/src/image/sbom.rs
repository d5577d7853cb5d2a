//! The bill of materials: every crate that the programs of an image are made of, as SPDX 2.3.
//!
//! It follows what cargo resolves for the target and for these programs alone, with the features that they are built with,
//! through ordinary dependencies; what only tests or build scripts need is not in the program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::files::digest;
use super::layout::timestamp;
use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;

/// A crate: name and version.
pub(super) type Crate = (String, String);

/// What programs are built from.
#[derive(Debug)]
pub(super) struct Sources {
    /// What cargo knows of every package in the lock file.
    known: BTreeMap<Crate, Value>,
    /// The packages that make the programs, each once, the first program's first.
    roots: Vec<Crate>,
    tree: Tree,
}

/// Crates, and which of them depends on which.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) crates: BTreeSet<Crate>,
    pub(super) relations: BTreeSet<(Crate, Crate)>,
}

impl Sources {
    /// Those of some programs of the workspace, for a target.
    pub(super) fn of(checkout: &Checkout, target: &str, binaries: &[&str]) -> Result<Self, Failure> {
        let said = said(checkout, &["metadata", "--format-version", "1", "--filter-platform", target])?;
        let metadata: Value =
            serde_json::from_slice(&said).map_err(|e| Failure::because("read what cargo metadata says", e))?;
        let mut roots: Vec<Crate> = Vec::new();
        for binary in binaries {
            let package = package_of(&metadata, binary)?;
            if !roots.contains(&package) {
                roots.push(package);
            }
        }
        let mut arguments =
            vec!["tree", "--edges", "normal", "--target", target, "--prefix", "depth", "--format", " {p}"];
        for (name, _) in &roots {
            arguments.extend(["--package", name]);
        }
        let tree = Tree::read(&String::from_utf8_lossy(&self::said(checkout, &arguments)?))?;
        let known = list(&metadata["packages"]).map(|package| (name_of(package), package.clone())).collect();
        Ok(Self { known, roots, tree })
    }

    /// The packages that make the programs, by name.
    pub(super) fn packages(&self) -> Vec<&str> {
        self.roots.iter().map(|(name, _)| &**name).collect()
    }

    /// The bill of the programs, which were made at `created`, in seconds since 1970. It has the name of the first.
    pub(super) fn bill(&self, created: u64) -> Result<Vec<u8>, Failure> {
        let crates: Vec<Value> = self.tree.crates.iter().map(|one| self.entry(one)).collect();
        let described = self.roots.iter().map(|root| relation("SPDXRef-DOCUMENT", "DESCRIBES", &reference(root)));
        let depends = self.tree.relations.iter().map(|(from, to)| (reference(from), reference(to)));
        let depends = depends.map(|(from, to)| relation(&from, "DEPENDS_ON", &to));
        let relationships: Vec<Value> = described.chain(depends).collect();
        // Unique to its content, as a namespace must be, and the same for the same content.
        let fingerprint = digest(format!("{crates:?}").as_bytes());
        let bill = json!({
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": self.packages().first(),
            "documentNamespace": format!("urn:{fingerprint}"),
            "creationInfo": { "created": timestamp(created), "creators": ["Tool: cargo-xtask-image"] },
            "packages": crates,
            "relationships": relationships,
        });
        serde_json::to_vec_pretty(&bill).map_err(|e| Failure::because("write the bill of materials", e))
    }

    fn entry(&self, one: &Crate) -> Value {
        let (name, version) = one;
        let licence = self.known.get(one).map(|package| text(package, "license")).unwrap_or_default();
        // Old crates write `MIT/Apache-2.0`.
        let licence = if licence.is_empty() { "NOASSERTION".to_owned() } else { licence.replace('/', " OR ") };
        json!({
            "SPDXID": reference(one),
            "name": name,
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": licence,
            "copyrightText": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": format!("pkg:cargo/{name}@{version}"),
            }],
        })
    }
}

impl Tree {
    /// Reads what `cargo tree` says: in each line the depth, the crate, and what does not matter here. What stands there a
    /// second time comes without its dependencies.
    pub(super) fn read(said: &str) -> Result<Self, Failure> {
        let mut tree = Self::default();
        let mut above: Vec<Crate> = Vec::new();
        for line in said.lines().filter(|line| !line.is_empty()) {
            let wrong = || Failure::new(format!("cargo tree says what is not understood: {line:?}"));
            let mut words = line.split_whitespace();
            let depth: usize = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
            let name = words.next().ok_or_else(wrong)?;
            let version = words.next().and_then(|word| word.strip_prefix('v')).ok_or_else(wrong)?;
            let one = (name.to_owned(), version.to_owned());
            above.truncate(depth);
            if let Some(parent) = above.last() {
                tree.relations.insert((parent.clone(), one.clone()));
            }
            above.push(one.clone());
            tree.crates.insert(one);
        }
        Ok(tree)
    }
}

fn said(checkout: &Checkout, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
    let what = format!("run cargo {}", arguments.first().copied().unwrap_or_default());
    let said = process::cargo(checkout, arguments).output().map_err(|e| Failure::because(&*what, e))?;
    if !said.status.success() {
        return Err(Failure::because(what, String::from_utf8_lossy(&said.stderr).trim().to_owned()));
    }
    Ok(said.stdout)
}

fn package_of(metadata: &Value, binary: &str) -> Result<Crate, Failure> {
    let makes = |package: &&Value| {
        package["source"].is_null()
            && list(&package["targets"])
                .any(|target| target["name"] == binary && list(&target["kind"]).any(|kind| kind == "bin"))
    };
    let ours = list(&metadata["packages"]).find(makes).map(name_of);
    ours.ok_or_else(|| Failure::new(format!("no package of the workspace makes a program `{binary}`; see --bin")))
}

fn relation(from: &str, what: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": what, "relatedSpdxElement": to })
}

fn reference((name, version): &Crate) -> String {
    let plain = format!("{name}-{version}");
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    format!("SPDXRef-{}", plain.chars().map(allowed).collect::<String>())
}

fn name_of(package: &Value) -> Crate {
    (text(package, "name").to_owned(), text(package, "version").to_owned())
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
