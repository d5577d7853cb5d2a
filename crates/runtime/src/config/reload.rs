//! A configuration file that changes while its worker runs: noticing it, and telling what can be applied from what
//! takes effect at the next start.
//!
//! INVARIANT: what the code of the worker has set stays set; a file that is wrong changes nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::provenance::{File, flat};
use super::units::{self, DurationText};
use super::{Config, ConfigErrors, ConfigProblem, ElasticConfig};

/// What happens when the configuration file changes while the worker runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReloadConfig {
    /// How often the file is looked at. `instances` and `[elastic]` are applied at once, SIGHUP asks for a look out of
    /// turn, every other change takes effect at the next start and is logged. So is one of the files that are read at the
    /// start alone: `admin.token_file` and those of `[mqtt.tls]`. `0s`: nothing is ever looked at again.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub every: Duration,
}

impl Default for ReloadConfig {
    fn default() -> Self {
        // Reading a small file costs nothing, and whoever changed it is still looking.
        Self { every: Duration::from_secs(5) }
    }
}

/// What a change of the file means for the running worker.
#[derive(Debug)]
pub(crate) struct Change {
    /// The configuration that now holds.
    pub(crate) config: Config,
    /// Keys that were applied.
    pub(crate) applied: Vec<String>,
    /// Keys that take effect at the next start.
    pub(crate) at_next_start: Vec<String>,
    /// Keys that the code of the worker has set: the file does not change them.
    pub(crate) overridden: Vec<String>,
}

/// What stands in the file, and in those that it names and that are read at the start alone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// `None` when it cannot be read.
    text: Option<String>,
    /// The hashes of the others, by their keys.
    named: Vec<Hashed>,
}

