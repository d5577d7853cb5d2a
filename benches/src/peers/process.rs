//! A peer that runs: started on a core of its own, watched through `/proc`, and gone when it goes out of scope.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::Error;

/// Lines of a peer's complaints that are kept.
const KEPT: usize = 3;
/// Longest wait for complaints of a peer that has ended.
const COMPLAINS: Duration = Duration::from_millis(200);

/// How a peer is run.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    program: OsString,
    args: Vec<OsString>,
    folder: Option<PathBuf>,
    env: Vec<(&'static str, &'static str)>,
    /// It says nothing of its own, but prints a line for every event.
    lines: bool,
}

impl Recipe {
    pub(super) fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), folder: None, env: Vec::new(), lines: false }
    }

    pub(super) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(OsString::from));
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    pub(super) fn within(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    pub(super) fn counts_lines(mut self) -> Self {
        self.lines = true;
        self
    }
}

/// What is asked of a peer.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) port: u16,
    pub(super) group: String,
    pub(super) filter: String,
    pub(super) events: u64,
    pub(super) window: u16,
    pub(super) core: usize,
}

/// The last words of a peer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Said {
    pub(super) events: u64,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    said: Receiver<Said>,
    complaints: Complaints,
}

/// The last lines of a standard error.
type Complaints = Arc<Mutex<VecDeque<String>>>;

impl Process {
    pub(super) fn start(recipe: &Recipe, job: &Job) -> Result<Self, Error> {
        let mut command = Command::new("taskset");
        command.args(["-c", &job.core.to_string()]).arg(&recipe.program).args(&recipe.args);
        if let Some(folder) = &recipe.folder {
            command.current_dir(folder);
        }
        if recipe.lines {
            let filter = format!("$share/{}/{}", job.group, job.filter);
            command.args(["-h", "127.0.0.1", "-p", &job.port.to_string(), "-t", &filter, "-q", "1", "-V", "mqttv5"]);
            command.args(["-D", "connect", "receive-maximum", &job.window.to_string()]);
        }
        let mut child = command
            .envs(recipe.env.iter().copied())
            .env("PEER_HOST", "127.0.0.1")
            .env("PEER_PORT", job.port.to_string())
            .env("PEER_GROUP", &job.group)
            .env("PEER_FILTER", &job.filter)
            .env("PEER_EVENTS", job.events.to_string())
            .env("PEER_WINDOW", job.window.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Error::new(format!("it cannot be started: {error}")))?;
        let Some(stdout) = child.stdout.take() else { return Err(Error::new("it has no standard output")) };
        let (sender, said) = sync_channel(1);
        let (lines, events) = (recipe.lines, job.events);
        thread::spawn(move || {
            if let Some(words) = listen(stdout, lines, events) {
                // Nobody listens any more when the run was given up.
                let _ = sender.send(words);
            }
        });
        let complaints = Complaints::default();
        if let Some(stderr) = child.stderr.take() {
            let kept = Arc::clone(&complaints);
            thread::spawn(move || keep_last(stderr, &kept));
        }
        Ok(Self { child, said, complaints })
    }

    /// An error with what the peer itself said last.
    pub(super) fn explain(&self, error: &Error) -> Error {
        thread::park_timeout(COMPLAINS);
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let said: Vec<&str> = complaints.iter().map(String::as_str).collect();
        if said.is_empty() {
            Error::new(error.to_string())
        } else {
            Error::new(format!("{error}; it said: {}", said.join(" / ")))
        }
    }

    /// Its last words, if they come in time.
    pub(super) fn said(&self, patience: Duration) -> Result<Said, Error> {
        self.said.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => Error::new(format!("not all events came within {} s", patience.as_secs())),
            RecvTimeoutError::Disconnected => Error::new("it ended before all events came"),
        })
    }

    /// CPU time of all its threads so far, in microseconds.
    pub(super) fn cpu_us(&self) -> Result<f64, Error> {
        let gone = |error: std::io::Error| Error::new(format!("it is gone: {error}"));
        let mut ns = 0_u64;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id())).map_err(gone)? {
            let path = thread.map_err(gone)?.path().join("schedstat");
            // A thread may end between the two looks.
            let text = fs::read_to_string(path).unwrap_or_default();
            ns += text.split(' ').next().and_then(|on_cpu| on_cpu.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(ns as f64 / 1000.0)
    }

    /// Most memory that it ever held, in KiB.
    pub(super) fn peak_rss_kib(&self) -> Result<u64, Error> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).map_err(|error| Error::new(format!("read {path}: {error}")))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok())
            .ok_or_else(|| Error::new(format!("read {path}: no VmHWM line")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end, so that a peer never waits for its words to be read.
fn keep_last(stderr: impl Read, kept: &Complaints) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if !line.is_empty() {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(line);
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
    }
}

/// Reads until all events came.
fn listen(stdout: ChildStdout, count_lines: bool, events: u64) -> Option<Said> {
    let mut lines = BufReader::with_capacity(1 << 20, stdout);
    let mut line = Vec::new();
    let mut seen = 0;
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        seen += 1;
        if count_lines {
            if seen == events {
                return Some(Said { events, p50_us: None, p99_us: None });
            }
        } else if let Ok(said) = serde_json::from_slice(&line) {
            return Some(said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job { port: 1, group: "g".to_owned(), filter: "f".to_owned(), events: 1, window: 1, core: 0 }
    }

    #[test]
    fn a_peer_that_fails_is_quoted() {
        let script = "for line in one two three four; do echo $line >&2; done; exit 1";
        let process = Process::start(&Recipe::new("sh").args(["-c", script]), &job()).unwrap();
        let error = process.said(Duration::from_secs(30)).unwrap_err();
        let error = process.explain(&error).to_string();
        assert_eq!(error, "it ended before all events came; it said: two / three / four");
    }
}
