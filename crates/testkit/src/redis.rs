//! A real Redis as a child process: on a free port, nothing stored, gone when it is dropped.

use std::io;
use std::net::SocketAddr;

use tokio::process::Command;

use crate::server::{ServerError, ServerProcess, ServerSpec};

/// How Redis is set up.
#[derive(Clone, Debug, Default)]
pub struct RedisConfig {
    /// Lets in only who knows this password.
    pub password: Option<String>,
    /// Keeps what was written across a restart, in an append-only file that is synced on every write.
    pub persistence: bool,
    /// More words for the command line, such as `--maxmemory 1mb`.
    pub extra: Vec<String>,
}

/// A running Redis. Dropping it kills the process.
#[derive(Debug)]
pub struct RedisServer {
    server: ServerProcess,
    password: Option<String>,
}

impl RedisServer {
    /// Starts Redis for a test; `None` after saying that the test is skipped where it is not installed.
    ///
    /// # Panics
    /// It is installed and does not start, or is missing where the environment variable `CI` is set.
    pub async fn start_or_skip(config: RedisConfig) -> Option<Self> {
        let password = config.password.clone();
        let spec = ServerSpec::new("redis-server", "redis-server").command(move |place, command| {
            let append = if config.persistence { "yes" } else { "no" };
            command.args(["--port", &place.port(0).to_string(), "--bind", "127.0.0.1", "--save", ""]);
            command.args(["--appendonly", append, "--appendfsync", "always"]).arg("--dir").arg(place.directory());
            if let Some(password) = &config.password {
                command.args(["--requirepass", password]);
            }
            command.args(&config.extra);
        });
        Some(Self { server: ServerProcess::start_or_skip(spec).await?, password })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// `redis://:password@127.0.0.1:port/0`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_through(self.addr())
    }

    /// The same by way of another address, a proxy's for one.
    #[must_use]
    pub fn url_through(&self, addr: SocketAddr) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}{addr}/0")
    }

    /// Kills it, waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.server.kill().await
    }

    /// Starts it again on the same port; empty unless it keeps what was written.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.server.restart().await
    }

    /// Stops it in its tracks, or lets it go on: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When there is no process.
    pub fn freeze(&self, freeze: bool) -> io::Result<()> {
        self.server.freeze(freeze)
    }

    /// What its own client answers to a command.
    ///
    /// # Errors
    /// When `redis-cli` cannot be run.
    pub async fn cli(&self, words: &[&str]) -> io::Result<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &self.addr().port().to_string()]);
        if let Some(password) = &self.password {
            command.env("REDISCLI_AUTH", password);
        }
        let output = command.args(words).kill_on_drop(true).output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
