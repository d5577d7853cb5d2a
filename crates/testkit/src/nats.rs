//! A real NATS server as a child process: on a free port, with JetStream, gone when it is dropped.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use crate::server::{ServerError, ServerProcess, ServerSpec};

/// How NATS is set up.
#[derive(Clone, Debug, Default)]
pub struct NatsConfig {
    /// Lets in only who knows this name and password.
    pub login: Option<(String, String)>,
    /// More lines for its configuration file, such as `max_payload: 64KB`.
    pub extra: String,
}

/// A running NATS server. Dropping it kills the process.
#[derive(Debug)]
pub struct NatsServer {
    server: ServerProcess,
}

impl NatsServer {
    /// Starts NATS for a test; `None` after saying that the test is skipped where it is not installed.
    ///
    /// # Panics
    /// It is installed and does not start, or is missing where the environment variable `CI` is set.
    pub async fn start_or_skip(config: NatsConfig) -> Option<Self> {
        let spec = ServerSpec::new("nats-server", "nats-server").command(move |place, command| {
            let mut text = format!(
                "host: 127.0.0.1\nport: {}\nserver_name: testkit\njetstream {{ store_dir: {:?} }}\n{}\n",
                place.port(0),
                place.directory(),
                config.extra
            );
            if let Some((user, password)) = &config.login {
                // Writing to a string does not fail.
                _ = writeln!(text, "authorization {{ user: {user:?}, password: {password:?} }}");
            }
            let file = place.directory().join("nats.conf");
            // Where it cannot be written, the server does not start and says why.
            _ = std::fs::write(&file, text);
            command.arg("-c").arg(file);
        });
        Some(Self { server: ServerProcess::start_or_skip(spec).await? })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Kills it, waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.server.kill().await
    }

    /// Starts it again on the same port; streams are still there.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.server.restart().await
    }
}
