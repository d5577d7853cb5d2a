//! Watches a run and decides when it is over: everything published was handled, somebody asked to stop, or nothing
//! moves any more. It never waits for ever.

use std::time::Duration;

use tidemill::{PublishError, report};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::fleet::{Errand, Fleet};
use super::worker::Running;
use crate::connect::in_options;

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);
/// When everything is connected and idle for so long, what has not come is not going to.
const SETTLED: Duration = Duration::from_secs(5);

/// Why a run was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything was published, and handled as far as it came.
    Complete,
    /// Somebody asked to stop.
    Stopped,
    /// It could not go on.
    Failed(String),
}

/// The parts of a run that are watched.
pub(crate) struct Watched<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) errand: &'a Errand,
    pub(crate) worker: &'a Running,
    /// Somebody asked to stop.
    pub(crate) interrupted: CancellationToken,
}

impl Watched<'_> {
    /// Waits until the run is over. Everything may be told to leave then.
    pub(crate) async fn until_over(&self, mut publishing: JoinSet<Result<(), PublishError>>) -> End {
        let errand = self.errand;
        let mut end = End::Complete;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = (0, 0);
        let mut moved = Instant::now();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.worker.ended().cancelled() => {
                    return self.give_up(publishing, "the worker has ended".to_owned()).await;
                }
                () = self.interrupted.cancelled(), if !errand.stop.is_cancelled() => {
                    errand.stop.cancel();
                    end = End::Stopped;
                }
                Some(ended) = publishing.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        let why = self.fleet.last_error().unwrap_or_else(|| report(&error));
                        return self.give_up(publishing, format!("publishing failed: {}", in_options(&why))).await;
                    }
                    Err(crash) => return self.give_up(publishing, format!("publishing crashed: {crash}")).await,
                },
            }
            let now = (errand.progress.confirmed(), errand.ledger.total().events());
            if now != last {
                last = now;
                moved = Instant::now();
            }
            let quiet = moved.elapsed();
            let (published, handled) = now;
            if publishing.is_empty() && handled >= published && errand.ledger.missing() == 0 {
                return end;
            }
            if quiet >= SETTLED && self.is_idle() {
                if publishing.is_empty() {
                    return end;
                }
                let text = "the broker has confirmed events that it does not deliver, so the fleet cannot go on";
                return self.give_up(publishing, text.to_owned()).await;
            }
            let patience = errand.plan.patience;
            if quiet >= patience {
                let why = self.what_is_down().unwrap_or_else(|| "although every connection is up".to_owned());
                let patience = humantime::format_duration(patience);
                let text = format!("nothing was published or handled for {patience}: {}", in_options(&why));
                return self.give_up(publishing, text).await;
            }
        }
    }

    async fn give_up(&self, mut publishing: JoinSet<Result<(), PublishError>>, why: String) -> End {
        self.errand.stop.cancel();
        self.errand.give_up.cancel();
        // They come to their end by themselves now; what they say no longer matters.
        while publishing.join_next().await.is_some() {}
        End::Failed(why)
    }

    /// Whether nobody waits for anything but the broker: everything sent is confirmed, everything received is finished.
    fn is_idle(&self) -> bool {
        let status = self.worker.status();
        let progress = &self.errand.progress;
        status.ready && status.unfinished == 0 && progress.started() == progress.confirmed()
    }

    fn what_is_down(&self) -> Option<String> {
        let instance = || self.worker.status().instances.into_iter().find_map(|instance| instance.last_error);
        self.fleet.last_error().or_else(instance)
    }
}
