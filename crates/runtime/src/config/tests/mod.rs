//! Behaviour of the whole module: from a file and an environment to a checked tree or to readable problems.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(clippy::field_reassign_with_default, reason = "users outside of this crate can change a tree in no other way")]

mod docs;
mod load;
mod round_trip;
mod rules;
mod secrets;
mod sinks;

use super::{Config, ConfigErrors};

/// The problems, one per line.
fn lines(result: Result<Config, ConfigErrors>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

fn from_env<const N: usize>(variables: [(&str, &str); N]) -> Result<Config, ConfigErrors> {
    Config::loader().env(&variables).load()
}
