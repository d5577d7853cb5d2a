//! A workload through its life: three replicas, an upgrade, out to six, in to two, and for durable identities a crash.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::account::{self, Mark, Sums};
use super::args::Args;
use super::broker::Server;
use super::load::Load;
use super::process::Template;
use super::sessions::{self, Kept};
use super::workload::Workload;
use super::{Error, journal};

/// Replicas before the first change.
const REPLICAS: usize = 3;
/// Without a handling for so long, what is missing is lost.
const QUIET: Duration = Duration::from_secs(10);

/// A change of the group.
#[derive(Clone, Copy, Debug)]
enum Change {
    Roll,
    Scale(usize),
    Crash,
}

/// What a change did.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    pub(super) change: String,
    /// Until everybody was ready, or gone.
    pub(super) took_ms: u128,
    /// Ready replicas at least, as `/readyz` says.
    pub(super) fewest_ready: usize,
    pub(super) events: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    /// Duplicates that a crash may cost.
    pub(super) allowed: u64,
    /// Pods that were killed at the end of their grace period.
    pub(super) forced: u32,
    /// What the broker kept for durable replicas that were scaled away.
    pub(super) kept: Option<Kept>,
}

/// What became of a workload.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Rollout {
    pub(super) workload: &'static str,
    pub(super) published: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) steps: Vec<Step>,
}

impl Rollout {
    /// Nothing lost, nothing duplicated but by a crash, nothing left behind.
    pub(super) fn is_ok(&self) -> bool {
        let good = |step: &Step| {
            step.lost == 0 && step.duplicated <= step.allowed && step.kept.is_none_or(|kept| kept.sessions == 0)
        };
        self.published > 0 && self.steps.iter().all(good)
    }
}

/// Plays the scene.
pub(super) async fn play(args: &Args, server: &Server, durable: bool) -> Result<Rollout, Error> {
    let failed = |error| Error::because("make a directory", error);
    let directory = tempfile::tempdir().map_err(failed)?;
    let setting = Setting { window: args.window, instances: args.instances, work: args.work, durable };
    let template = template(directory.path(), server, &setting)?;
    let journals = template.journals.clone();
    let mut workload = Workload::new(template, args.grace);
    workload.scale(REPLICAS).await?;
    let load = Load::start(server, args.rate)?;
    let mut marks = vec![mark(&load)];
    let mut steps = vec![Step { change: format!("{REPLICAS} replicas"), ..blank(REPLICAS) }];
    sleep(args.settle).await;
    let mut changes = vec![Change::Roll, Change::Scale(2 * REPLICAS), Change::Scale(2)];
    changes.extend(durable.then_some(Change::Crash));
    for change in changes {
        let before = workload.pods().len();
        workload.begin();
        marks.push(mark(&load));
        let since = Instant::now();
        let mut step = blank(0);
        match change {
            Change::Roll => {
                step.change = format!("rolling update of {before}");
                workload.roll().await?;
            }
            Change::Scale(replicas) => {
                step.change = format!("{before} -> {replicas}");
                workload.scale(replicas).await?;
            }
            Change::Crash => {
                step.change = "kill -9 of one".to_owned();
                step.allowed = u64::from(args.window) * u64::from(args.instances);
                workload.crash().await?;
            }
        }
        step.took_ms = since.elapsed().as_millis();
        (step.fewest_ready, step.forced) = workload.watched();
        if let Change::Scale(replicas) = change
            && durable
            && replicas < before
        {
            step.kept = Some(sessions::kept(server, ids(replicas..before, args.instances)).await?);
        }
        eprintln!("{}: {} took {} ms", name(durable), step.change, step.took_ms);
        steps.push(step);
        sleep(args.settle).await;
    }
    let published = load.stop().await?;
    caught_up(&journals, published, QUIET).await?;
    workload.scale(0).await?;
    let entries = journal::read_all(&journals).map_err(|error| Error::because("read the journals", error))?;
    let sums = account::sums(published, &marks, &entries);
    for (step, Sums { events, lost, duplicated }) in steps.iter_mut().zip(&sums) {
        (step.events, step.lost, step.duplicated) = (*events, *lost, *duplicated);
    }
    Ok(Rollout {
        workload: name(durable),
        published,
        lost: sums.iter().map(|sums| sums.lost).sum(),
        duplicated: sums.iter().map(|sums| sums.duplicated).sum(),
        steps,
    })
}

fn name(durable: bool) -> &'static str {
    if durable { "StatefulSet" } else { "Deployment" }
}

fn mark(load: &Load) -> Mark {
    Mark { sent: load.sent(), at_ns: journal::now_ns() }
}

fn blank(fewest_ready: usize) -> Step {
    Step {
        change: String::new(),
        took_ms: 0,
        fewest_ready,
        events: 0,
        lost: 0,
        duplicated: 0,
        allowed: 0,
        forced: 0,
        kept: None,
    }
}

/// Client IDs of the instances of these replicas, as the durable identity makes them.
fn ids(replicas: std::ops::Range<usize>, instances: u32) -> Vec<String> {
    let of = |replica| (0..instances).map(move |slot| format!("tidemill-rollout-{replica}-{slot}"));
    replicas.flat_map(of).collect()
}

/// Waits until as many events were handled as were sent, or none for `quiet`.
async fn caught_up(journals: &Path, sent: u64, quiet: Duration) -> Result<(), Error> {
    let (mut handled, mut since) = (0, Instant::now());
    loop {
        let entries = journal::read_all(journals).map_err(|error| Error::because("read the journals", error))?;
        let now = account::sums(sent, &[Mark { sent: 0, at_ns: 0 }], &entries);
        let missing = now.first().map_or(0, |sums| sums.lost);
        if missing == 0 {
            return Ok(());
        }
        if sent - missing != handled {
            (handled, since) = (sent - missing, Instant::now());
        }
        if since.elapsed() > quiet {
            return Ok(());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// What tells the workers of a scene from those of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) window: u16,
    pub(super) instances: u32,
    pub(super) work: Duration,
    pub(super) durable: bool,
}

/// Writes the configuration as the chart does, and says how pods are started.
pub(super) fn template(directory: &Path, server: &Server, setting: &Setting) -> Result<Template, Error> {
    let failed = |error| Error::because("write the configuration of the pods", error);
    let profile = serde_json::to_value(server.profile()).unwrap_or_default();
    let profile = profile.as_str().unwrap_or("generic").to_owned();
    let (mode, session_expiry) = if setting.durable { ("durable", "1h") } else { ("ephemeral", "0s") };
    let text = format!(
        "instances = {}\n\n[mqtt]\nurl = \"{}\"\nbroker = \"{profile}\"\nwindow = {}\nsession_expiry = \
         \"{session_expiry}\"\n\n[group]\nname = \"rollout\"\n\n[identity]\nmode = \"{mode}\"\n\n[admin]\nenabled = \
         true\nlisten = \"127.0.0.1:0\"\n\n[drain]\ndeadline = \"30s\"\n",
        setting.instances,
        server.url(),
        setting.window,
    );
    let config = directory.join("tidemill.toml");
    std::fs::write(&config, text).map_err(failed)?;
    let (journals, logs) = (directory.join("journals"), directory.join("logs"));
    for path in [&journals, &logs] {
        std::fs::create_dir(path).map_err(failed)?;
    }
    Ok(Template { config, journals, logs, work: setting.work, durable: setting.durable })
}
