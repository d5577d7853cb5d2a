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
        let reached = rounds(args, &target, place, &ready, None, &mut report);
        if !target.has_clock() {
            continue;
        }
        for rate in args.rate.map_or_else(|| halves(&reached), |rate| vec![rate]) {
            let (able, unable): (Vec<_>, Vec<_>) = ready.iter().cloned().partition(|(peer, _)| {
                args.rate.is_some() || reached.iter().any(|(other, most)| other == peer && most * HEADROOM >= rate)
            });
            rounds(args, &target, place, &able, Some(rate), &mut report);
            for (peer, _) in unable {
                report.add(Row { place, peer, rate: Some(rate), outcome: Err(Error::new("does not reach this load")) });
            }
        }
    }
    println!("{}", if args.json { report.json() } else { report.text() });
    Ok(())
}

/// A peer takes part at a load of this share of what it reached at most: closer to it latencies are those of its queues.
const HEADROOM: f64 = 0.8;

/// Half of what the slowest peer reached, a load that all carry, and half of what the fastest one did: what the target
/// gives, and the load of those that keep up with it.
fn halves(reached: &[(Peer, f64)]) -> Vec<f64> {
    let rates = || reached.iter().map(|(_, rate)| (rate / 2.0).max(1.0));
    let mut halves = vec![rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max)];
    // One peer alone is both, and so are peers that differ by less than runs do.
    if halves[1] < halves[0] * 1.5 {
        halves.truncate(1);
    }
    halves.retain(|rate| rate.is_finite());
    halves
}

/// All peers in turn, then all again, flat out or at a rate. What each that never failed reached in its slowest run, in events
/// per second.
fn rounds(
    args: &Args,
    target: &Target,
    place: Place,
    ready: &[(Peer, process::Recipe)],
    rate: Option<f64>,
    report: &mut Report,
) -> Vec<(Peer, f64)> {
    let mut reached: Vec<(Peer, f64)> = ready.iter().map(|(peer, _)| (*peer, f64::INFINITY)).collect();
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
                Ok(measured) => {
                    let slowest = reached.iter_mut().filter(|(other, _)| other == peer);
                    slowest.for_each(|(_, rate)| *rate = rate.min(measured.events_per_s));
                }
                Err(_) => failed.push(*peer),
            }
            report.add(Row { place, peer: *peer, rate, outcome });
        }
    }
    reached.retain(|(peer, _)| !failed.contains(peer));
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_half_of_what_the_slowest_and_the_fastest_reached() {
        let reached = [(Peer::Rumqttc, 60_000.0), (Peer::Faststream, 4000.0), (Peer::Paho, 50_000.0)];
        assert_eq!(halves(&reached), [2000.0, 30_000.0]);
    }

    #[test]
    fn peers_that_are_about_equal_have_one_load() {
        assert_eq!(halves(&[(Peer::Rumqttc, 60_000.0), (Peer::Paho, 50_000.0)]), [25_000.0]);
        assert_eq!(halves(&[(Peer::Rumqttc, 60_000.0)]), [30_000.0]);
        assert!(halves(&[]).is_empty());
    }
}
