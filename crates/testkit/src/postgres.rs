//! A real PostgreSQL as a child process: on a free port, with its own cluster, gone when it is dropped.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::server::{Ready, ServerError, ServerProcess, ServerSpec};

/// Where Debian puts the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The package that has them.
const PACKAGE: &str = "postgresql";
/// The superuser.
const USER: &str = "postgres";
/// What it answers once it takes connections, in the words of its log.
const READY: &str = "database system is ready to accept connections";
/// How long the processes of a killed server may take to notice.
const ORPHANS: Duration = Duration::from_secs(20);

/// How PostgreSQL is set up.
#[derive(Clone, Debug, Default)]
pub struct PostgresServerConfig {
    /// The password of everybody; `None` lets everybody in.
    pub password: Option<String>,
    /// Lets in over TLS, and without it too: the certificate and its private key, PEM.
    pub tls: Option<(String, String)>,
    /// More settings, such as `max_connections=5`.
    pub extra: Vec<String>,
}

/// A running PostgreSQL. Dropping it kills the process.
#[derive(Debug)]
pub struct PostgresServer {
    server: ServerProcess,
    password: Option<String>,
}

impl PostgresServer {
    /// Starts PostgreSQL for a test; `None` after saying that the test is skipped where it is not installed.
    ///
    /// # Panics
    /// It is installed and does not start, or is missing where the environment variable `CI` is set.
    pub async fn start_or_skip(config: PostgresServerConfig) -> Option<Self> {
        let password = config.password.clone();
        let initial = config.password.clone();
        let spec = ServerSpec::new(program("postgres"), PACKAGE)
            .unprivileged()
            .ready(Ready::Logs(READY))
            .patience(Duration::from_secs(30))
            .prepare(program("initdb"), move |place, command| {
                command.args(["-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"]);
                command.arg("-D").arg(place.directory().join("data"));
                match &initial {
                    Some(password) => {
                        let file = place.directory().join("password");
                        // Where it cannot be written, initdb says that it cannot be read.
                        _ = std::fs::write(&file, password);
                        command.args(["--auth=scram-sha-256", "--pwfile"]).arg(file);
                    }
                    None => {
                        command.arg("--auth=trust");
                    }
                }
            })
            .command(move |place, command| {
                command.arg("-D").arg(place.directory().join("data"));
                if let Some((cert, key)) = &config.tls {
                    for (setting, text) in [("ssl_cert_file", cert), ("ssl_key_file", key)] {
                        let file = place.directory().join(setting);
                        // Where it cannot be written, the server says that it cannot be read.
                        _ = write_private(&file, text);
                        command.args(["-c", &format!("{setting}={}", file.display())]);
                    }
                    command.args(["-c", "ssl=on"]);
                }
                command.args(["-p", &place.port(0).to_string(), "-h", "127.0.0.1", "-k", ""]);
                // The machine does not fail, only processes do.
                let settings = ["fsync=off", "shared_buffers=8MB", "max_connections=40", "logging_collector=off"];
                for setting in settings.into_iter().chain(config.extra.iter().map(String::as_str)) {
                    command.args(["-c", setting]);
                }
            });
        Some(Self { server: ServerProcess::start_or_skip(spec).await?, password })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The superuser.
    #[must_use]
    pub fn user(&self) -> &'static str {
        USER
    }

    /// Kills it, waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.server.kill().await
    }

    /// Starts it again on the same port, after killing it if it runs. What was committed is still there.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        let began = Instant::now();
        loop {
            match self.server.restart().await {
                // It waits for the processes of the killed one, which end as soon as they notice.
                Err(_) if began.elapsed() < ORPHANS => sleep(Duration::from_millis(50)).await,
                result => return result,
            }
        }
    }

    /// What it wrote to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// What its own client answers to these statements: a line per row, `|` between columns.
    ///
    /// # Errors
    /// When `psql` cannot be run, or a statement fails.
    pub async fn sql(&self, statements: &str) -> io::Result<String> {
        let mut command = Command::new(program("psql"));
        command.args(["-h", "127.0.0.1", "-p", &self.addr().port().to_string(), "-U", USER, "-d", "postgres"]);
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statements]);
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        let output = command.kill_on_drop(true).output().await?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
    }
}

/// Writes a file that only its owner may read, who is that of the folder.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    std::fs::write(file, text)?;
    #[cfg(unix)]
    if let Some(folder) = file.parent() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        let owner = folder.metadata()?;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
        chown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// The program of the newest version that Debian has here, else the one in `PATH`.
fn program(name: &str) -> String {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut numbered: Vec<(u32, PathBuf)> = versions
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin").join(name))))
        .filter(|(_, program)| program.is_file())
        .collect();
    numbered.sort();
    numbered.pop().map_or_else(|| name.to_owned(), |(_, program)| program.to_string_lossy().into_owned())
}
