//! `tidemill bench rebalance`: what a change of the group costs. Events keep coming at a steady rate while a worker
//! joins, leaves, is killed, while the broker restarts, while the number of instances changes, and during a rolling
//! restart.
//!
//! Every handling is written to a journal before it is acknowledged, so that loss and repetition are known to the event
//! even of a worker that was killed.

mod account;
mod page;
mod scene;
mod script;
mod tell;

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::{self, BrokerArgs, LoadArgs};
use super::or_stopped;
use super::output::{self, OutputArgs};
use super::schedule::Shape;
use super::terminal::Bar;
use crate::exit::{Failure, Outcome};
use crate::figures::grouped;
use crate::paint::Paint;
use crate::terminal;
use account::Change;

const EXAMPLES: &str = "\
Examples:
  All changes, 20 000 events/s, embedded broker
    tidemill bench rebalance
  A Mosquitto of its own, which is killed and restarted
    tidemill bench rebalance --broker mosquitto
  Some changes, for programs
    tidemill bench rebalance --change kill,rolling --rate 5K --json | tail -n 1

Workers that are replaced for good (join, leave, scale, rolling) have ephemeral sessions, like pods of a \
Deployment. Workers that come back (kill, broker-restart) have durable ones, like pods of a StatefulSet, unless \
--ephemeral is given. Exit code 1 when events were lost.";

/// A change of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    // No doc comments here: they would turn the whole help into its long form.
    Join,
    Leave,
    Kill,
    BrokerRestart,
    Scale,
    Rolling,
}

/// Arguments of `tidemill bench rebalance`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RebalanceArgs {
    /// Which changes: a third worker joins; one of three leaves; one of three is killed with SIGKILL and comes back; the
    /// broker crashes and comes back; one worker goes from 1 instance to 4, 2, 8 and 1; three workers are replaced one
    /// after another
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "join,leave,kill,broker-restart,scale,rolling"
    )]
    pub(super) change: Vec<Kind>,
    /// Unfinished events of one instance at most
    #[arg(long, value_name = "N", default_value = "1024", value_parser = args::window)]
    pub(super) window: u16,
    /// Before the first change, between two, and after the last
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(super) settle: Duration,
    /// How long a killed worker or broker is away
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = humantime::parse_duration)]
    pub(super) away: Duration,
    /// Ephemeral sessions for workers that come back, too
    #[arg(long)]
    pub(super) ephemeral: bool,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

/// The rate when none is given.
const RATE: u64 = 20_000;

impl RebalanceArgs {
    fn load(&self) -> LoadArgs {
        LoadArgs { rate: Some(self.load.rate.unwrap_or(RATE)), ..self.load.clone() }
    }

    /// Refuses what a load has elsewhere and cannot have here.
    fn check(&self) -> Result<(), Failure> {
        let refused = [
            (
                self.load.scenario.is_some(),
                "--scenario",
                "it changes the number of instances: give --publishers and --rate",
            ),
            (self.load.ahead.is_some(), "--ahead", "it bounds a load without a rate, and here there always is one"),
            (self.load.rate == Some(0), "--rate 0", "what a change costs shows at a steady rate"),
            (self.load.shape != Shape::Constant, "--shape", "what a change costs shows at a steady rate"),
        ];
        match refused.into_iter().find(|(given, ..)| *given) {
            Some((_, option, why)) => Err(Failure::Usage(format!("{option} is not for this benchmark: {why}"))),
            None => Ok(()),
        }
    }
}

/// The result, as programs read it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RebalanceResult {
    command: &'static str,
    ok: bool,
    broker: &'static str,
    rate: u64,
    work: super::work::Work,
    changes: Vec<SceneResult>,
}

impl RebalanceResult {
    /// The verdict in words.
    fn verdict(&self) -> String {
        let sum = |count: fn(&SceneResult) -> u64| self.changes.iter().map(count).sum::<u64>();
        let idle = self.changes.iter().filter(|scene| scene.handled == 0).count() as u64;
        let counted = [
            (sum(|scene| scene.lost), "events were lost"),
            (sum(|scene| scene.refused), "publications were refused by the broker"),
            (idle, "changes in which nothing was handled"),
        ];
        let counted = counted.iter().filter(|(count, _)| *count > 0);
        let faults: Vec<String> = counted.map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
        match (self.ok, faults.is_empty()) {
            (true, _) => "nothing was lost".to_owned(),
            (false, true) => "nothing was measured".to_owned(),
            (false, false) => faults.join(", "),
        }
    }
}

/// One kind of change: its steps, and the account of all events.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SceneResult {
    change: Kind,
    /// Whether sessions outlived their connections.
    durable: bool,
    published: u64,
    handled: u64,
    lost: u64,
    refused: u64,
    duplicated: u64,
    /// Handled again because a publisher had to publish it again.
    resent: u64,
    out_of_order: u64,
    unconfirmed: u64,
    steps: Vec<Change>,
}

/// Runs it.
///
/// # Errors
/// Wrong arguments, or a measurement that could not be made.
pub(crate) async fn run(args: &RebalanceArgs, stop: CancellationToken) -> Result<Outcome, Failure> {
    args.check()?;
    let load = args.load();
    if args.broker.is_in_publishers() {
        let why = "--broker-in publishers is not for this benchmark: the broker outlives the publishers here";
        return Err(Failure::Usage(why.to_owned()));
    }
    let _created = output::writable(&[("--html", args.output.html.as_ref())])?;
    let bar = Bar::new();
    let mut changes = Vec::new();
    for (step, kind) in args.change.iter().enumerate() {
        let show = |progress| bar.show(&format!("{kind:?}"), step, args.change.len(), progress);
        match or_stopped(&stop, scene::play(args, &load, *kind, show)).await? {
            Some(scene) => {
                bar.say(&tell::line(&scene));
                changes.push(scene);
            }
            None => bar.say("broker-restart left out: this broker is not ours to restart; --broker mosquitto is"),
        }
    }
    bar.clear();
    let result = RebalanceResult {
        command: "rebalance",
        ok: !changes.is_empty()
            && changes.iter().all(|scene| scene.lost == 0 && scene.refused == 0 && scene.handled > 0),
        broker: args.broker.label(),
        rate: load.rate(),
        work: load.work,
        changes,
    };
    terminal::tell(&tell::text(&result, Paint::stderr()));
    if let Some(path) = &args.output.html {
        output::file(path, &page::html(&result))?;
    }
    if args.output.json {
        output::json(&result)?;
    }
    Ok(if result.ok { Outcome::Good } else { Outcome::Bad })
}
