//! A real RabbitMQ as a child process, and the port mapper that it cannot do without: on free ports, gone when it is
//! dropped. It takes some ten seconds to start, so tests share one.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Ready, ServerError, ServerProcess, ServerSpec};

/// The wrapper of that name in the path insists on a user of its own.
const PLACES: [&str; 3] =
    ["/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/local/sbin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server"];
/// On a small machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running RabbitMQ. Dropping it kills the process.
#[derive(Debug)]
pub struct RabbitMqServer {
    server: ServerProcess,
    _mapper: ServerProcess,
}

impl RabbitMqServer {
    /// Starts RabbitMQ for a test, with the lines of its configuration file that are given, such as
    /// `max_message_size = 65536`; `None` after saying that the test is skipped where it is not installed.
    ///
    /// # Panics
    /// It is installed and does not start, or is missing where the environment variable `CI` is set.
    pub async fn start_or_skip(config: &str) -> Option<Self> {
        // Started by RabbitMQ it would outlive it.
        let mapper = ServerSpec::new("epmd", "erlang-base").command(|place, command| {
            command.args(["-address", "127.0.0.1", "-port", &place.port(0).to_string()]);
        });
        let mapper = ServerProcess::start_or_skip(mapper).await?;
        let mapper_port = mapper.addr().port();
        let program = PLACES.into_iter().find(|place| Path::new(place).is_file()).unwrap_or("rabbitmq-server");
        let config = config.to_owned();
        let server = ServerSpec::new(program, "rabbitmq-server").ports(2).wrapped().patience(PATIENCE);
        let server = server.ready(Ready::asks(|place| greets(place.addr(0))));
        let server = server.command(move |place, command| {
            let home = place.directory();
            // Where they cannot be written, the server does not start and says why.
            _ = std::fs::write(home.join("rabbitmq.conf"), format!("{config}\n"));
            _ = std::fs::write(home.join("enabled_plugins"), "[].\n");
            command
                .env("HOME", home)
                .env("RABBITMQ_BASE", home)
                .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
                .env("RABBITMQ_LOG_BASE", home.join("logs"))
                .env("RABBITMQ_PID_FILE", home.join("pid"))
                .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq"))
                .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("enabled_plugins"))
                .env("RABBITMQ_NODENAME", format!("testkit-{}@localhost", place.port(0)))
                .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
                .env("RABBITMQ_NODE_PORT", place.port(0).to_string())
                .env("RABBITMQ_DIST_PORT", place.port(1).to_string())
                .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
                .env("ERL_EPMD_ADDRESS", "127.0.0.1")
                .env("ERL_EPMD_PORT", mapper_port.to_string());
        });
        Some(Self { server: ServerProcess::start_or_skip(server).await?, _mapper: mapper })
    }

    /// Where it listens for AMQP. `guest` may log in, with the password `guest`.
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

    /// Starts it again on the same port; what is durable is still there.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.server.restart().await
    }
}

/// Whether it begins to speak AMQP: it accepts connections some time before, and resets them.
async fn greets(addr: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(addr).await else { return false };
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.is_ok() && stream.read_u8().await.is_ok()
}
