//! Where environment variables come from. Only [`ProcessEnv`] touches the process.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// A set of environment variables, so that tests need not touch the process.
pub trait Lookup {
    /// All variables whose names start with `prefix`, in any order. Does not block.
    fn variables(&self, prefix: &str) -> Vec<(String, OsString)>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Lookup for ProcessEnv {
    fn variables(&self, prefix: &str) -> Vec<(String, OsString)> {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect()
    }
}

impl Lookup for BTreeMap<String, String> {
    fn variables(&self, prefix: &str) -> Vec<(String, OsString)> {
        self.iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.clone(), value.into()))
            .collect()
    }
}

impl<const N: usize> Lookup for [(&str, &str); N] {
    fn variables(&self, prefix: &str) -> Vec<(String, OsString)> {
        self.iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, value)| ((*name).to_owned(), value.into()))
            .collect()
    }
}
