//! Runs: one feed on a thread, one client as a process, both pinned, repeated with the clients taking turns. Whatever
//! fails, the client process is gone when a run is over.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::Error;
use super::args::RunArgs;
use super::clients::ClientName;
use super::load::Load;
use super::rusage::{self, Measured};
use super::server::{Feed, ServeError, Served};

/// How often the state of the client process is looked at.
const TICK: Duration = Duration::from_millis(5);

/// What is the same for all runs.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) load: Load,
    pub(super) clients: Vec<ClientName>,
    pub(super) pin_feed: Vec<usize>,
    pub(super) pin_client: Vec<usize>,
    /// This very program.
    pub(super) program: PathBuf,
    patience: Duration,
}

impl Setup {
    /// Checks the options.
    pub(super) fn new(options: &RunArgs) -> Result<Self, Error> {
        let clients =
            if options.clients.is_empty() { ClientName::defaults(options.load.qos) } else { options.clients.clone() };
        let program = std::env::current_exe().map_err(|source| Error::because("find this program", source))?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let pinned = !options.no_pin && (cores > 1 || options.pin_client != [1]);
        if !pinned && !options.no_pin {
            eprintln!("feed: one core only, nothing is pinned: feed and client disturb each other");
        }
        let cores_of = |chosen: &[usize]| if pinned { chosen.to_vec() } else { Vec::new() };
        Ok(Self {
            load: options.load.clone(),
            clients,
            pin_feed: cores_of(&options.pin_feed),
            pin_client: cores_of(&options.pin_client),
            program,
            patience: Duration::from_secs(options.patience),
        })
    }
}

/// What one run of one client gave.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) client: ClientName,
    pub(super) measured: Measured,
    pub(super) served: Served,
}

/// All clients in turn, `rounds` times.
pub(super) fn run_all(setup: &Setup, rounds: u32) -> Result<Vec<Run>, Error> {
    let mut runs = Vec::new();
    for round in 1..=rounds {
        for &client in &setup.clients {
            let run = run_once(setup, &setup.load, client, &[])?;
            let Measured { events, wall_s, user_us, system_us, .. } = run.measured;
            eprintln!(
                "run {round}/{rounds}  {client:<20} {:>10.0} events/s  {:>7.3} us CPU/event  feed busy {:>3.0} %",
                events as f64 / wall_s,
                (user_us + system_us) / events as f64,
                run.served.busy * 100.0
            );
            runs.push(run);
        }
    }
    Ok(runs)
}

/// One client once. `wrapper` is a program, with its arguments, that the client runs under.
pub(super) fn run_once(setup: &Setup, load: &Load, client: ClientName, wrapper: &[OsString]) -> Result<Run, Error> {
    let failed = |source| Error::because(format!("feed {client}"), source);
    let feed = Feed::bind(load.clone(), setup.patience).map_err(failed)?;
    let addr = feed.addr().map_err(failed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let served = start_feed(feed, setup.pin_feed.clone(), Arc::clone(&stop))?;

    let mut words = wrapper.iter().cloned().chain([setup.program.clone().into_os_string()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args(["client", client.name(), "--addr", &addr.to_string()]).args(load.to_args());
    if !setup.pin_client.is_empty() {
        let cores: Vec<String> = setup.pin_client.iter().map(ToString::to_string).collect();
        command.args(["--pin", &cores.join(",")]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().map_err(|source| Error::because(format!("start {client}"), source))?;
    let result = supervise(client, Guard(child), &served, setup.patience);
    stop.store(true, Ordering::Relaxed);
    let (measured, served) = result?;
    Ok(Run { client, measured, served })
}

type FeedResult = Result<Served, Error>;

fn start_feed(feed: Feed, cores: Vec<usize>, stop: Arc<AtomicBool>) -> Result<Receiver<FeedResult>, Error> {
    let (result, served) = mpsc::sync_channel(1);
    let serve = move || -> FeedResult {
        if !cores.is_empty() {
            rusage::pin(&cores)?;
        }
        feed.serve(&stop).map_err(|source: ServeError| Error::because("serve", source))
    };
    thread::Builder::new()
        .name("feed".to_owned())
        .spawn(move || result.send(serve()))
        .map_err(|source| Error::because("start the thread of the feed", source))?;
    Ok(served)
}

/// Ends the process when it goes out of scope.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the feed and the client; the first failure ends both.
fn supervise(
    client: ClientName,
    mut child: Guard,
    served: &Receiver<FeedResult>,
    patience: Duration,
) -> Result<(Measured, Served), Error> {
    let failed = |source| Error::because(format!("feed {client}"), source);
    let mut result: Option<Served> = None;
    let mut waited = Duration::ZERO;
    let status: ExitStatus = loop {
        if let Some(status) =
            child.0.try_wait().map_err(|source| Error::because(format!("wait for {client}"), source))?
        {
            break status;
        }
        if result.is_none() {
            match served.recv_timeout(TICK) {
                Ok(outcome) => result = Some(outcome.map_err(failed)?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(source) => return Err(Error::because(format!("feed {client}: no answer"), source)),
            }
        } else {
            thread::park_timeout(TICK);
            waited += TICK;
            if waited > patience {
                return Err(Error::new(format!("run {client}: it disconnected but does not end")));
            }
        }
    };
    if !status.success() {
        return Err(Error::new(format!("run {client}: {status}; its last words stand above")));
    }
    let served = match result {
        Some(served) => served,
        None => served
            .recv_timeout(patience)
            .map_err(|source| Error::because(format!("feed {client}: no answer"), source))?
            .map_err(failed)?,
    };
    let mut line = String::new();
    if let Some(mut stdout) = child.0.stdout.take() {
        stdout.read_to_string(&mut line).map_err(|source| Error::because(format!("read from {client}"), source))?;
    }
    let measured = serde_json::from_str(line.trim())
        .map_err(|source| Error::because(format!("read the result of {client}"), source))?;
    Ok((measured, served))
}
