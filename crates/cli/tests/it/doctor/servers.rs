//! NATS and RabbitMQ as child processes on free ports of the loopback interface, gone with the test.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// RabbitMQ takes ten seconds on a small machine that does nothing else.
const READY: Duration = Duration::from_secs(60);

/// Why a server is not there.
#[derive(Debug)]
pub(super) struct NotThere(String);

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn find(program: &str, package: &str, places: &[&str]) -> Result<PathBuf, NotThere> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = places.iter().chain(&["/usr/sbin", "/usr/bin"]).map(PathBuf::from);
    let mut candidates = beside.chain(std::env::split_paths(&path)).map(|directory| directory.join(program));
    candidates
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| NotThere(format!("{program} is not installed: apt-get install {package}")))
}

/// Free ports. Somebody else may take one before the server does; the test fails then.
async fn free_ports<const N: usize>() -> [u16; N] {
    let mut held = Vec::new();
    for _ in 0..N {
        held.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    std::array::from_fn(|at| held[at].local_addr().unwrap().port())
}

fn log_file(directory: &Path) -> Stdio {
    std::fs::OpenOptions::new().create(true).append(true).open(directory.join("output")).unwrap().into()
}

/// Waits until it listens.
async fn ready(child: &mut Child, port: u16, directory: &Path) -> Result<(), NotThere> {
    let deadline = Instant::now() + READY;
    while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.is_err() {
        let ended = child.try_wait().unwrap().is_some();
        if ended || Instant::now() > deadline {
            let log = std::fs::read_to_string(directory.join("output")).unwrap_or_default();
            return Err(NotThere(format!("the server did not start: {log}")));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A NATS server with MQTT.
#[derive(Debug)]
pub(super) struct Nats {
    _child: Child,
    port: u16,
    _directory: TempDir,
}

impl Nats {
    pub(super) async fn start() -> Result<Self, NotThere> {
        let program = find("nats-server", "nats-server", &[])?;
        let directory = tempfile::tempdir().unwrap();
        let [own, port] = free_ports().await;
        let config = format!(
            "host: 127.0.0.1\nport: {own}\nserver_name: doctor\njetstream {{ store_dir: {:?} }}\n\
             mqtt {{ host: 127.0.0.1, port: {port} }}\n",
            directory.path()
        );
        std::fs::write(directory.path().join("nats.conf"), config).unwrap();
        let mut child = Command::new(program)
            .arg("-c")
            .arg(directory.path().join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(log_file(directory.path()))
            .stderr(log_file(directory.path()))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        ready(&mut child, port, directory.path()).await?;
        Ok(Self { _child: child, port, _directory: directory })
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

/// A RabbitMQ with its MQTT plugin, and the port mapper that it cannot do without.
#[derive(Debug)]
pub(super) struct RabbitMq {
    child: Child,
    _mapper: Child,
    port: u16,
    _directory: TempDir,
}

impl RabbitMq {
    pub(super) async fn start() -> Result<Self, NotThere> {
        // The wrapper of that name in the path insists on a user of its own.
        let places = ["/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/rabbitmq/sbin"];
        let program = find("rabbitmq-server", "rabbitmq-server", &places)?;
        let mapper = find("epmd", "erlang-base", &[])?;
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let [mapper_port, own, distribution, port] = free_ports().await;
        std::fs::write(home.join("enabled_plugins"), "[rabbitmq_mqtt].\n").unwrap();
        let config =
            format!("listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\nmqtt.allow_anonymous = true\n");
        std::fs::write(home.join("rabbitmq.conf"), config).unwrap();
        // Started by RabbitMQ it would outlive it.
        let mapper = Command::new(mapper)
            .args(["-address", "127.0.0.1", "-port", &mapper_port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut child = Command::new(program)
            // The script starts the virtual machine, and both have to go.
            .process_group(0)
            .env("HOME", home)
            .env("RABBITMQ_BASE", home)
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("enabled_plugins"))
            .env("RABBITMQ_NODENAME", format!("doctor-{own}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", own.to_string())
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", mapper_port.to_string())
            .stdin(Stdio::null())
            .stdout(log_file(home))
            .stderr(log_file(home))
            .spawn()
            .unwrap();
        let started = ready(&mut child, port, home).await;
        let server = Self { child, _mapper: mapper, port, _directory: directory };
        started.map(|()| server)
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            let group = format!("-{pid}");
            // Nothing can be done where it fails.
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
        }
    }
}
