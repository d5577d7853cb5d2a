//! A Mosquitto with its own defaults, for programs that are given the URL of a broker.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::process;
use crate::report::Stopwatch;

/// How long it may take to listen.
const LISTENS: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);

/// It runs as long as this lives.
#[derive(Debug)]
pub(super) struct Mosquitto {
    child: Child,
    port: u16,
}

impl Mosquitto {
    pub(super) fn start() -> Result<Self, Failure> {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(|e| Failure::because("find a free port", e))?.port();
        let mut command = Command::new("mosquitto");
        if let Ok(path) = std::env::join_paths(process::search_path()) {
            command.env("PATH", path);
        }
        // Without a configuration file it listens on the loopback interface alone.
        command.args(["-p", &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|e| {
            Failure::because("start mosquitto; install on Debian with: sudo apt-get install mosquitto", e)
        })?;
        let mosquitto = Self { child, port };
        let watch = Stopwatch::start();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if watch.elapsed() > LISTENS {
                return Err(Failure::new("mosquitto does not listen"));
            }
            thread::park_timeout(TICK);
        }
        Ok(mosquitto)
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