/// The key that names a file, and the hash of what stands there: `None` when it cannot be read.
type Hashed = (&'static str, Option<[u8; 32]>);

impl Content {
    fn read(path: &Path, named: &[(&'static str, PathBuf)]) -> Self {
        let hash = |path: &PathBuf| std::fs::read(path).ok().map(|bytes| Sha256::digest(bytes).into());
        Self {
            text: std::fs::read_to_string(path).ok(),
            named: named.iter().map(|(key, path)| (*key, hash(path))).collect(),
        }
    }

    /// The hashes of the named files, where one cannot be read the one that was known.
    fn known_after(&self, before: &[Hashed]) -> Vec<Hashed> {
        let now = |key: &str| self.named.iter().find(|(other, _)| *other == key).and_then(|(_, hash)| *hash);
        before.iter().map(|(key, then)| (*key, now(key).or(*then))).collect()
    }
}

/// The files that are read once, when the worker starts. Passwords and tokens of brokers are read on every connect.
fn read_once(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let tls = &config.mqtt.tls;
    let token = config.admin.token_file.as_ref().filter(|_| config.admin.enabled);
    let named = [
        ("admin.token_file", token),
        ("mqtt.tls.ca_file", tls.ca_file.as_ref()),
        ("mqtt.tls.cert_file", tls.cert_file.as_ref()),
        ("mqtt.tls.key_file", tls.key_file.as_ref()),
    ];
    named.into_iter().filter_map(|(key, path)| Some((key, path?.clone()))).collect()
}

/// Watches the file of a configuration.
pub(crate) struct FileWatch {
    file: Arc<File>,
    named: Vec<(&'static str, PathBuf)>,
    /// What was looked at last, whether it was right or wrong.
    seen: Content,
    /// The named files when they were last readable: one that is away for a moment has not changed.
    known: Vec<Hashed>,
    /// What the file said when it was last right.
    loaded: Config,
    /// What the worker runs with.
    running: Config,
    check: fn(&Config) -> Vec<ConfigProblem>,
}

impl fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWatch").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl FileWatch {
    /// `None` when the configuration was not read from a file. Blocks for as long as it takes to read those that it names.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let file = Arc::clone(config.provenance.file()?);
        let loaded = config.provenance.loaded()?.clone();
        let named = read_once(config);
        let seen = Content { text: Some(file.text.clone()), ..Content::read(&file.path, &named) };
        let known = seen.named.clone();
        Some(Self { file, named, seen, known, loaded, running: config.clone(), check: |_| Vec::new() })
    }

    /// Refuses also what `check` finds wrong with the configuration that would then hold.
    pub(crate) fn with_check(self, check: fn(&Config) -> Vec<ConfigProblem>) -> Self {
        Self { check, ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Reads the file, and those that are named in it. Blocks for as long as the file system takes.
    pub(crate) fn reading(&self) -> impl FnOnce() -> Content + Send + 'static {
        let (file, named) = (Arc::clone(&self.file), self.named.clone());
        move || Content::read(&file.path, &named)
    }

    /// Whether this content was not looked at yet.
    pub(crate) fn is_new(&self, content: &Content) -> bool {
        self.seen != *content
    }

    /// Takes in new content: `None` when nothing that counts has changed. Blocks for as long as it takes to look at the
    /// files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it; the worker goes on with what it has.
    pub(crate) fn take(&mut self, content: Content) -> Result<Option<Change>, ConfigErrors> {
        self.seen = content;
        let Some(text) = &self.seen.text else {
            let why = format!("{} cannot be read any more", self.path().display());
            return Err(ConfigProblem::new("configuration file", why, "put it back").into());
        };
        let loaded = self.file.loader.load_again(text, self.path())?;
        let mut change = self.compare(&loaded);
        let known = self.seen.known_after(&self.known);
        let renewed = known.iter().filter(|file| !self.known.contains(file)).map(|(key, _)| (*key).to_owned());
        change.at_next_start.extend(renewed.filter(|key| !change.at_next_start.contains(key)).collect::<Vec<_>>());
        // What it was loaded from first says nothing of places in this text.
        change.config.provenance.clone_from(&loaded.provenance);
        change.config.validate()?;
        change.config.check_files()?;
        ConfigErrors::check(change.config.locate((self.check)(&change.config)))?;
        self.known = known;
        self.loaded = loaded;
        self.running = change.config.clone();
        let silent = change.applied.is_empty() && change.at_next_start.is_empty() && change.overridden.is_empty();
        Ok((!silent).then_some(change))
    }

    fn compare(&self, loaded: &Config) -> Change {
        let [before, after, running] = [&self.loaded, loaded, &self.running].map(flat);
        let mut change = Change {
            config: self.running.clone(),
            applied: Vec::new(),
            at_next_start: Vec::new(),
            overridden: Vec::new(),
        };
        let mut keys: Vec<&String> = before.iter().chain(&after).map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        let value = |table: &[(String, Value)], key: &str| {
            table.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
        };
        for key in keys {
            if value(&before, key) == value(&after, key) {
                continue;
            }
            if value(&before, key) != value(&running, key) {
                change.overridden.push(key.clone());
            } else if key == "instances" || key.starts_with("elastic.") {
                change.applied.push(key.clone());
            } else {
                change.at_next_start.push(key.clone());
            }
        }
        if change.applied.iter().any(|key| key == "instances") {
            change.config.instances = loaded.instances;
        }
        if let Some(elastic) = with_keys(&self.running.elastic, &loaded.elastic, &change.applied) {
            change.config.elastic = elastic;
        }
        change
    }
}

/// The settings with those of the given keys taken from others.
fn with_keys(settings: &ElasticConfig, others: &ElasticConfig, keys: &[String]) -> Option<ElasticConfig> {
    let mut table = Table::try_from(settings).ok()?;
    let mut others = Table::try_from(others).ok()?;
    for key in keys.iter().filter_map(|key| key.strip_prefix("elastic.")) {
        table.insert(key.to_owned(), others.remove(key)?);
    }
    table.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::super::Instances;
    use super::super::provenance::secrets;
    use super::*;

    struct Mill {
        _directory: tempfile::TempDir,
        path: PathBuf,
    }

    fn file(text: &str) -> Mill {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mill.toml");
        std::fs::write(&path, text).unwrap();
        Mill { _directory: directory, path }
    }

    fn text_of(text: &str) -> Content {
        Content { text: Some(text.to_owned()), named: Vec::new() }
    }

    fn load(file: &Mill) -> Config {
        Config::loader().file(&file.path).env(&[("TIDEMILL_MQTT__WINDOW", "7")]).load().unwrap()
    }

    #[test]
    fn instances_are_applied_and_other_keys_are_named_for_the_next_start() {
        let file = file("instances = 2\n[group]\nname = 'g'\n[mqtt]\npassword = 'a'\nkeep_alive = '30s'");
        let mut watch = FileWatch::new(&load(&file)).unwrap();
        let text = "instances = { min = 1, max = 4 }\n[group]\nname = 'h'\n[mqtt]\npassword = 'b'\nkeep_alive = '30s'\n\
                    window = 9\n[elastic]\ngrow_at = 0.9";
        let change = watch.take(text_of(text)).unwrap().unwrap();
        assert_eq!(change.config.instances, Instances::Elastic { min: 1, max: 4 });
        assert_eq!((&*change.config.group.name.unwrap(), change.config.mqtt.window), ("g", 7));
        assert_eq!(change.applied, ["elastic.grow_at", "instances"]);
        assert_eq!(change.at_next_start, ["group.name", "mqtt.password"], "the variable still overrides the window");
        assert!(!watch.is_new(&text_of(text)));
        assert!(
            watch.take(text_of(&format!("{text} # no more"))).unwrap().is_none(),
            "nothing that counts has changed"
        );
    }

    #[test]
    fn a_file_that_is_wrong_changes_nothing_and_all_its_problems_are_told() {
        let file = file("instances = 2\n[group]\nname = 'g'");
        let mut watch = FileWatch::new(&load(&file)).unwrap();
        let errors = watch.take(text_of("instances = 'x'\n[grup]\nname = 'g'")).unwrap_err();
        assert_eq!(errors.problems().len(), 2, "{errors}");
        assert!(errors.to_string().contains("mill.toml:1"), "{errors}");
        let errors = watch.take(text_of("instances = 2000\n[group]\nname = 'g'")).unwrap_err();
        assert!(errors.to_string().contains("1 to 1024"), "{errors}");
        let errors = watch.take(text_of("instances = 2\n\n[elastic]\ngrow_at = 0.3")).unwrap_err().to_string();
        assert!(errors.contains("mill.toml:"), "the line of what was looked at last: {errors}");
        assert!(watch.take(Content { text: None, named: Vec::new() }).is_err());
        assert!(watch.take(text_of("instances = 2\n[group]\nname = 'g'")).unwrap().is_none());
        let change = watch.take(text_of("instances = 3\n[group]\nname = 'g'")).unwrap().unwrap();
        assert_eq!(change.config.instances, 3);
    }

    #[test]
    fn what_the_code_has_set_stays_set_and_completes_the_file() {
        let file = file("instances = 1");
        let mut config = load(&file);
        config.group.name = Some("from code".to_owned());
        let mut watch = FileWatch::new(&config).unwrap();
        let change = watch.take(text_of("instances = 3\n[group]\nname = 'g'")).unwrap().unwrap();
        assert_eq!((change.applied, change.overridden), (vec!["instances".to_owned()], vec!["group.name".to_owned()]));
        assert_eq!(change.config.group.name.as_deref(), Some("from code"));

        config.instances = 5.into();
        let mut watch = FileWatch::new(&config).unwrap();
        let change = watch.take(text_of("instances = 3")).unwrap().unwrap();
        assert_eq!((change.config.instances, change.overridden), (Instances::Fixed(5), vec!["instances".to_owned()]));
    }

    #[test]
    fn what_the_code_has_set_of_a_section_stays_set_when_the_file_changes_the_rest_of_it() {
        let file = file("instances = 1\n[elastic]\ngrow_at = 0.7");
        let mut config = load(&file);
        config.elastic.cool_down = Duration::from_secs(99);
        let mut watch = FileWatch::new(&config).unwrap();
        let text = "instances = 1\n[elastic]\ngrow_at = 0.9\ncool_down = '1s'";
        let change = watch.take(text_of(text)).unwrap().unwrap();
        let elastic = &change.config.elastic;
        assert_eq!((elastic.grow_at.to_bits(), elastic.cool_down), (0.9_f64.to_bits(), Duration::from_secs(99)));
        assert_eq!(
            (change.applied, change.overridden),
            (vec!["elastic.grow_at".into()], vec!["elastic.cool_down".into()])
        );
    }

    #[test]
    fn every_secret_that_changes_is_named_and_none_is_told() {
        let known = super::super::keys::Section::from_schema(&super::super::schema());
        let hidden: Vec<_> =
            known.keys().into_iter().filter(|key| key.secret).map(super::super::keys::Key::name).collect();
        let compared = secrets(&Config::default()).map(|(key, _)| key);
        assert_eq!(hidden, compared);
        let text = |mqtt: &str, token: &str| {
            format!("[group]\nname = 'g'\n[mqtt]\npassword = '{mqtt}'\n[platform]\ntoken = '{token}'")
        };
        let file = file(&text("a", "hunter2"));
        let mut watch = FileWatch::new(&load(&file)).unwrap();
        let change = watch.take(text_of(&text("a", "hunter3"))).unwrap().unwrap();
        assert_eq!(change.at_next_start, ["platform.token"]);
        let change = watch.take(text_of(&text("b", "hunter3"))).unwrap().unwrap();
        assert_eq!(change.at_next_start, ["mqtt.password"]);
        assert!(!format!("{change:?}").contains("hunter"));
    }

    #[test]
    fn files_that_are_read_at_the_start_alone_are_named_when_their_content_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["token", "ca", "password"] {
            std::fs::write(path(name), "one").unwrap();
        }
        let at = directory.path().display();
        let file = file(&format!(
            "[mqtt]\nurl = 'mqtts://h'\npassword_file = '{at}/password'\n[mqtt.tls]\nca_file = '{at}/ca'\n[admin]\n\
             enabled = {}\ntoken_file = '{at}/token'",
            cfg!(feature = "admin")
        ));
        let mut watch = FileWatch::new(&load(&file)).unwrap();
        assert!(!watch.is_new(&watch.reading()()));
        std::fs::write(path("password"), "two").unwrap();
        assert!(!watch.is_new(&watch.reading()()), "it is read on every connect");
        std::fs::write(path("ca"), "two").unwrap();
        let change = watch.take(watch.reading()()).unwrap().unwrap();
        assert_eq!(change.at_next_start, ["mqtt.tls.ca_file"]);
        assert!(!watch.is_new(&watch.reading()()), "it is said once");
        if cfg!(feature = "admin") {
            std::fs::write(path("token"), "two").unwrap();
            assert_eq!(watch.take(watch.reading()()).unwrap().unwrap().at_next_start, ["admin.token_file"]);
        }
    }

    #[test]
    fn a_file_that_is_away_for_a_look_and_comes_back_as_it_was_has_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca");
        std::fs::write(&ca, "one").unwrap();
        let file = file(&format!("[mqtt]\nurl = 'mqtts://h'\n[mqtt.tls]\nca_file = '{}'", ca.display()));
        let mut watch = FileWatch::new(&load(&file)).unwrap();
        std::fs::remove_file(&ca).unwrap();
        assert!(!matches!(watch.take(watch.reading()()), Ok(Some(_))));
        std::fs::write(&ca, "one").unwrap();
        assert!(watch.take(watch.reading()()).unwrap().is_none());
        std::fs::remove_file(&ca).unwrap();
        assert!(!matches!(watch.take(watch.reading()()), Ok(Some(_))));
        std::fs::write(&ca, "two").unwrap();
        assert_eq!(watch.take(watch.reading()()).unwrap().unwrap().at_next_start, ["mqtt.tls.ca_file"]);
    }

    #[test]
    fn what_is_checked_beside_the_configuration_refuses_a_change() {
        let file = file("instances = 1\n[group]\nname = 'g'");
        let check = |config: &Config| {
            let wrong = config.instances.max() > 9;
            wrong.then(|| ConfigProblem::new("instances", "too long", "fewer")).into_iter().collect()
        };
        let mut watch = FileWatch::new(&load(&file)).unwrap().with_check(check);
        assert!(watch.take(text_of("instances = 10\n[group]\nname = 'g'")).is_err());
        assert!(watch.take(text_of("instances = 9\n[group]\nname = 'g'")).unwrap().is_some());
    }

    #[test]
    fn a_configuration_without_a_file_is_not_watched_and_the_file_shows_nowhere() {
        assert!(FileWatch::new(&Config::from_toml("instances = 2").unwrap()).is_none());
        let file = file("[mqtt]\npassword = 'hunter2'");
        let config = load(&file);
        assert!(!format!("{config:?} {:?}", FileWatch::new(&config)).contains("hunter2"));
    }
}
