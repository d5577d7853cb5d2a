//! Runs the program as a child process, which ends with the test whatever happens.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// Nothing here takes nearly as long; it only keeps a defect from hanging the tests.
const LIMIT: Duration = Duration::from_secs(100);

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The last line of standard output.
    pub(crate) fn report(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_else(|| panic!("nothing on standard output: {}", self.stderr));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The report of a run in which every event was handled exactly once and in order.
    pub(crate) fn good_report(&self, events: u64) -> Value {
        let report = self.report();
        assert_eq!(self.code, 0, "{}", self.stderr);
        for key in ["published", "handled"] {
            assert_eq!(report[key], events, "{key} in {report}");
        }
        for key in ["dead_lettered", "lost", "duplicated", "out_of_order", "unconfirmed"] {
            assert_eq!(report[key], 0, "{key} in {report}");
        }
        assert_eq!(report["ok"], true, "{report}");
        report
    }
}

/// A running program.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
    stdout: BufReader<ChildStdout>,
    written: String,
}

pub(crate) fn start(args: &[&str]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let stdout = BufReader::new(child.stdout.take().unwrap());
    Running { child, stderr, said: String::new(), stdout, written: String::new() }
}

impl Running {
    /// Waits until it has said this on standard error.
    pub(crate) async fn says(&mut self, what: &str) {
        while !self.said.contains(what) {
            let read = timeout(LIMIT, self.stderr.read_line(&mut self.said)).await.unwrap().unwrap();
            assert!(read > 0, "it never said {what:?}: {}", self.said);
        }
    }

    /// Asks it to end, as an orchestrator does.
    pub(crate) async fn terminate(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    }

    /// Waits until it has written a line of JSON for which this holds.
    pub(crate) async fn reports(&mut self, wanted: impl Fn(&Value) -> bool) {
        loop {
            let begin = self.written.len();
            let read = timeout(LIMIT, self.stdout.read_line(&mut self.written)).await.unwrap().unwrap();
            assert!(read > 0, "it never reported that: {}", self.written);
            if wanted(&serde_json::from_str(&self.written[begin..]).unwrap()) {
                return;
            }
        }
    }

    pub(crate) async fn end(mut self) -> Ended {
        let all = async {
            let (read, said) =
                tokio::join!(self.stdout.read_to_string(&mut self.written), self.stderr.read_to_string(&mut self.said));
            read.unwrap();
            said.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = timeout(LIMIT, all).await.expect("it does not end");
        Ended { code: status.code().unwrap_or(-1), stdout: self.written, stderr: self.said }
    }
}

pub(crate) async fn run(args: &[&str]) -> Ended {
    start(args).end().await
}
