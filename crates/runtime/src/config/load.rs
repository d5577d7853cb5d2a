//! Loading: picks the sources, reads them in order, and reports everything that is wrong with them at once.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::keys::{PREFIX, Section};
use super::provenance::{File, Provenance};
use super::source::Sources;
use super::{Config, ConfigErrors, ConfigProblem, Lookup, Origin, reference, validate};

/// The variable that names the file.
const FILE_VARIABLE: &str = "TIDEMILL_CONFIG";

/// Loads a [`Config`] from chosen sources: the defaults, overridden by a file, overridden by the environment.
///
/// It reads nothing that it was not told to read.
#[derive(Clone, Default)]
#[must_use]
pub struct Loader {
    file: Option<PathBuf>,
    default_file: Option<PathBuf>,
    text: Option<String>,
    variables: Vec<(String, OsString)>,
    ignored: BTreeSet<String>,
}

impl Loader {
    /// Reads this file, which must exist. It takes the place of the one that `TIDEMILL_CONFIG` names.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Reads this file if it exists and no other is named.
    pub fn default_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.default_file = Some(path.into());
        self
    }

    /// Reads this TOML text in the place of any file.
    pub fn text(mut self, toml: impl Into<String>) -> Self {
        self.text = Some(toml.into());
        self
    }

    /// Reads these environment variables: `TIDEMILL_CONFIG`, which names the file, and `TIDEMILL_` followed by a key,
    /// as in `TIDEMILL_MQTT__KEEP_ALIVE`.
    pub fn env(mut self, lookup: &impl Lookup) -> Self {
        self.variables = lookup.variables(PREFIX);
        self
    }

    /// Leaves a variable that starts with `TIDEMILL_` to others instead of reporting it as unknown.
    pub fn ignore_variable(mut self, name: impl Into<String>) -> Self {
        self.ignored.insert(name.into());
        self
    }

    /// Reads everything. Blocks for as long as the file system takes.
    ///
    /// Rules about one key are checked here, those about several keys in [`Config::validate`]: the caller's code may
    /// still complete what a file began.
    ///
    /// # Errors
    /// Every unreadable source, syntax error, unknown key and bad value, all at once.
    pub fn load(mut self) -> Result<Config, ConfigErrors> {
        self.variables.retain(|(name, _)| !self.ignored.contains(name));
        self.variables.sort();
        let read = self.read_file();
        self.variables.retain(|(name, _)| name != FILE_VARIABLE);
        let (text, path) = match read {
            Ok(Some((text, Some(path)))) => (text, path),
            Ok(Some((text, None))) => return self.merge(Ok(Some((&text, None))), None),
            Ok(None) => return self.merge(Ok(None), None),
            Err(problem) => return self.merge(Err(problem), None),
        };
        let file = File::new(&path, text.clone(), self.clone());
        self.merge(Ok(Some((&text, Some(&path)))), Some(file))
    }

    /// Reads new content of a file that was loaded before, with the variables of that time.
    pub(super) fn load_again(&self, text: &str, path: &Path) -> Result<Config, ConfigErrors> {
        let file = File::new(path, text.to_owned(), self.clone());
        self.merge(Ok(Some((text, Some(path)))), Some(file))
    }

    fn merge(
        &self,
        toml: Result<Option<(&str, Option<&Path>)>, ConfigProblem>,
        file: Option<File>,
    ) -> Result<Config, ConfigErrors> {
        let keys = Section::from_schema(&reference::schema());
        let mut sources = Sources::new(&keys);
        match toml {
            Ok(Some((text, path))) => sources.add_toml(text, path),
            Ok(None) => {}
            Err(problem) => sources.problems.push(problem),
        }
        sources.add_variables(&self.variables);
        let mut config = sources.config();
        // A value that does not fit its key was replaced by the default; a rule about that says nothing.
        let broken = validate::single_keys(&config);
        let broken = broken.into_iter().filter(|rule| sources.problems.iter().all(|misfit| misfit.key() != rule.key()));
        let broken = broken.map(|problem| {
            let origin = sources.places.of(problem.key()).cloned();
            problem.at(origin)
        });
        let problems = broken.collect::<Vec<_>>().into_iter().chain(sources.problems).collect();
        ConfigErrors::check(problems)?;
        Provenance::note(&mut config, sources.places, file);
        Ok(config)
    }

    fn read_file(&self) -> Result<Option<(String, Option<PathBuf>)>, ConfigProblem> {
        if let Some(text) = &self.text {
            return Ok(Some((text.clone(), None)));
        }
        let named = self.variables.iter().find(|(name, _)| name == FILE_VARIABLE).map(|(_, value)| value);
        let (key, path) = match (&self.file, named, &self.default_file) {
            (Some(path), _, _) => ("configuration file", path.clone()),
            (None, Some(path), _) if path.is_empty() => {
                let fix = "name a file or unset the variable";
                return Err(ConfigProblem::new(FILE_VARIABLE, "it is empty", fix).at(from_variable()));
            }
            (None, Some(path), _) => (FILE_VARIABLE, PathBuf::from(path)),
            (None, None, Some(path)) => match fs::read_to_string(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                result => return found("configuration file", path, result),
            },
            (None, None, None) => return Ok(None),
        };
        found(key, &path, fs::read_to_string(&path))
    }
}

fn from_variable() -> Option<Origin> {
    Some(Origin::Variable(FILE_VARIABLE.to_owned()))
}

fn found(
    key: &str,
    path: &Path,
    result: io::Result<String>,
) -> Result<Option<(String, Option<PathBuf>)>, ConfigProblem> {
    match result {
        Ok(text) => Ok(Some((text, Some(path.to_owned())))),
        Err(error) => Err(ConfigProblem::new(
            key,
            format!("{} cannot be read, {error}", path.display()),
            "name a file that this process may read",
        )),
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of variables and the text may hold passwords.
        let names: Vec<_> = self.variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("Loader")
            .field("file", &self.file)
            .field("default_file", &self.default_file)
            .field("text", &self.text.is_some())
            .field("variables", &names)
            .field("ignored", &self.ignored)
            .finish()
    }
}
