//! The bill of materials: every crate that the programs of an image are made of, as SPDX 2.3.
//!
//! It follows what cargo resolved for the target, from the packages of the programs through its ordinary dependencies; what only
//! tests or build scripts need is not in the program. Features are those of the whole workspace, so that it may name a
//! crate too many, and never one too few.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::files::digest;
use super::layout::timestamp;
use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;

/// What cargo knows of the packages, for one target.
pub(super) fn metadata(checkout: &Checkout, target: &str) -> Result<Value, Failure> {
    let arguments = ["metadata", "--format-version", "1", "--all-features", "--filter-platform", target];
    let said = process::cargo(checkout, &arguments).output().map_err(|e| Failure::because("run cargo metadata", e))?;
    if !said.status.success() {
        return Err(Failure::because("run cargo metadata", String::from_utf8_lossy(&said.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&said.stdout).map_err(|e| Failure::because("read what cargo metadata says", e))
}

/// The bill of these programs, which were made at `created`, in seconds since 1970. It has the name of the first.
pub(super) fn of_binaries(metadata: &Value, binaries: &[&str], created: u64) -> Result<Vec<u8>, Failure> {
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let roots: BTreeSet<&str> =
        binaries.iter().map(|binary| package_of(&packages, binary)).collect::<Result<_, _>>()?;
    let edges: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).filter_map(|node| Some((node["id"].as_str()?, &node["deps"]))).collect();

    let mut relations = Vec::new();
    let (mut seen, mut open) = (roots.clone(), roots.iter().copied().collect::<Vec<_>>());
    while let Some(id) = open.pop() {
        for dependency in edges.get(id).into_iter().flat_map(|deps| list(deps)) {
            let Some(to) = dependency["pkg"].as_str() else { continue };
            // A kind of `null` is an ordinary one.
            if list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()) {
                relations.push((id, to));
                if seen.insert(to) {
                    open.push(to);
                }
            }
        }
    }
    relations.sort_unstable();
    relations.dedup();
    let crates: Vec<Value> = seen.iter().filter_map(|id| packages.get(id)).map(|package| entry(package)).collect();
    let described = roots.iter().filter_map(|id| packages.get(id)).map(|package| {
        json!({
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": reference(package),
        })
    });
    let mut relationships: Vec<Value> = described.collect();
    relationships.extend(relations.iter().filter_map(|(from, to)| {
        Some(json!({
            "spdxElementId": reference(packages.get(from)?),
            "relationshipType": "DEPENDS_ON",
            "relatedSpdxElement": reference(packages.get(to)?),
        }))
    }));
    // Unique to its content, as a namespace must be, and the same for the same content.
    let fingerprint = digest(format!("{crates:?}").as_bytes());
    let bill = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": binaries.first(),
        "documentNamespace": format!("urn:{fingerprint}"),
        "creationInfo": { "created": timestamp(created), "creators": ["Tool: cargo-xtask-image"] },
        "packages": crates,
        "relationships": relationships,
    });
    serde_json::to_vec_pretty(&bill).map_err(|e| Failure::because("write the bill of materials", e))
}

fn package_of<'a>(packages: &BTreeMap<&'a str, &'a Value>, binary: &str) -> Result<&'a str, Failure> {
    let makes = |package: &Value| {
        list(&package["targets"])
            .any(|target| target["name"] == binary && list(&target["kind"]).any(|kind| kind == "bin"))
    };
    let ours = packages.iter().find(|(_, package)| package["source"].is_null() && makes(package));
    ours.map(|(id, _)| *id)
        .ok_or_else(|| Failure::new(format!("no package of the workspace makes a program `{binary}`; see --bin")))
}

fn entry(package: &Value) -> Value {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let licence = text(package, "license");
    // Old crates write `MIT/Apache-2.0`.
    let licence = if licence.is_empty() { "NOASSERTION".to_owned() } else { licence.replace('/', " OR ") };
    json!({
        "SPDXID": reference(package),
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

fn reference(package: &Value) -> String {
    let plain = format!("{}-{}", text(package, "name"), text(package, "version"));
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    format!("SPDXRef-{}", plain.chars().map(allowed).collect::<String>())
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
