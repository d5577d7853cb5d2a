//! Every feature of the sinks builds by itself: what one sink alone does not use is not built with it.
//!
//! With all features at once, as the other steps build, nothing is unused.

use std::fs;

use toml::{Table, Value};

use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;

use super::Ended;

const MANIFEST: &str = "crates/sinks/Cargo.toml";

pub(super) fn run(checkout: &Checkout) -> Result<Ended, Failure> {
    let text = fs::read_to_string(checkout.root().join(MANIFEST))
        .map_err(|error| Failure::because(format!("read {MANIFEST}"), error))?;
    let features = features(&text).map_err(|error| Failure::because(format!("read {MANIFEST}"), error))?;
    for feature in &features {
        let arguments =
            ["clippy", "--quiet", "-p", "tidemill-sinks", "--no-default-features", "--features", feature, "--"];
        let status = process::run(process::cargo(checkout, &arguments).args(["-D", "warnings"]))?;
        if !status.success() {
            return Ok(Ended::failed(format!("with the feature {feature} alone: {status}")));
        }
    }
    Ok(Ended::passed(format!("{} features", features.len())))
}

/// The features of a manifest; `default` stands for none where nothing is on by default.
fn features(manifest: &str) -> Result<Vec<String>, toml::de::Error> {
    let manifest: Table = toml::from_str(manifest)?;
    let features = manifest.get("features").and_then(Value::as_table);
    Ok(features.into_iter().flat_map(Table::keys).cloned().collect())
}

#[cfg(test)]
#[test]
fn every_feature_of_a_manifest_is_built() {
    let manifest = "[package]\nname = 'a'\n[features]\ndefault = []\nb = ['c']\nc = ['dep:d']\n";
    assert_eq!(features(manifest).unwrap(), ["b", "c", "default"]);
    assert!(features("[package]\nname = 'a'\n").unwrap().is_empty());
}
