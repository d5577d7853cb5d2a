//! A scene: a broker, publishers at a steady rate, workers as processes, a script of changes, and the account of it.
//!
//! ORDER: every scene has a broker of its own, if it is ours, so that nothing of one reaches the next; publishers stop
//! before anybody is asked to finish; journals are read when every worker is gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::args::{LoadArgs, Size};
use super::super::clock;
use super::super::process::parent::Child;
use super::super::process::{Job, LoadFigures, Order, Said, Sent, WorkerJob};
use super::super::stage::{Progress, READY, Setup};
use super::super::venue::Venue;
use super::super::worker::journal;
use super::account::{self, Mark};
use super::script::{self, Step};
use super::{Kind, RebalanceArgs, SceneResult};
use crate::exit::Failure;

/// Longer than any scene; its end is told to the publishers.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(30);
/// How often the view is told.
const SHOW: Duration = Duration::from_millis(100);

/// What takes part.
pub(super) struct Cast {
    venue: Venue,
    setup: Setup,
    load: Child,
    workers: Vec<(String, Child)>,
    directory: tempfile::TempDir,
    journals: Vec<PathBuf>,
    is_durable: bool,
    sent: u64,
    marks: Vec<Mark>,
}

/// Plays a scene; `None` when this broker does not let it.
///
/// # Errors
/// Something could not be started, or ended by itself.
pub(super) async fn play(
    args: &RebalanceArgs,
    load: &LoadArgs,
    kind: Kind,
    mut show: impl FnMut(Progress),
) -> Result<Option<SceneResult>, Failure> {
    let script = script::of(kind);
    let is_durable = script.comes_back && !args.ephemeral;
    let (venue, link) = Venue::start(&args.broker, is_durable).await?;
    if kind == Kind::BrokerRestart && !venue.can_restart() {
        return Ok(None);
    }
    let size = Size {
        instances: u64::from(script.instances),
        window: args.window,
        concurrency: 0,
        warm_up: Duration::ZERO,
        duration: LONGEST,
        count: None,
    };
    let setup = load.setup(&args.broker, &link, size)?;
    let publishers = Child::start("publishers", &Job::Load(Box::new(setup.load.clone()))).await?;
    let directory = tempfile::Builder::new().prefix("tidemill-bench-").tempdir();
    let mut cast = Cast {
        venue,
        setup,
        load: publishers,
        workers: Vec::new(),
        directory: directory.map_err(|error| Failure::Run(format!("no temporary directory: {error}")))?,
        journals: Vec::new(),
        is_durable,
        sent: 0,
        marks: Vec::new(),
    };
    cast.load.ready(READY).await?;
    for number in 0..script.workers {
        cast.join(&format!("w{number}")).await?;
    }
    let start_ns = clock::now_ns();
    cast.load.tell(&Order::Go { start_ns }).await?;

    cast.wait(args.settle, &mut show).await?;
    for step in &script.steps {
        cast.change(step, args, &mut show).await?;
    }
    cast.finish(kind, start_ns).await.map(Some)
}

impl Cast {
    /// A worker joins; ready means that it shares the events.
    async fn join(&mut self, name: &str) -> Result<(), Failure> {
        let path = self.directory.path().join(format!("{}-{name}", self.journals.len()));
        let job = WorkerJob {
            replica: self.is_durable.then(|| name.to_owned()),
            journal: Some(path.clone()),
            measured_ns: None,
            ..self.setup.worker.clone()
        };
        self.journals.push(path);
        let mut worker = Child::start("worker", &Job::Worker(Box::new(job))).await?;
        worker.ready(READY).await?;
        worker.tell(&Order::Go { start_ns: clock::now_ns() }).await?;
        self.workers.push((name.to_owned(), worker));
        Ok(())
    }

    /// A worker leaves without loss and ends.
    async fn leave(&mut self, name: &str) -> Result<(), Failure> {
        let Some(mut worker) = self.take(name) else { return Ok(()) };
        // Nothing sent is nothing to wait for.
        worker.tell(&Order::Finish(Box::default())).await?;
        worker.wait_for(LEAVE, |said| matches!(said, Said::Worked(_)).then_some(())).await?;
        worker.end().await;
        Ok(())
    }

    fn take(&mut self, name: &str) -> Option<Child> {
        let at = self.workers.iter().position(|(known, _)| known == name)?;
        Some(self.workers.swap_remove(at).1)
    }

