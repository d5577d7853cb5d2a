//! The command line of the `feed` program.

use std::net::SocketAddr;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};

use super::clients::ClientName;
use super::load::Load;

const EXAMPLES: &str = "\
Examples:
  feed                                        all clients, QoS 1, as a table
  feed --qos 1 --events 1000000 --runs 5 --json
  feed --qos 0 --clients floor,rumqttc-auto
  feed --instructions --clients floor         instructions per event, under valgrind
  feed --no-pin --clients tidemill            let the threads of the worker float
  feed --pin-client 0,1 --clients tidemill    give the worker both cores

CPU time is that of the whole client process between its first and its last event.
Close other programs first. Compare clients within one run only: figures move with the machine.";

/// Measures what one event costs a client: events per second, CPU time, memory, instructions.
#[derive(Debug, Parser)]
#[command(name = "feed", after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs one client against a feed; the benchmark starts itself this way
    #[command(hide = true)]
    Client(ClientArgs),
}

/// What to measure and how to show it.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) load: Load,
    /// How often every client runs; results are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) runs: u32,
    /// Clients to run, in this order [default: all that use the QoS]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) clients: Vec<ClientName>,
    /// Version of MQTT
    #[arg(long, default_value = "5", value_parser = PossibleValuesParser::new(["5"]))]
    pub(super) version: String,
    /// Count instructions per event under valgrind instead of measuring time; ignores --events and --runs
    #[arg(long)]
    pub(super) instructions: bool,
    /// End with one line of JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// Cores of the feed
    #[arg(long, default_value = "0", value_delimiter = ',', value_name = "CORES")]
    pub(super) pin_feed: Vec<usize>,
    /// Cores of the client
    #[arg(long, default_value = "1", value_delimiter = ',', value_name = "CORES")]
    pub(super) pin_client: Vec<usize>,
    /// Let feed and client run on any core
    #[arg(long, conflicts_with_all = ["pin_feed", "pin_client"])]
    pub(super) no_pin: bool,
    /// Seconds without progress after which a run fails
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) patience: u64,
}

/// One client process.
#[derive(Clone, Debug, clap::Args)]
pub struct ClientArgs {
    /// Which client
    #[arg(value_enum)]
    pub(super) name: ClientName,
    /// Where the feed listens
    #[arg(long)]
    pub(super) addr: SocketAddr,
    #[command(flatten)]
    pub(super) load: Load,
    /// Cores to run on
    #[arg(long, value_delimiter = ',')]
    pub(super) pin: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
