//! What the broker may still hold for the durable instances of a replica: a small file that outlives the process.
//!
//! A broker keeps the subscriptions of a kept session, and does not tell them. So what was asked for is written down
//! before it is asked for, and struck out when the broker has confirmed that it is gone.
//!
//! INVARIANT: whatever the broker holds for this replica stands in the file; the file may say more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::config::ConfigProblem;

/// Version of the file's format.
const FORMAT: u32 = 1;
const KEY: &str = "identity.state_dir";

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    format: u32,
    /// Filters per slot, as they stand in SUBSCRIBE. A slot stands here as long as there may be a session for it.
    instances: BTreeMap<u32, BTreeSet<String>>,
}

/// See the module's description. One per worker.
#[derive(Debug)]
pub(crate) struct Manifest {
    path: PathBuf,
    /// Never locked over a write: sessions look here.
    content: Mutex<Content>,
    /// Held while the file is written, so that what is written last is what is true last. Whether it says less than
    /// `content`.
    behind: Mutex<bool>,
}

impl Manifest {
    /// Reads the file of this replica; there may be none yet. Makes the directory.
    ///
    /// # Errors
    /// It cannot be read, or not be written.
    pub(crate) fn open(directory: &Path, replica: &str) -> Result<Self, ConfigProblem> {
        let path = directory.join(format!("{replica}.json"));
        let wrong = |why: String, fix: &str| ConfigProblem::new(KEY, why, fix);
        let content = match fs::create_dir_all(directory).and_then(|()| fs::read(&path)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| error.to_string())
                .and_then(|content: Content| match content.format {
                    FORMAT => Ok(content),
                    other => Err(format!("it has format {other}, and this version knows {FORMAT}")),
                })
                .map_err(|error| {
                    let why = format!("{} cannot be understood: {error}", path.display());
                    wrong(why, "move it away; what the broker still holds for this replica is then not known")
                })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Content { format: FORMAT, instances: BTreeMap::new() }
            }
            Err(error) => {
                let why = format!("{} cannot be read: {error}", path.display());
                return Err(wrong(why, "name a directory that this process may read and write"));
            }
        };
        let manifest = Self { path, content: Mutex::new(content.clone()), behind: Mutex::new(false) };
        manifest.write(&content).map_err(|error| {
            let why = format!("{} cannot be written: {error}", manifest.path.display());
            wrong(why, "name a directory that this process may read and write")
        })?;
        Ok(manifest)
    }

    /// Slots for which the broker may have a session.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.lock().instances.keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whole or not at all: a file that is cut off would be worse than an old one.
    fn write(&self, content: &Content) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(content)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // The new name has to outlive a loss of power too.
        self.path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
    }

    /// Changes what stands there, if it is a change or an earlier one could not be written. Blocks.
    fn change(&self, change: impl FnOnce(&mut Content)) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = {
            let mut content = self.lock();
            let mut changed = content.clone();
            change(&mut changed);
            if changed == *content && !*behind {
                return;
            }
            content.clone_from(&changed);
            changed
        };
        let written = self.write(&changed);
        *behind = written.is_err();
        if let Err(error) = written {
            warn!(
                file = %self.path.display(),
                error = %error,
                "what the broker holds for this replica cannot be written down; a later start may leave some of it there"
            );
        }
    }
}

/// The part of a manifest that is about one instance.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    manifest: Arc<Manifest>,
    slot: u32,
}

impl Place {
    pub(crate) fn new(manifest: &Arc<Manifest>, slot: u32) -> Self {
        Self { manifest: Arc::clone(manifest), slot }
    }

    /// What the broker may hold beside these filters.
    pub(crate) fn strays(&self, wanted: &[String]) -> Vec<String> {
        let content = self.manifest.lock();
        let known = content.instances.get(&self.slot).into_iter().flatten();
        known.filter(|filter| !wanted.contains(filter)).cloned().collect()
    }

    /// These filters are about to be asked for.
    pub(crate) async fn expect(&self, wanted: &[String]) {
        let wanted = wanted.to_vec();
        self.change(move |filters| filters.get_or_insert_default().extend(wanted)).await;
    }

    /// The broker holds exactly these filters.
    pub(crate) async fn settle(&self, held: &[String]) {
        let held = held.iter().cloned().collect();
        self.change(move |filters| *filters = Some(held)).await;
    }

    /// The broker holds nothing, not even a session.
    pub(crate) async fn forget(&self) {
        self.change(|filters| *filters = None).await;
    }

    async fn change(&self, change: impl FnOnce(&mut Option<BTreeSet<String>>) + Send + 'static) {
        let Self { manifest, slot } = self.clone();
        let changed = tokio::task::spawn_blocking(move || {
            manifest.change(|content| {
                let mut filters = content.instances.remove(&slot);
                change(&mut filters);
                content.instances.extend(filters.map(|filters| (slot, filters)));
            });
        });
        // It ends early only with the runtime.
        let _ = changed.await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    #[tokio::test]
    async fn what_was_asked_for_is_known_after_a_restart_until_it_is_confirmed_gone() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Arc::new(Manifest::open(&directory.path().join("new"), "tidemill-pod-0").unwrap());
        let first = Place::new(&open(), 3);
        first.expect(&texts(&["a", "b"])).await;
        assert_eq!(open().slots(), [3]);
        let second = Place::new(&open(), 3);
        assert_eq!(second.strays(&texts(&["b", "c"])), ["a"]);
        second.expect(&texts(&["b", "c"])).await;
        assert_eq!(second.strays(&texts(&["b", "c"])), ["a"], "it is still there");
        assert_eq!(Place::new(&open(), 3).strays(&[]), ["a", "b", "c"]);
        second.settle(&texts(&["b", "c"])).await;
        assert!(Place::new(&open(), 3).strays(&texts(&["b", "c"])).is_empty());
        second.settle(&[]).await;
        assert_eq!(open().slots(), [3], "a session without subscriptions");
        second.forget().await;
        assert!(open().slots().is_empty());
    }

    #[tokio::test]
    async fn a_write_that_failed_is_made_up_for_by_the_next_change_even_if_it_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("state");
        let manifest = Arc::new(Manifest::open(&inner, "r").unwrap());
        let place = Place::new(&manifest, 0);
        fs::remove_dir_all(&inner).unwrap();
        place.expect(&texts(&["a"])).await;
        assert_eq!(place.strays(&[]), ["a"], "it is known all the same");
        fs::create_dir(&inner).unwrap();
        place.expect(&texts(&["a"])).await;
        assert_eq!(Manifest::open(&inner, "r").unwrap().slots(), [0]);
    }

    #[test]
    fn what_stands_there_can_be_looked_at_while_the_file_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = Arc::new(Manifest::open(directory.path(), "r").unwrap());
        let _writing = manifest.behind.lock().unwrap();
        assert!(Place::new(&manifest, 0).strays(&[]).is_empty() && manifest.slots().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_understood_or_written_is_refused_with_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.json");
        for text in ["{", "{\"format\":2,\"instances\":{}}"] {
            fs::write(&path, text).unwrap();
            let problem = Manifest::open(directory.path(), "r").unwrap_err().to_string();
            assert!(problem.contains("r.json") && problem.contains("identity.state_dir"), "{problem}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left alone");
        }
        assert!(Manifest::open(&path, "r").is_err(), "a file is no directory");
    }
}
