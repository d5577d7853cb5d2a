//! A configuration file that changes while its worker runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidemill_runtime::{Config, ScaledBy, ScalingMode};

use crate::support::*;

/// A directory as Kubernetes mounts a ConfigMap: the file is a link to one in a directory that is a link itself, and
/// the latter is replaced as a whole.
struct Mounted(TempDir);

impl Mounted {
    fn new(text: &str) -> Self {
        let mounted = Self(tempfile::tempdir().unwrap());
        mounted.turn(text);
        std::os::unix::fs::symlink("..data/tidemill.toml", mounted.file()).unwrap();
        mounted
    }

    fn turn(&self, text: &str) {
        let version = tempfile::tempdir_in(self.0.path()).unwrap().keep();
        std::fs::write(version.join("tidemill.toml"), text).unwrap();
        let link = self.0.path().join("..data_tmp");
        std::os::unix::fs::symlink(version, &link).unwrap();
        std::fs::rename(link, self.0.path().join("..data")).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("tidemill.toml")
    }
}

fn load(file: &Path) -> Config {
    Config::loader().file(file).load().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_mounted_file_that_is_renewed_changes_the_number_of_instances() {
    let group = "[group]\nname = 'g'\nverify = 'never'";
    let mounted = Mounted::new(&format!("instances = 1\n{group}"));
    let mut rig = Rig::with_handler(load(&mounted.file()), Fine);
    let _first = rig.subscribed().await;
    mounted.turn(&format!("instances = 3\n{group}"));
    let (_second, _third) = (rig.subscribed().await, rig.subscribed().await);
    rig.handle.settled().await;
    let decision = rig.handle.status().scaling.last_decision.unwrap();
    assert_eq!((decision.to, decision.by), (3, ScaledBy::File));

    mounted.turn("instances = { min = 4 }");
    assert!(rig.stays_away(Duration::from_secs(20)).await, "a file that is wrong changes nothing");
    mounted.turn(&format!("instances = {{ min = 4, max = 9 }}\n{group}"));
    let _fourth = rig.subscribed().await;
    rig.handle.settled().await;
    let scaling = rig.handle.status().scaling;
    assert_eq!((scaling.mode, scaling.min, scaling.max, scaling.wanted), (ScalingMode::Elastic, 4, 9, 4));
}

#[tokio::test(start_paused = true)]
async fn switched_off_the_file_is_never_looked_at_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidemill.toml");
    let text =
        |instances| format!("instances = {instances}\n[group]\nname = 'g'\nverify = 'never'\n[reload]\nevery = '0s'");
    std::fs::write(&file, text(1)).unwrap();
    let mut rig = Rig::with_handler(load(&file), Fine);
    let broker = rig.subscribed().await;
    std::fs::write(&file, text(2)).unwrap();
    assert!(rig.stays_away(Duration::from_secs(20)).await);
    rig.leave(broker).await;
}
