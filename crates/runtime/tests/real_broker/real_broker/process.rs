//! Workers in processes of their own: this program starts itself again as a worker that is driven by signals.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerResult, async_trait, report};
use tidemill_runtime::config::ProcessEnv;
use tidemill_runtime::{Config, Worker, shutdown_signal};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::support::*;

/// How long the child's handler takes, in milliseconds. Only a child has it.
const TAKES: &str = "WORKER_TAKES_MS";
/// Set: the child's handler never comes back from `stop`.
const CLINGS: &str = "WORKER_CLINGS";

/// Says what it does on standard output.
struct Telling(Duration, bool);

#[async_trait]
impl Handler for Telling {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        let payload = String::from_utf8_lossy(event.payload()).into_owned();
        println!("begun {payload}");
        tokio::time::sleep(self.0).await;
        println!("handled {payload}");
        Ok(())
    }

    async fn stop(&self) {
        if self.1 {
            println!("clings");
            std::future::pending::<()>().await;
        }
    }
}

/// No test: what the child does. Run as a test it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_its_own_process() {
    let Ok(takes) = std::env::var(TAKES) else { return };
    let config = Config::loader().env(&ProcessEnv).load().unwrap();
    let handler = Telling(Duration::from_millis(takes.parse().unwrap()), std::env::var(CLINGS).is_ok());
    let worker = Worker::builder(config).route("t/#", handler).build().unwrap();
    let handle = worker.handle();
    tokio::spawn(async move {
        handle.ready().await;
        println!("ready");
    });
    match worker.run_until(shutdown_signal()).await {
        Ok(summary) => println!("ended well: {summary:?}"),
        Err(error) => println!("ended with {:?}: {}", error.kind(), report(&error)),
    }
}

/// A worker in a process of its own.
pub(super) struct Process {
    child: tokio::process::Child,
    said: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Process {
    /// Starts one at that broker and waits until it has joined.
    pub(super) async fn joined(url: &str, takes: Duration, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "real_broker::process::a_worker_of_its_own_process", "--nocapture"])
            .env(TAKES, takes.as_millis().to_string())
            .env("TIDEMILL_MQTT__URL", url)
            .env("TIDEMILL_GROUP__NAME", "g")
            // What the broker counts is to be what the tests publish.
            .env("TIDEMILL_GROUP__VERIFY", "never")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let into = Arc::clone(&said);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                into.lock().unwrap().push(line);
            }
        });
        let process = Self { child, said, reading };
        until(|| process.has_said("ready")).await;
        process
    }

    pub(super) fn has_said(&self, line: &str) -> bool {
        self.said.lock().unwrap().iter().any(|said| said.starts_with(line))
    }

    /// The payloads that it has handled, in order.
    pub(super) fn handled(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        said.iter().filter_map(|line| line.strip_prefix("handled ")).map(ToOwned::to_owned).collect()
    }

    /// Sends a signal.
    pub(super) async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap().success());
    }

    /// Waits until it has ended, and everything that it said is known.
    pub(super) async fn ended(&mut self) -> (ExitStatus, String) {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait());
        let status = ended.await.expect("it does not end").unwrap();
        (&mut self.reading).await.unwrap();
        let said = self.said.lock().unwrap();
        (status, said.iter().find(|line| line.starts_with("ended ")).cloned().unwrap_or_default())
    }
}