    async fn change(
        &mut self,
        step: &Step,
        args: &RebalanceArgs,
        show: &mut impl FnMut(Progress),
    ) -> Result<(), Failure> {
        let from_ns = clock::now_ns();
        match step {
            Step::Join(name) => self.join(name).await?,
            Step::Leave(name) => self.leave(name).await?,
            Step::Kill(name) => {
                if let Some(worker) = self.take(name) {
                    worker.kill().await?;
                }
                sleep(args.away).await;
                self.join(name).await?;
            }
            Step::Replace(old, new) => {
                self.join(new).await?;
                self.leave(old).await?;
            }
            Step::Scale(instances) => {
                for (_, worker) in &mut self.workers {
                    worker.tell(&Order::Scale(*instances)).await?;
                    worker.wait_for(LEAVE, |said| matches!(said, Said::Settled).then_some(())).await?;
                }
            }
            Step::RestartBroker => self.venue.restart(args.away).await?,
        }
        let settled_ns = clock::now_ns();
        self.wait(args.settle, show).await?;
        self.marks.push(Mark { name: step.to_string(), from_ns, settled_ns, to_ns: clock::now_ns() });
        Ok(())
    }

    /// Lets time pass and takes in what is said meanwhile.
    async fn wait(&mut self, time: Duration, show: &mut impl FnMut(Progress)) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let heard = timeout(SHOW.min(until - Instant::now()), self.load.hear()).await;
            if let Said::Progress(sent) = heard.unwrap_or(Ok(Said::Settled))? {
                self.sent = sent;
            }
            for (_, worker) in &mut self.workers {
                // Their pipes are short; what they say is in the journals.
                while let Ok(said) = timeout(Duration::ZERO, worker.hear()).await {
                    said?;
                }
            }
            show(Progress { sent: self.sent, handled: self.sent, part: 0.0 });
        }
        Ok(())
    }

    /// Stops the publishers, lets the workers finish, and takes account.
    async fn finish(mut self, kind: Kind, start_ns: u64) -> Result<SceneResult, Failure> {
        self.load.tell(&Order::Stop).await?;
        let loaded = |said| if let Said::Loaded(figures) = said { Some(figures) } else { None };
        let LoadFigures { sent, .. } = *self.load.wait_for(LEAVE, loaded).await?;
        self.drain(&sent).await?;
        for (_, mut worker) in std::mem::take(&mut self.workers) {
            worker.tell(&Order::Finish(Box::default())).await?;
            worker.wait_for(LEAVE, |said| matches!(said, Said::Worked(_)).then_some(())).await?;
            worker.end().await;
        }
        let journals = read(&self.journals)?;
        let sums = account::sums(&sent, &journals);
        let steps = account::changes(start_ns, &self.marks, &journals);
        self.load.end().await;
        self.venue.end().await;
        Ok(SceneResult {
            change: kind,
            durable: self.is_durable,
            published: sent.total(),
            handled: sums.handled,
            lost: sums.lost,
            refused: sent.refused(),
            duplicated: sums.duplicated,
            resent: sums.resent,
            out_of_order: sums.out_of_order,
            unconfirmed: sent.unconfirmed.len() as u64,
            steps,
        })
    }

    /// Waits until everything that was sent is in the journals, or nothing comes any more.
    async fn drain(&mut self, sent: &Sent) -> Result<(), Failure> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            for (_, worker) in &mut self.workers {
                while let Ok(said) = timeout(Duration::ZERO, worker.hear()).await {
                    said?;
                }
            }
            let written = self.journals.iter().map(|path| length(path)).sum::<u64>() / journal::BYTES as u64;
            if written != last {
                (last, moved) = (written, Instant::now());
            } else if moved.elapsed() > Duration::from_secs(1) {
                // Quiet: either all is there, or it is worth to wait a little longer for what is not.
                let is_whole = account::sums(sent, &read(&self.journals)?).lost == 0;
                if is_whole || moved.elapsed() > Duration::from_secs(4) {
                    return Ok(());
                }
            }
            sleep(SHOW).await;
        }
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |data| data.len())
}

fn read(paths: &[PathBuf]) -> Result<Vec<Vec<journal::Entry>>, Failure> {
    let journals = paths.iter().map(|path| journal::read(path));
    journals.collect::<Result<_, _>>().map_err(|error| Failure::Run(format!("a journal cannot be read: {error}")))
}
