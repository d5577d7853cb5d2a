//! A pod as a process: started with the environment of the chart, asked by its probes, ended with SIGTERM and, when its
//! grace period is over, with SIGKILL.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Error;
use super::http;

/// Until a process says where its admin server listens.
const START: Duration = Duration::from_secs(30);
/// Of a log that is shown.
const LAST_LINES: usize = 5;

/// What all pods of a workload have in common: image, configuration, and where they write.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) config: PathBuf,
    pub(super) journals: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) work: Duration,
    /// Whether each pod is told its name, as the chart does for a StatefulSet.
    pub(super) durable: bool,
}

/// A running pod. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
}

impl Pod {
    /// Starts a pod; `start` tells apart those of the same name.
    pub(super) async fn start(template: &Template, name: &str, start: u32) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::because(format!("start pod {name}"), error);
        let log = template.logs.join(format!("{name}-{start}.log"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .args(["pod", "--work", &humantime::format_duration(template.work).to_string(), "--journal"])
            .arg(template.journals.join(format!("{name}-{start}")))
            .env("TIDEMILL_CONFIG", &template.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).map_err(failed)?)
            // A signal from the terminal is for the parent.
            .process_group(0)
            .kill_on_drop(true);
        if template.durable {
            command.env("TIDEMILL_IDENTITY__REPLICA", name);
        }
        let mut child = command.spawn().map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| Error::new(format!("pod {name} has no standard output")))?;
        let mut lines = BufReader::new(stdout).lines();
        let said = timeout(START, lines.next_line()).await;
        let admin = said.ok().and_then(Result::ok).flatten().and_then(|line| line.parse().ok());
        let Some(admin) = admin else {
            return Err(Error::new(format!("pod {name} did not start: {}", last_lines(&log))));
        };
        Ok(Self { name: name.to_owned(), child, admin, log })
    }

    /// Whether a Service would send to it.
    pub(super) async fn is_ready(&self) -> bool {
        http::get(self.admin, "/readyz").await.is_some_and(|(status, _)| status == 200)
    }

    /// A metric of it, as Prometheus scrapes it.
    pub(super) async fn metric(&self, name: &str) -> Result<f64, Error> {
        let scraped = http::get(self.admin, "/metrics").await;
        let value = scraped.and_then(|(_, text)| http::metric(&text, name));
        value.ok_or_else(|| Error::new(format!("pod {} does not tell {name}", self.name)))
    }

    /// Fails when it has ended although nobody asked.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(Error::new(format!("pod {} ended by itself: {}", self.name, last_lines(&self.log)))),
        }
    }

    /// Ends it as the kubelet does. Says whether it had to be killed.
    pub(super) async fn terminate(mut self, grace: Duration) -> Result<bool, Error> {
        self.signal(Signal::SIGTERM)?;
        match timeout(grace, self.child.wait()).await {
            Ok(ended) if ended.as_ref().is_ok_and(ExitStatus::success) => Ok(false),
            Ok(_) => Err(Error::new(format!("pod {} did not end well: {}", self.name, last_lines(&self.log)))),
            Err(_) => self.kill().await.map(|()| true),
        }
    }

    /// Ends it as a crash does.
    pub(super) async fn kill(mut self) -> Result<(), Error> {
        self.child.kill().await.map_err(|error| Error::because(format!("kill pod {}", self.name), error))
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| Error::new(format!("pod {} is gone", self.name)))?;
        kill(Pid::from_raw(pid), signal).map_err(|error| Error::because(format!("signal pod {}", self.name), error))
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ")
}
