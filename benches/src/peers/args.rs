//! The command line of the `peers` program.

use clap::{Parser, ValueEnum};

use super::catalog::Peer;
use super::target::Place;

const EXAMPLES: &str = "\
Examples:
  peers                                       everything that can be installed, everywhere
  peers --targets feed --peers tidemill,rumqttc --runs 5
  peers --targets mosquitto --rate 5000       latencies at 5,000 events/s
  peers --json

Needs cargo; python3 with pip and node with npm for the peers of those languages. What cannot be installed is listed.
Close other programs first.";

/// Compares Tidemill with its peers on the same work: events per second, CPU time, memory, latency.
#[derive(Debug, Parser)]
#[command(name = "peers", after_help = EXAMPLES)]
pub struct Args {
    /// Which peers, in this order [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) peers: Vec<Peer>,
    /// Where [default: everywhere]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) targets: Vec<Place>,
    /// How often each runs; results are medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) runs: u32,
    /// Seconds that a fast peer takes for a run, about
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(super) seconds: u64,
    /// Receive Maximum of every peer
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) window: u16,
    /// Events per second at which latencies are measured [default: half of what the slowest peer reached, then half of what the fastest did]
    #[arg(long, value_parser = parse_rate)]
    pub(super) rate: Option<f64>,
    /// Build and install the peers, and measure nothing
    #[arg(long, conflicts_with_all = ["targets", "runs", "seconds", "window", "rate", "json"])]
    pub(super) prepare: bool,
    /// End with one line of JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate >= 1.0 && rate.is_finite() => Ok(rate),
        _ => Err("choose a number of events per second, at least 1".to_owned()),
    }
}

impl Args {
    pub(super) fn peers(&self) -> Vec<Peer> {
        if self.peers.is_empty() { Peer::value_variants().to_vec() } else { self.peers.clone() }
    }

    pub(super) fn targets(&self) -> Vec<Place> {
        if self.targets.is_empty() { Place::value_variants().to_vec() } else { self.targets.clone() }
    }

    /// About as many as the peer handles in the time: a run of some milliseconds says nothing, one of minutes no more
    /// than one of seconds.
    pub(super) fn events_for(&self, peer: Peer, place: Place) -> u64 {
        let per_second = match place {
            Place::Feed => peer.about_per_s(),
            Place::Mosquitto => peer.about_per_s().min(50_000),
            Place::Embedded => peer.about_per_s().min(300_000),
        };
        self.seconds * per_second
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    pub(super) fn paced_events(&self, rate: f64) -> u64 {
        ((self.seconds as f64 * 2.0 * rate) as u64).max(200)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Args;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_rate_at_which_nothing_would_ever_be_due_is_refused() {
        for rate in ["0", "-5", "0.001", "inf", "nan", "fast"] {
            assert!(Args::try_parse_from(["peers".to_owned(), format!("--rate={rate}")]).is_err(), "{rate}");
        }
        assert!(Args::try_parse_from(["peers", "--rate", "5000"]).is_ok());
    }
}
