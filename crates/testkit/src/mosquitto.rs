//! A real Mosquitto as a child process: on a free port, with its own configuration in a temporary directory, and gone
//! when it is dropped.
//!
//! A free port is found by asking the kernel for one, which another process may take before Mosquitto does; the start
//! is tried again on another one then.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long it may take to listen.
const READY: Duration = Duration::from_secs(10);
/// How often a start is tried, each time on another port.
const ATTEMPTS: usize = 5;

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
    child: Option<Child>,
    program: PathBuf,
    ports: Ports,
    directory: TempDir,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    plain: u16,
    tls: Option<u16>,
    websockets: Option<u16>,
}

/// Why there is no Mosquitto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MosquittoErrorKind {
    /// The program is not installed.
    Missing,
    /// It did not start, or did not listen in time.
    NotStarted,
}

/// Mosquitto is not there.
#[derive(Debug)]
pub struct MosquittoError {
    kind: MosquittoErrorKind,
    what: String,
    source: Option<io::Error>,
}

impl MosquittoError {
    fn not_started(what: impl Into<String>, source: impl Into<Option<io::Error>>) -> Self {
        Self { kind: MosquittoErrorKind::NotStarted, what: what.into(), source: source.into() }
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> MosquittoErrorKind {
        self.kind
    }
}

impl fmt::Display for MosquittoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            MosquittoErrorKind::Missing => write!(f, "{} is not installed: apt-get install mosquitto", self.what),
            MosquittoErrorKind::NotStarted => write!(f, "mosquitto did not start: {}", self.what),
        }
    }
}

impl std::error::Error for MosquittoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Finds a program of Mosquitto's in `PATH` or where Debian puts it: `mosquitto`, `mosquitto_sub`, `mosquitto_pub`.
///
/// # Errors
/// [`MosquittoErrorKind::Missing`] when it is not there.
pub fn find(program: &str) -> Result<PathBuf, MosquittoError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path).chain(beside).map(|directory| directory.join(program));
    candidates.find(|candidate| candidate.is_file()).ok_or_else(|| MosquittoError {
        kind: MosquittoErrorKind::Missing,
        what: program.to_owned(),
        source: None,
    })
}

