//! Tidemill and its peers on the same work in the same run: each a process of its own on a core of its own, measured from
//! outside, so that no program has to measure itself.
//!
//! ```text
//! target (raw feed | broker + publisher), core 0  ──>  peer, core 1
//!                                                      CPU time, memory: /proc; latency: its own last words
//! ```

mod args;
mod catalog;
mod install;
mod process;
mod report;
mod source;
mod target;

use std::fmt;

pub use args::Args;

use catalog::Peer;
use install::Workshop;
use report::{Report, Row};
use target::{Load, Target};

/// Why something did not work, for people.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// What one peer did in one run.
#[derive(Clone, Copy, Debug)]
struct Measured {
    events_per_s: f64,
    cpu_us_per_event: f64,
    peak_rss_kib: u64,
    /// Share of one core that it used.
    busy: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

/// Does what the command line says.
///
/// # Errors
/// The brokers cannot be started. A peer that fails is told in the report.
pub fn run(args: &Args) -> Result<(), Error> {
    let workshop = Workshop::open()?;
    let mut report = Report::default();
    let mut ready: Vec<(Peer, process::Recipe)> = Vec::new();
    for peer in args.peers() {
        eprintln!("preparing {}", peer.name());
        match workshop.prepare(peer) {
            Ok(recipe) => ready.push((peer, recipe)),
            Err(why) => report.not_run(peer, why.to_string()),
        }
    }
    for place in args.targets() {
        let target = Target::start(place)?;
        let mut rates: Vec<f64> = Vec::new();
        for run in 1..=args.runs {
            for (peer, recipe) in &ready {
                let load = Load { events: args.events_for(*peer, place), window: args.window, rate: None };
                let outcome = target.measure(*peer, recipe, &load);
                eprintln!("{place} {run}/{}  {}", args.runs, report::line(*peer, &outcome));
                if let Ok(measured) = &outcome {
                    rates.push(measured.events_per_s);
                }
                report.add(Row { place, peer: *peer, paced: false, outcome });
            }
        }
        let slowest = rates.into_iter().fold(f64::INFINITY, f64::min);
        if !target.has_clock() || !slowest.is_finite() {
            continue;
        }
        // The same for all, and a load that each of them carries.
        let rate = args.rate.unwrap_or((slowest / 2.0).max(1.0));
        report.offered(place, rate);
        for run in 1..=args.runs {
            for (peer, recipe) in &ready {
                let load = Load { events: args.paced_events(rate), window: args.window, rate: Some(rate) };
                let outcome = target.measure(*peer, recipe, &load);
                eprintln!("{place} at {rate:.0}/s {run}/{}  {}", args.runs, report::line(*peer, &outcome));
                report.add(Row { place, peer: *peer, paced: true, outcome });
            }
        }
    }
    println!("{}", if args.json { report.json() } else { report.text() });
    Ok(())
}
