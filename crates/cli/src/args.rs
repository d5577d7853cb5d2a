//! The command line: the commands and what they have in common. Options of a command stand with the command.

use clap::{Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::check::CheckArgs;
use crate::dead::DeadArgs;
use crate::demo::DemoArgs;
use crate::doctor::DoctorArgs;
use crate::group::GroupArgs;
use crate::health::HealthArgs;

/// Horizontally scalable event-processing workers on MQTT.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Loads a configuration as a worker would, and tells everything that is wrong with it.
    Check(CheckArgs),
    /// Shows a worker at work: a simulated fleet publishes, a group of instances shares the events, and every single
    /// one is accounted for.
    Demo(Box<DemoArgs>),
    /// Measures throughput, latency and rebalancing, and finds how many instances a load needs.
    Bench(Box<BenchArgs>),
    /// Looks at dead letters, replays and drops them, where they lie in a topic or in a file.
    Dead(Box<DeadArgs>),
    /// Shows the workers of a group, of all replicas, as they say of themselves.
    Group(Box<GroupArgs>),
    /// Finds out by trying what a broker does with groups, which known one it behaves like, and which settings suit it.
    Doctor(Box<DoctorArgs>),
    /// Asks the worker beside it whether it is well.
    Health(HealthArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// What is indented is meant to be copied, or stands in columns: neither survives being wrapped.
    #[test]
    fn examples_in_help_texts_fit_a_terminal_of_80_columns() {
        let mut cli = Cli::command();
        let bench = ["run", "sweep", "compare", "rebalance"].map(|name| vec!["bench", name]);
        let dead = ["replay", "drop"].map(|name| vec!["dead", name]);
        let others = ["check", "demo", "bench", "dead", "group", "doctor", "health"].map(|name| vec![name]);
        for path in others.into_iter().chain(bench).chain(dead) {
            let found = path.iter().try_fold(&mut cli, |command, name| command.find_subcommand_mut(name));
            let help = found.unwrap().get_after_help().unwrap().to_string();
            for line in help.lines().filter(|line| line.starts_with(' ')) {
                assert!(line.chars().count() <= 80, "{path:?}: {line}");
            }
        }
    }
}
