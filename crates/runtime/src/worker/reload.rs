//! Applies changes of the configuration file while the worker runs.
//!
//! The content is compared, not the time of the file: Kubernetes renews a mounted file by turning a link, which some
//! file systems give an old time. A file that is being written is waited for.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::identity::Identity;
use super::signal::Hangups;
use super::state::Shared;
use crate::config::{Config, Content, FileWatch};
use crate::profile;

/// A file that stays the same for so long is not being written.
const SETTLED: Duration = Duration::from_millis(200);

/// Watches the file for ever. Dropping the future leaves everything as it stands.
pub(super) async fn watch(config: &Config, shared: &Shared) {
    let every = config.reload.every;
    let given = config.clone();
    let watched = match every.is_zero() {
        true => None,
        false => spawn_blocking(move || FileWatch::new(&given)).await.ok().flatten(),
    };
    let Some(file) = watched else {
        return std::future::pending().await;
    };
    // More instances may have longer IDs.
    let mut file = file.with_check(|config| profile::check::limits(config, &Identity::longest_id(config), &[]));
    let mut hangups = Hangups::listen();
    loop {
        let asked = tokio::select! {
            () = sleep(every) => false,
            () = hangups.next() => true,
        };
        let Some(mut content) = read(&file).await else { continue };
        if !file.is_new(&content) {
            if asked {
                info!(file = %file.path().display(), "configuration file has not changed");
            }
            continue;
        }
        loop {
            sleep(SETTLED).await;
            let Some(again) = read(&file).await else { continue };
            if again == content {
                break;
            }
            content = again;
        }
        let taken = spawn_blocking(move || {
            let change = file.take(content);
            (file, change)
        });
        let Ok((back, change)) = taken.await else {
            error!("the configuration file is not looked at any more; this is a defect");
            return std::future::pending().await;
        };
        file = back;
        let path = file.path().display();
        match change {
            Err(errors) => {
                error!(file = %path, problems = errors.problems().len(), "configuration file is refused; nothing changes");
                for problem in errors.problems() {
                    error!("{problem}");
                }
            }
            Ok(None) => info!(file = %path, "configuration file says the same as before"),
            Ok(Some(change)) => {
                for key in &change.at_next_start {
                    warn!(file = %path, key, "setting has changed; it takes effect at the next start");
                }
                for key in &change.overridden {
                    warn!(file = %path, key, "setting has changed, but the program sets it itself");
                }
                if !change.applied.is_empty() {
                    let (instances, elastic) = (change.config.instances, change.config.elastic);
                    info!(file = %path, keys = change.applied.join(", "), %instances, "configuration file is applied");
                    shared.configure(instances, elastic);
                }
            }
        }
    }
}

/// `None` when the runtime is about to end.
async fn read(file: &FileWatch) -> Option<Content> {
    spawn_blocking(file.reading()).await.ok()
}
