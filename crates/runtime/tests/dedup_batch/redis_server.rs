//! A real Redis as a child process: on a free port, nothing stored, gone when it is dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tidemill_testkit::mosquitto::require_or_skip;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

const PROGRAM: &str = "redis-server";
/// How long it may take to listen.
const READY: Duration = Duration::from_secs(10);
/// How often a start is tried, each time on another port: another process may take a free one first.
const ATTEMPTS: usize = 5;

pub(crate) struct Redis {
    child: Child,
    port: u16,
    password: Option<&'static str>,
    directory: TempDir,
}

impl Redis {
    /// A server, or `None` after saying that the test is skipped.
    pub(crate) async fn start(password: Option<&'static str>) -> Option<Self> {
        let program = require_or_skip(program())?;
        for _ in 0..ATTEMPTS {
            let directory = tempfile::Builder::new().prefix("tidemill-redis-").tempdir().unwrap();
            let port = TcpListener::bind(local(0)).await.unwrap().local_addr().unwrap().port();
            if let Some(child) = launch(&program, port, password, &directory).await.unwrap() {
                return Some(Self { child, port, password, directory });
            }
        }
        panic!("{PROGRAM} did not start {ATTEMPTS} times");
    }

    pub(crate) fn url(&self) -> String {
        let password = self.password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Kills it, waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again on the same port, empty.
    pub(crate) async fn restart(&mut self) {
        self.kill().await;
        let child = launch(&program().unwrap(), self.port, self.password, &self.directory).await.unwrap();
        self.child = child.expect("it starts on its port again");
    }

    /// Stops it in its tracks, or lets it go on: connections stay open, nothing is answered.
    pub(crate) async fn freeze(&self, freeze: bool) {
        let signal = if freeze { "-STOP" } else { "-CONT" };
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }

    /// What its own client answers to a command.
    pub(crate) async fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(password) = self.password {
            command.env("REDISCLI_AUTH", password);
        }
        let output = command.args(words).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn program() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(PROGRAM));
    let found = candidates.find(|candidate| candidate.is_file());
    found.ok_or_else(|| format!("{PROGRAM} is not installed: apt-get install redis-server"))
}

/// `None` when it ended before it listened.
async fn launch(
    program: &PathBuf,
    port: u16,
    password: Option<&str>,
    directory: &TempDir,
) -> io::Result<Option<Child>> {
    let mut command = Command::new(program);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(directory.path());
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let deadline = Instant::now() + READY;
    while TcpStream::connect(local(port)).await.is_err() {
        if child.try_wait()?.is_some() || Instant::now() > deadline {
            return Ok(None);
        }
        sleep(Duration::from_millis(10)).await;
    }
    // Somebody else may have answered, on a port that was taken in between.
    sleep(Duration::from_millis(10)).await;
    Ok(child.try_wait()?.is_none().then_some(child))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
