//! How a server is started.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use super::Ready;

type Fill = dyn Fn(&Place, &mut Command) + Send + Sync;

/// Where a server runs: its ports and its directory.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) ports: Vec<u16>,
    pub(super) directory: PathBuf,
    /// Where the log of the last start begins, in bytes.
    pub(super) log_start: usize,
}

impl Place {
    /// Its port of that number, from 0.
    ///
    /// # Panics
    /// The server was not given so many.
    #[must_use]
    pub fn port(&self, number: usize) -> u16 {
        self.ports[number]
    }

    /// How many ports it was given.
    #[must_use]
    pub fn port_count(&self) -> usize {
        self.ports.len()
    }

    /// Where it listens.
    ///
    /// # Panics
    /// The server was not given so many ports.
    #[must_use]
    pub fn addr(&self, number: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port(number)))
    }

    /// A directory that it may write to, and that is deleted with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it wrote to standard output and standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.log_path()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// What it wrote since it was last started.
    pub(super) fn log_of_start(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }
}

/// How a server is started: one port, ready when it listens, within 10 seconds, as the current user, unless told
/// otherwise.
#[derive(Clone)]
pub struct ServerSpec {
    pub(super) program: String,
    pub(super) package: String,
    pub(super) ports: usize,
    pub(super) prepare: Vec<(String, Arc<Fill>)>,
    pub(super) fill: Arc<Fill>,
    pub(super) ready: Ready,
    pub(super) patience: Duration,
    pub(super) unprivileged: bool,
    pub(super) wrapped: bool,
}

impl ServerSpec {
    /// This program, from that package of Debian.
    #[must_use]
    pub fn new(program: impl Into<String>, package: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            package: package.into(),
            ports: 1,
            prepare: Vec::new(),
            fill: Arc::new(|_, _| {}),
            ready: Ready::Listens,
            patience: Duration::from_secs(10),
            unprivileged: false,
            wrapped: false,
        }
    }

    /// How many free ports it gets.
    #[must_use]
    pub fn ports(mut self, count: usize) -> Self {
        self.ports = count;
        self
    }

    /// Gives the program its arguments and environment, before every start. May write files to the directory.
    #[must_use]
    pub fn command(mut self, fill: impl Fn(&Place, &mut Command) + Send + Sync + 'static) -> Self {
        self.fill = Arc::new(fill);
        self
    }

    /// A program that must have run once before the first start, such as `initdb`: its path or name, and how to fill
    /// its command.
    #[must_use]
    pub fn prepare(
        mut self,
        program: impl Into<String>,
        fill: impl Fn(&Place, &mut Command) + Send + Sync + 'static,
    ) -> Self {
        self.prepare.push((program.into(), Arc::new(fill)));
        self
    }

    /// How one sees that it is ready.
    #[must_use]
    pub fn ready(mut self, ready: Ready) -> Self {
        self.ready = ready;
        self
    }

    /// How long it may take until it is ready.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// For a server that refuses to run as root: then it runs as `nobody`, who owns its directory.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// For a program that starts the server as a child of its own: both get all signals.
    #[must_use]
    pub fn wrapped(mut self) -> Self {
        self.wrapped = true;
        self
    }
}

impl fmt::Debug for ServerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSpec").field("program", &self.program).field("ready", &self.ready).finish_non_exhaustive()
    }
}
