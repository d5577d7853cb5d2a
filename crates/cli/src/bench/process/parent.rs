//! The parent's end: starts a child, tells it what to do and waits for what it says, never for longer than a limit.
//! Dropping a child kills it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Job, Order, Said};
use crate::exit::Failure;

/// Lines that wait to be looked at; progress comes many times a second.
const BACKLOG: usize = 1024;

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    stdin: ChildStdin,
    said: mpsc::Receiver<Said>,
}

impl Child {
    /// Starts this program once more with a job.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) async fn start(name: &'static str, job: &Job) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::Run(format!("the process of the {name} cannot be started: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new(program)
            .args(["bench", "child"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // A signal from the terminal is for the parent, which tells its children.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(mut stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Failure::Run(format!("the process of the {name} has no pipes")));
        };
        write(&mut stdin, job).await.map_err(failed)?;
        let (sender, said) = mpsc::channel(BACKLOG);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(said) = serde_json::from_str(&line) else { continue };
                if sender.send(said).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self { name, process, stdin, said })
    }

    /// Its process; 0 when it has ended.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap_or(0)
    }

    /// Tells it something.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) async fn tell(&mut self, order: &Order) -> Result<(), Failure> {
        let sent = write(&mut self.stdin, order).await;
        if sent.is_err() {
            // What it said last tells more than a closed pipe.
            while let Some(said) = self.said.recv().await {
                if let Said::Failed(why) = said {
                    return Err(Failure::Run(format!("{}: {why}", self.name)));
                }
            }
            return Err(self.gone());
        }
        Ok(())
    }

    /// The next thing that it says. Cancel-safe.
    ///
    /// # Errors
    /// It is gone, or says that it cannot go on.
    pub(crate) async fn hear(&mut self) -> Result<Said, Failure> {
        match self.said.recv().await {
            Some(Said::Failed(why)) => Err(Failure::Run(format!("{}: {why}", self.name))),
            Some(said) => Ok(said),
            None => Err(self.gone()),
        }
    }

    /// Waits for something certain; what else it says meanwhile goes to `meanwhile`.
    ///
    /// # Errors
    /// It is gone, fails, or stays silent for longer than `limit`.
    pub(crate) async fn wait_for<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(Said) -> Option<T>,
    ) -> Result<T, Failure> {
        let name = self.name;
        let heard = async {
            loop {
                if let Some(found) = wanted(self.hear().await?) {
                    return Ok(found);
                }
            }
        };
        timeout(limit, heard).await.unwrap_or_else(|_| {
            Err(Failure::Run(format!("the {name} did not answer within {}", humantime::format_duration(limit))))
        })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// See [`wait_for`](Self::wait_for).
    pub(crate) async fn ready(&mut self, limit: Duration) -> Result<String, Failure> {
        self.wait_for(limit, |said| if let Said::Ready { url } = said { Some(url) } else { None }).await
    }

    /// Kills it as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// The process cannot be killed.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.process.kill().await.map_err(|error| Failure::Run(format!("the {} cannot be killed: {error}", self.name)))
    }

    /// Closes its input and gives it some time to end by itself.
    pub(crate) async fn end(self) {
        let Self { mut process, stdin, .. } = self;
        drop(stdin);
        // Whatever is left then is killed when it is dropped.
        let _ = timeout(Duration::from_secs(5), process.wait()).await;
    }

    fn gone(&self) -> Failure {
        Failure::Run(format!("the process of the {} ended by itself", self.name))
    }
}

async fn write(stdin: &mut ChildStdin, value: &impl serde::Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stdin.write_all(&line).await?;
    stdin.flush().await
}
