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
use target::{Load, Place, Target};

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
    if args.prepare {
        println!("{}", report.text());
        return Ok(());
    }
    for place in args.targets() {
        let target = Target::start(place)?;
        let slowest = rounds(args, &target, place, &ready, None, &mut report);
        if !target.has_clock() || !slowest.is_finite() {
            continue;
        }
        // The same for all, and a load that each of them carries.
        let rate = args.rate.unwrap_or((slowest / 2.0).max(1.0));
        report.offered(place, rate);
        rounds(args, &target, place, &ready, Some(rate), &mut report);
    }
    println!("{}", if args.json { report.json() } else { report.text() });
    Ok(())
}

/// All peers in turn, then all again, flat out or at a rate. The slowest of them, in events per second.
fn rounds(
    args: &Args,
    target: &Target,
    place: Place,
    ready: &[(Peer, process::Recipe)],
    rate: Option<f64>,
    report: &mut Report,
) -> f64 {
    let mut slowest = f64::INFINITY;
    let mut failed: Vec<Peer> = Vec::new();
    for run in 1..=args.runs {
        for (peer, recipe) in ready {
            // It has no figures here any more, however the next run goes.
            if failed.contains(peer) {
                continue;
            }
            let events = rate.map_or_else(|| args.events_for(*peer, place), |rate| args.paced_events(rate));
            let outcome = target.measure(*peer, recipe, &Load { events, window: args.window, rate });
            let load = rate.map_or_else(|| "flat out".to_owned(), |rate| format!("at {rate:.0}/s"));
            eprintln!("{place} {load} {run}/{}  {}", args.runs, report::line(*peer, &outcome));
            match &outcome {
                Ok(measured) => slowest = slowest.min(measured.events_per_s),
                Err(_) => failed.push(*peer),
            }
            report.add(Row { place, peer: *peer, paced: rate.is_some(), outcome });
        }
    }
    slowest
}
