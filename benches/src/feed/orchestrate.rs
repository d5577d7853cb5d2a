//! Runs: one feed on a thread, one client as a process, both pinned, repeated with the clients taking turns.

use std::ffi::OsString;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::args::RunArgs;
use super::clients::ClientName;
use super::load::Load;
use super::rusage::Measured;
use super::server::Served;
use super::{Error, Serving};
use crate::client;

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
    let mut feed = Serving::start(load.clone(), setup.patience, &setup.pin_feed)?;
    let mut words = vec!["client".to_owned(), client.name().to_owned(), "--addr".to_owned(), feed.addr().to_string()];
    words.extend(load.to_args());
    if !setup.pin_client.is_empty() {
        let cores: Vec<String> = setup.pin_client.iter().map(ToString::to_string).collect();
        words.extend(["--pin".to_owned(), cores.join(",")]);
    }
    let measured = client::run(client.name(), wrapper, &words, Some(&mut feed), setup.patience)?;
    Ok(Run { client, measured, served: feed.finish(setup.patience)? })
}
