//! Where the values of a loaded configuration were given, so that problems that are found later still say it.
//!
//! Invariant: a place is named only for a value that nobody has changed since it was loaded. What was read from is no part
//! of what a configuration says: two of them are equal whatever it is, and it never shows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::{Table, Value};

use super::source::Places;
use super::{Config, ConfigProblem, Loader, Secret};

/// What a configuration was loaded from; nothing for one that code has made.
#[derive(Clone, Default)]
pub(crate) struct Provenance(Option<Arc<Loaded>>);

struct Loaded {
    config: Config,
    places: Places,
    file: Option<Arc<File>>,
}

/// The file that a configuration was loaded from.
pub(super) struct File {
    /// The absolute path.
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// What read it, with the variables of that time.
    pub(super) loader: Loader,
}

impl File {
    pub(super) fn new(path: &Path, text: String, loader: Loader) -> Self {
        // A change of the working directory must not change which file is meant. Links stay as they are: it is a link
        // that changes when Kubernetes renews a mounted file.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path, text, loader }
    }
}

impl Provenance {
    /// Notes in a configuration that was just loaded where its values were found.
    pub(super) fn note(config: &mut Config, places: Places, file: Option<File>) {
        let loaded = Loaded { config: config.clone(), places, file: file.map(Arc::new) };
        config.provenance = Self(Some(Arc::new(loaded)));
    }

    pub(super) fn file(&self) -> Option<&Arc<File>> {
        self.0.as_ref()?.file.as_ref()
    }

    /// The configuration as it was loaded.
    pub(super) fn loaded(&self) -> Option<&Config> {
        self.0.as_ref().map(|loaded| &loaded.config)
    }

    /// Adds to problems of `config`, which was loaded so and may have been changed since, where the values were given
    /// that nobody has changed.
    pub(super) fn locate(&self, config: &Config, problems: Vec<ConfigProblem>) -> Vec<ConfigProblem> {
        let Some(loaded) = self.0.as_ref().filter(|_| !problems.is_empty()) else { return problems };
        let [then, now] = [&loaded.config, config].map(flat);
        let place = |key: &str| {
            let value = |table: &[(String, Value)]| table.iter().find(|(name, _)| name == key).map(|(_, v)| v.clone());
            loaded.places.of(key).filter(|_| value(&then) == value(&now)).cloned()
        };
        let located = problems.into_iter().map(|problem| {
            let origin = place(problem.key());
            problem.at(origin)
        });
        located.collect()
    }
}

impl PartialEq for Provenance {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may hold passwords.
        f.debug_tuple("Provenance").field(&self.file().map(|file| &file.path)).finish()
    }
}

/// The values by their keys.
pub(super) fn flat(config: &Config) -> Vec<(String, Value)> {
    fn walk(prefix: &str, table: Table, into: &mut Vec<(String, Value)>) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                // One value, whatever its form.
                Value::Table(table) if key != "instances" => walk(&key, table, into),
                value => into.push((key, value)),
            }
        }
    }
    let mut values = Vec::new();
    if let Ok(table) = Table::try_from(config) {
        walk("", table, &mut values);
    }
    for (key, secret) in secrets(config) {
        if let (Some(secret), Some((_, value))) = (secret, values.iter_mut().find(|(name, _)| name == key)) {
            *value = Value::String(secret.expose().to_owned());
        }
    }
    values
}

/// What hides its text, which is all that comparing has to go by.
pub(super) fn secrets(config: &Config) -> [(&'static str, Option<&Secret>); 2] {
    [("mqtt.password", config.mqtt.password.as_ref()), ("platform.token", config.platform.token.as_ref())]
}
