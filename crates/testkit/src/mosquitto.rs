//! A real Mosquitto as a child process: on a free port, with its own configuration in a temporary directory, and gone
//! when it is dropped.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::server::{Place, ServerProcess, ServerSpec};

pub use crate::server::{ServerError as MosquittoError, ServerErrorKind as MosquittoErrorKind, require_or_skip};

/// What the configuration file and the one with passwords are called.
const CONFIG: &str = "mosquitto.conf";
const PASSWORDS: &str = "passwords";

/// How Mosquitto is set up.
#[derive(Clone, Debug, Default)]
pub struct MosquittoConfig {
    /// Events that are queued for a client at most; 0 is no limit, as is `None` here. Mosquitto's own default of 1000
    /// loses events without a word.
    pub max_queued_messages: Option<u32>,
    /// Unacknowledged events per client; 0 leaves it to the client. `None` is Mosquitto's default of 20, for clients
    /// that speak MQTT 3.1.1.
    pub max_inflight: Option<u32>,
    /// Whether sessions and retained events survive a restart. They are stored every second or two, and Mosquitto
    /// 2.0.11 does not store the sessions that began with a clean start.
    pub persistence: bool,
    /// Lets in only this user with this password.
    pub user: Option<(String, String)>,
    /// Opens a second listener with TLS.
    pub tls: Option<MosquittoTls>,
    /// Opens another listener for MQTT over WebSocket.
    pub websockets: bool,
    /// More lines for the configuration file.
    pub extra: Vec<String>,
}

/// The files of a TLS listener, PEM.
#[derive(Clone, Debug)]
pub struct MosquittoTls {
    /// The certificate and those that it is signed with.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whom client certificates must be signed by; `None` does not ask for one.
    pub client_ca: Option<PathBuf>,
}

/// A running Mosquitto. Dropping it kills the process.
#[derive(Debug)]
pub struct Mosquitto {
    server: ServerProcess,
    ports: Ports,
}

/// Which of the server's ports is for what.
#[derive(Clone, Copy, Debug)]
struct Ports {
    tls: Option<usize>,
    websockets: Option<usize>,
}

/// Finds a program of Mosquitto's in `PATH` or where Debian puts it: `mosquitto`, `mosquitto_sub`, `mosquitto_pub`.
///
/// # Errors
/// [`MosquittoErrorKind::Missing`] when it is not there.
pub fn find(program: &str) -> Result<PathBuf, MosquittoError> {
    crate::server::find(program, "mosquitto")
}

impl Mosquitto {
    /// Starts Mosquitto and waits until it listens.
    ///
    /// # Errors
    /// [`MosquittoErrorKind::Missing`] when it is not installed, [`MosquittoErrorKind::NotStarted`] with the end of
    /// its log when it does not come up.
    pub async fn start(config: MosquittoConfig) -> Result<Self, MosquittoError> {
        let tls = config.tls.is_some().then_some(1);
        let websockets = config.websockets.then_some(1 + usize::from(tls.is_some()));
        let ports = Ports { tls, websockets };
        let count = 1 + usize::from(tls.is_some()) + usize::from(websockets.is_some());
        let mut spec = ServerSpec::new("mosquitto", "mosquitto").ports(count);
        if let Some((user, password)) = config.user.clone() {
            spec = spec.prepare("mosquitto_passwd", move |place, command| {
                command.args(["-c", "-b"]).arg(place.directory().join(PASSWORDS)).args([&user, &password]);
            });
        }
        let spec = spec.command(move |place, command| {
            let file = place.directory().join(CONFIG);
            // Where it cannot be written, Mosquitto says that it cannot be read.
            _ = std::fs::write(&file, config.text(place, ports));
            command.arg("-c").arg(file);
        });
        Ok(Self { server: ServerProcess::start(spec).await?, ports })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Where it listens with TLS, if it does.
    #[must_use]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.ports.tls.map(|port| self.server.place().addr(port))
    }

    /// Where it listens for WebSocket connections, if it does.
    #[must_use]
    pub fn websocket_addr(&self) -> Option<SocketAddr> {
        self.ports.websockets.map(|port| self.server.place().addr(port))
    }

    /// `mqtt://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr())
    }

    /// The process, 0 when it was killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where its configuration, log and stored state are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.server.directory()
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.server.kill().await
    }

    /// Starts it on the same ports again, after killing it if it runs. What it stored is still there.
    ///
    /// # Errors
    /// When it does not come up, see [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), MosquittoError> {
        self.server.restart().await
    }
}

impl MosquittoConfig {
    /// The configuration file.
    fn text(&self, place: &Place, ports: Ports) -> String {
        let directory = place.directory().display();
        // Started by root it would become another user, who may not write here; otherwise the line has no effect.
        let mut text = format!("user root\nlistener {} 127.0.0.1\n", place.port(0));
        let mut line = |line: fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            _ = writeln!(text, "{line}");
        };
        if let (Some(port), Some(tls)) = (ports.tls, &self.tls) {
            line(format_args!("listener {} 127.0.0.1", place.port(port)));
            line(format_args!("certfile {}", tls.cert.display()));
            line(format_args!("keyfile {}", tls.key.display()));
            if let Some(ca) = &tls.client_ca {
                line(format_args!("cafile {}\nrequire_certificate true", ca.display()));
            }
        }
        if let Some(port) = ports.websockets {
            line(format_args!("listener {} 127.0.0.1\nprotocol websockets", place.port(port)));
        }
        line(format_args!("max_queued_messages {}", self.max_queued_messages.unwrap_or(0)));
        if let Some(inflight) = self.max_inflight {
            line(format_args!("max_inflight_messages {inflight}"));
        }
        if self.persistence {
            line(format_args!("persistence true\npersistence_location {directory}/\nautosave_interval 1"));
        }
        match &self.user {
            Some(_) => line(format_args!("allow_anonymous false\npassword_file {directory}/{PASSWORDS}")),
            None => line(format_args!("allow_anonymous true")),
        }
        self.extra.iter().for_each(|extra| line(format_args!("{extra}")));
        text
    }
}
