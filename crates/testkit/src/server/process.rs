//! A running server.

use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::signal::{self, Signal};
use super::{Place, ServerError, ServerErrorKind, ServerSpec, find, require_or_skip};

/// How often a start is tried, each time on other ports.
const ATTEMPTS: usize = 5;
/// How often it is asked whether it is ready.
const PAUSE: Duration = Duration::from_millis(10);
/// Whom `unprivileged` servers run as where tests run as root; the number is the same everywhere.
#[cfg(unix)]
const NOBODY: u32 = 65_534;

/// A server as a child process. Dropping it kills the process and deletes its directory.
#[derive(Debug)]
pub struct ServerProcess {
    spec: ServerSpec,
    program: PathBuf,
    child: Option<Child>,
    /// Of a wrapped server: what is left of it when the child itself has ended is told by this.
    group: Option<u32>,
    place: Place,
    /// Deleted after the process was killed.
    _directory: TempDir,
}

impl ServerProcess {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// [`ServerErrorKind::Missing`] when it is not installed, [`ServerErrorKind::NotStarted`] with the end of its log when
    /// it does not come up.
    pub async fn start(spec: ServerSpec) -> Result<Self, ServerError> {
        let program = find(&spec.program, &spec.package)?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let mut server = Self::prepared(spec.clone(), program.clone()).await?;
            match server.launch().await {
                Ok(()) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ServerError::not_started(&spec.program, "no attempt was made", None)))
    }

    /// Starts a server for a test; `None` after saying that the test is skipped where it is not installed.
    ///
    /// # Panics
    /// It is installed and does not start, or is missing where the environment variable `CI` is set.
    #[expect(clippy::panic, reason = "for tests")]
    pub async fn start_or_skip(spec: ServerSpec) -> Option<Self> {
        match Self::start(spec).await {
            Err(error) if error.kind() != ServerErrorKind::Missing => panic!("{error}"),
            result => require_or_skip(result),
        }
    }

    /// A place and what must be in it, without a process.
    async fn prepared(spec: ServerSpec, program: PathBuf) -> Result<Self, ServerError> {
        let fail = |what: &str, source| ServerError::not_started(&spec.program, what, source);
        let prefix = format!("tidemill-{}-", spec.program.replace('/', "-"));
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir();
        let directory = directory.map_err(|source| fail("no temporary directory", source))?;
        let ports = free_ports(spec.ports).await.map_err(|source| fail("no free port", source))?;
        let place = Place { ports, directory: directory.path().to_owned(), log_start: 0 };
        let server = Self { spec, program, child: None, group: None, place, _directory: directory };
        server.hand_over()?;
        for (program, fill) in &server.spec.prepare {
            let mut command = server.command(find(program, &server.spec.package)?);
            fill(&server.place, &mut command);
            let output = command.output().await.map_err(|source| server.failed(program, source))?;
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                let said = format!("{program}: {}", last_lines(&String::from_utf8_lossy(&said)));
                return Err(server.failed(&said, None));
            }
        }
        Ok(server)
    }

    /// Where it listens, on its first port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.place.addr(0)
    }

    /// Its ports and its directory.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.place.directory()
    }

    /// What it wrote to standard output and standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.place.log()
    }

    /// The process, 0 when there is none any more.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or(0)
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        if let Some(group) = self.group {
            signal::kill_group(group)?;
            self.group = None;
        }
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Asks the process to end with SIGTERM and waits until it is gone; kills it when it takes longer than it may to
    /// start. Other processes of a wrapped server are asked as well and may take longer: what is left of them ends with the
    /// next start or with this value.
    ///
    /// # Errors
    /// When the process can be neither asked nor killed.
    pub async fn stop(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Some(pid) = child.id() {
            signal::send(pid, self.spec.wrapped, Signal::Terminate)?;
        }
        if timeout(self.spec.patience, child.wait()).await.is_err() {
            self.child = Some(child);
            return self.kill().await;
        }
        Ok(())
    }

    /// Stops it in its tracks, or lets it go on: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When there is no process.
    pub fn freeze(&self, freeze: bool) -> io::Result<()> {
        let signal = if freeze { Signal::Stop } else { Signal::Continue };
        signal::send(self.pid(), self.spec.wrapped, signal)
    }

    /// Starts it on the same ports again, after killing it if it runs. What it stored is still there.
    ///
    /// # Errors
    /// When it does not come up, see [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.kill().await.map_err(|source| self.failed("the old process stays", source))?;
        self.launch().await
    }

    async fn launch(&mut self) -> Result<(), ServerError> {
        let log = OpenOptions::new().create(true).append(true).open(self.place.log_path());
        let log = log.map_err(|source| self.failed("no log file", source))?;
        let errors = log.try_clone().map_err(|source| self.failed("no log file", source))?;
        let written = log.metadata().map_err(|source| self.failed("no log file", source))?.len();
        self.place.log_start = usize::try_from(written).unwrap_or(usize::MAX);
        let mut command = self.command(self.program.clone());
        (self.spec.fill)(&self.place, &mut command);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        // Owned from the start: a wrapped server is more than the child that ends by its own drop.
        let child = command.spawn().map_err(|source| self.failed("cannot be run", source))?;
        self.group = child.id().filter(|_| self.spec.wrapped);
        self.child = Some(child);
        let deadline = Instant::now() + self.spec.patience;
        let mut ready = false;
        while !ready {
            ready = self.spec.ready.is_reached(&self.place).await;
            // Also when it is ready: somebody else may have answered, on a port that was taken in between.
            sleep(PAUSE).await;
            let ended = match &mut self.child {
                Some(child) => child.try_wait().is_ok_and(|status| status.is_some()),
                None => true,
            };
            if ended || (!ready && Instant::now() > deadline) {
                let said = last_lines(&self.log());
                // A server that did not come up is not left running, nor are its parts.
                self.kill().await.map_err(|source| self.failed(&said, source))?;
                return Err(self.failed(&said, None));
            }
        }
        Ok(())
    }

    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory()).kill_on_drop(true);
        #[cfg(unix)]
        {
            if self.spec.wrapped {
                command.process_group(0);
            }
            if self.changes_user() {
                command.uid(NOBODY).gid(NOBODY);
            }
        }
        command
    }

    #[cfg(unix)]
    fn changes_user(&self) -> bool {
        self.spec.unprivileged && nix::unistd::geteuid().is_root()
    }

    /// Gives the directory to whom the server runs as.
    fn hand_over(&self) -> Result<(), ServerError> {
        #[cfg(unix)]
        if self.changes_user() {
            let done = std::os::unix::fs::chown(self.directory(), Some(NOBODY), Some(NOBODY));
            done.map_err(|source| self.failed("its directory cannot be given to nobody", source))?;
        }
        Ok(())
    }

    fn failed(&self, what: &str, source: impl Into<Option<io::Error>>) -> ServerError {
        ServerError::not_started(&self.spec.program, what, source)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            _ = signal::kill_group(group);
        }
        if let Some(child) = &mut self.child {
            // The runtime reaps the process.
            _ = child.start_kill();
        }
    }
}

async fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    // Held together, so that they differ.
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(TcpListener::bind(("127.0.0.1", 0)).await?);
    }
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
