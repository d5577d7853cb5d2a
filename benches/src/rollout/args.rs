//! The command line of the `rollout` program, and that of the pods that it starts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  rollout                                       both workloads and the autoscaler, on a Mosquitto of its own
  rollout --scenes stateful-set --rate 5000
  rollout --broker embedded --scenes deployment,stateful-set
  rollout --json

Needs `mosquitto` (Debian: apt-get install mosquitto), unless the broker is the embedded one.
Exit code 1 when an event was lost or duplicated that must not be.";

/// What Kubernetes does to a group of workers: rolling updates, scaling, crashes, autoscaling, each with an account of
/// every event.
#[derive(Debug, Parser)]
#[command(name = "rollout", after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) program: Option<Program>,
    /// What is played, in this order
    #[arg(long, value_enum, value_delimiter = ',', default_value = "deployment,stateful-set,autoscale")]
    pub(super) scenes: Vec<Scene>,
    /// The broker, which is started for each scene
    #[arg(long, value_enum, default_value = "mosquitto")]
    pub(super) broker: Kind,
    /// Events per second while the group changes
    #[arg(long, default_value_t = 10_000)]
    pub(super) rate: u32,
    /// Unfinished events of one instance at most
    #[arg(long, default_value_t = 256)]
    pub(super) window: u16,
    /// Instances of each pod
    #[arg(long, default_value_t = 2)]
    pub(super) instances: u32,
    /// How long handlers wait for each event while the group changes
    #[arg(long, default_value = "4ms", value_parser = humantime::parse_duration)]
    pub(super) work: Duration,
    /// Between two changes
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    pub(super) settle: Duration,
    /// Time that a pod has between SIGTERM and SIGKILL; the chart's default is 45 s
    #[arg(long, default_value = "45s", value_parser = humantime::parse_duration)]
    pub(super) grace: Duration,
    /// Events per second that the autoscaler has to find replicas for
    #[arg(long, default_value_t = 8_000)]
    pub(super) autoscale_rate: u32,
    /// Window of each replica then
    #[arg(long, default_value_t = 16)]
    pub(super) autoscale_window: u16,
    /// How long its handlers wait for each event
    #[arg(long, default_value = "5ms", value_parser = humantime::parse_duration)]
    pub(super) autoscale_work: Duration,
    /// How long the autoscaler looks at the metric before it decides
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    pub(super) look: Duration,
    /// One JSON value instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scene {
    /// Ephemeral identities; surge 1, never fewer ready than wanted.
    Deployment,
    /// Durable identities; one after the other under the same names; then one is killed.
    StatefulSet,
    /// Replicas by the saturation of their windows.
    Autoscale,
}

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Mosquitto,
    Embedded,
}

/// What else this program can be.
#[derive(Debug, Subcommand)]
pub(super) enum Program {
    /// A pod's container: a worker that is set up by the environment alone
    #[command(hide = true)]
    Pod(PodArgs),
}

/// Arguments of a pod.
#[derive(Debug, clap::Args)]
pub(super) struct PodArgs {
    /// Where it writes down every event.
    #[arg(long)]
    pub(super) journal: PathBuf,
    /// How long it waits for each event.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) work: Duration,
}