/// The value, or `None` after saying on standard error that a test was skipped.
///
/// # Panics
/// When the environment variable `CI` is set, where nothing may be skipped.
#[expect(clippy::panic, clippy::print_stderr, reason = "for tests")]
pub fn require_or_skip<T, E: fmt::Display>(needed: Result<T, E>) -> Option<T> {
    match needed {
        Ok(value) => Some(value),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

impl Mosquitto {
    /// Starts Mosquitto and waits until it listens.
    ///
    /// # Errors
    /// [`MosquittoErrorKind::Missing`] when it is not installed, [`MosquittoErrorKind::NotStarted`] with the end of
    /// its log when it does not come up.
    pub async fn start(config: MosquittoConfig) -> Result<Self, MosquittoError> {
        let program = find("mosquitto")?;
        let directory = tempfile::Builder::new().prefix("tidemill-mosquitto-").tempdir();
        let directory = directory.map_err(|source| MosquittoError::not_started("no temporary directory", source))?;
        let mut broker = Self { child: None, program, ports: Ports::none(), directory };
        let mut last = None;
        for _ in 0..ATTEMPTS {
            broker.ports = Ports::free(&config).await?;
            broker.write_config(&config).await?;
            match broker.launch().await {
                Ok(()) => return Ok(broker),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| MosquittoError::not_started("no attempt was made", None)))
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        local(self.ports.plain)
    }

    /// Where it listens with TLS, if it does.
    #[must_use]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.ports.tls.map(local)
    }

    /// Where it listens for WebSocket connections, if it does.
    #[must_use]
    pub fn websocket_addr(&self) -> Option<SocketAddr> {
        self.ports.websockets.map(local)
    }

    /// `mqtt://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr())
    }

    /// The process, 0 when it was killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or(0)
    }

    /// Where its configuration, log and stored state are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Starts it on the same ports again, after killing it if it runs. What it stored is still there.
    ///
    /// # Errors
    /// When it does not come up, see [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), MosquittoError> {
        self.kill().await.map_err(|source| MosquittoError::not_started("the old process stays", source))?;
        self.launch().await
    }

    async fn launch(&mut self) -> Result<(), MosquittoError> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.path().join("log"));
        let log = log.map_err(|source| MosquittoError::not_started("no log file", source))?;
        let mut child = Command::new(&self.program)
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| MosquittoError::not_started(self.program.display().to_string(), source))?;
        let deadline = Instant::now() + READY;
        while !self.answers().await {
            let ended = child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > deadline {
                return Err(MosquittoError::not_started(last_lines(&self.log()), None));
            }
            sleep(Duration::from_millis(10)).await;
        }
        // Somebody else may have answered, on a port that was taken in between.
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return Err(MosquittoError::not_started(last_lines(&self.log()), None));
        }
        self.child = Some(child);
        Ok(())
    }

    /// Whether all its ports are open.
    async fn answers(&self) -> bool {
        for addr in [Some(self.addr()), self.tls_addr(), self.websocket_addr()].into_iter().flatten() {
            if TcpStream::connect(addr).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn write_config(&self, config: &MosquittoConfig) -> Result<(), MosquittoError> {
        let failed = |source| MosquittoError::not_started("its configuration cannot be written", source);
        let directory = self.directory.path();
        // Started by root it would become another user, who may not write here; otherwise the line has no effect.
        let mut text = format!("user root\nlistener {} 127.0.0.1\n", self.ports.plain);
        let mut line = |line: fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            _ = writeln!(text, "{line}");
        };
        if let (Some(port), Some(tls)) = (self.ports.tls, &config.tls) {
            line(format_args!("listener {port} 127.0.0.1"));
            line(format_args!("certfile {}", tls.cert.display()));
            line(format_args!("keyfile {}", tls.key.display()));
            if let Some(ca) = &tls.client_ca {
                line(format_args!("cafile {}\nrequire_certificate true", ca.display()));
            }
        }
        if let Some(port) = self.ports.websockets {
            line(format_args!("listener {port} 127.0.0.1\nprotocol websockets"));
        }
        line(format_args!("max_queued_messages {}", config.max_queued_messages.unwrap_or(0)));
        if let Some(inflight) = config.max_inflight {
            line(format_args!("max_inflight_messages {inflight}"));
        }
        if config.persistence {
            line(format_args!("persistence true\npersistence_location {}/\nautosave_interval 1", directory.display()));
        }
        match &config.user {
            Some((user, password)) => {
                let file = directory.join("passwords");
                write_passwords(&file, user, password).await?;
                line(format_args!("allow_anonymous false\npassword_file {}", file.display()));
            }
            None => line(format_args!("allow_anonymous true")),
        }
        config.extra.iter().for_each(|extra| line(format_args!("{extra}")));
        std::fs::write(directory.join("mosquitto.conf"), text).map_err(failed)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The runtime reaps the process; it may have ended already.
            _ = child.start_kill();
        }
    }
}

impl Ports {
    const fn none() -> Self {
        Self { plain: 0, tls: None, websockets: None }
    }

    async fn free(config: &MosquittoConfig) -> Result<Self, MosquittoError> {
        let failed = |source| MosquittoError::not_started("no free port", source);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(TcpListener::bind(local(0)).await.map_err(failed)?);
        }
        let port = |at: usize| held[at].local_addr().map(|addr| addr.port()).map_err(failed);
        Ok(Self {
            plain: port(0)?,
            tls: if config.tls.is_some() { Some(port(1)?) } else { None },
            websockets: if config.websockets { Some(port(2)?) } else { None },
        })
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn write_passwords(file: &Path, user: &str, password: &str) -> Result<(), MosquittoError> {
    let failed = |source| MosquittoError::not_started("its password file cannot be written", source);
    std::fs::write(file, "").map_err(failed)?;
    let status = Command::new(find("mosquitto_passwd")?)
        .arg("-b")
        .args([file.as_os_str(), user.as_ref(), password.as_ref()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .map_err(failed)?;
    if status.success() { Ok(()) } else { Err(MosquittoError::not_started("mosquitto_passwd failed", None)) }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
