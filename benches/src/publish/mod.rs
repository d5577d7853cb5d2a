//! The publish benchmark: how many events a publisher, or a worker whose handlers publish, gets acknowledged per second.
//!
//! The client is a process of its own; the server is on threads of this one: a `taker` that costs next to nothing, so
//! that the client is what is measured, or the embedded broker.

mod client;
mod taker;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use tidemill_core::QoS;
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tokio::sync::oneshot;

pub use client::Who;

use crate::callgrind::{self, Cost};
use crate::feed::rusage::Measured;
use crate::feed::{Error, Load, Serving};
use crate::stats::{median, range};
use taker::Taker;

const EXAMPLES: &str = "\
Examples:
  publish                                    all publishers, QoS 1, to a server that only acknowledges
  publish --to broker                        to the embedded broker, which is slower
  publish --instructions                     instructions and allocations per publication, under valgrind
  publish --who publisher --qos 0 --runs 3 --json";

/// Measures what publishing costs, and how many publications per second are acknowledged.
#[derive(Debug, Parser)]
#[command(name = "publish", after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Task>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Publishes; the benchmark starts itself this way
    #[command(hide = true)]
    Client(ClientArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Publications per run
    #[arg(long, default_value_t = 500_000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    events: u64,
    /// Quality of service of the publications
    #[arg(long, default_value = "1", value_name = "0|1", value_parser = parse_qos)]
    qos: QoS,
    /// Bytes of payload
    #[arg(long, default_value_t = 128)]
    payload: usize,
    /// Receive Maximum of a worker: events that are not finished
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Who publishes [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    who: Vec<Who>,
    /// What takes the publications
    #[arg(long, value_enum, default_value = "taker")]
    to: Server,
    /// How often; results are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Count instructions and allocations under valgrind instead of measuring time; ignores --events and --runs
    #[arg(long)]
    instructions: bool,
    /// End with one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What takes the publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Server {
    /// A server that acknowledges and does nothing else
    Taker,
    /// The embedded broker; nobody is subscribed to what is published
    Broker,
}

#[derive(Clone, Debug, clap::Args)]
struct ClientArgs {
    #[arg(value_enum)]
    who: Who,
    /// Where publications go
    #[arg(long)]
    addr: SocketAddr,
    /// Where a worker gets its events from, if elsewhere
    #[arg(long)]
    events_from: Option<SocketAddr>,
    #[arg(long)]
    events: u64,
    #[arg(long, value_parser = parse_qos)]
    qos: QoS,
    #[arg(long)]
    payload: usize,
    #[arg(long)]
    window: u16,
}

fn parse_qos(text: &str) -> Result<QoS, String> {
    match text {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        _ => Err("publications are sent at QoS 0 or 1".to_owned()),
    }
}

/// Publications of the short and of the long run under valgrind.
const COUNTED: [u64; 2] = [20_000, 120_000];
/// How long one run may take, under valgrind too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs what the command line asks for.
///
/// # Errors
/// What went wrong, with the publisher it went wrong with.
pub fn run(args: Args) -> Result<(), Error> {
    if let Some(Task::Client(client)) = args.command {
        return client::run(&client);
    }
    let options = args.run;
    let who = if options.who.is_empty() { Who::value_variants().to_vec() } else { options.who.clone() };
    if options.instructions { count(&options, &who) } else { measure(&options, &who) }
}

fn measure(options: &RunArgs, who: &[Who]) -> Result<(), Error> {
    let mut runs: Vec<Vec<Measured>> = vec![Vec::new(); who.len()];
    for run in 1..=options.runs {
        for (who, runs) in who.iter().zip(&mut runs) {
            let measured = run_once(options, *who, options.events, &[])?;
            eprintln!("run {run}/{}  {:<15} {:>9.0} publications/s", options.runs, who.name(), rate(&measured));
            runs.push(measured);
        }
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["who", "publications/s", "min..max", "CPU us", "peak KiB"]);
    let mut results = Vec::new();
    for (who, runs) in who.iter().zip(&runs) {
        let cpu = runs.iter().map(|run| (run.user_us + run.system_us) / run.events as f64);
        let (Some(cpu), Some((low, high))) = (median(cpu), range(runs.iter().map(rate))) else { continue };
        let rate = median(runs.iter().map(rate)).unwrap_or(low);
        let peak = runs.iter().map(|run| run.peak_rss_kib).max().unwrap_or_default();
        table.add_row([
            who.name().to_owned(),
            format!("{rate:.0}"),
            format!("{low:.0}..{high:.0}"),
            format!("{cpu:.3}"),
            peak.to_string(),
        ]);
        results.push(json!({ "name": who.name(), "publications_per_s": rate, "cpu_us": cpu, "peak_rss_kib": peak }));
    }
    print(table, &json!({ "publishers": results }), options.json);
    Ok(())
}

fn rate(measured: &Measured) -> f64 {
    measured.events as f64 / measured.wall_s
}

fn count(options: &RunArgs, who: &[Who]) -> Result<(), Error> {
    callgrind::require()?;
    let program = std::env::current_exe().map_err(|source| Error::because("find this program", source))?;
    let folder = callgrind::folder(&program)?;
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["who", "instructions/publication", "allocations/publication", "profile"]);
    let mut counts = Vec::new();
    for who in who {
        let mut costs = [Cost::default(); 2];
        let name = who.name();
        let profile_of = |events| folder.join(format!("callgrind.out.{name}.qos{}.{events}", options.qos.level()));
        for (cost, events) in costs.iter_mut().zip(COUNTED) {
            let profile = profile_of(events);
            run_once(options, *who, events, &callgrind::wrapper(&profile))?;
            *cost = callgrind::read(&profile)?;
            eprintln!("{name:<15} {events:>7} publications: {:>12} instructions", cost.instructions);
        }
        let (instructions, allocations) = costs[1].per_unit(costs[0], COUNTED[1] - COUNTED[0]);
        let profile = profile_of(COUNTED[1]).display().to_string();
        table.add_row([name.to_owned(), format!("{instructions:.0}"), format!("{allocations:.3}"), profile]);
        counts.push(
            json!({ "name": name, "instructions_per_event": instructions, "allocations_per_event": allocations }),
        );
    }
    print(table, &json!({ "instructions": counts }), options.json);
    Ok(())
}

fn print(mut table: Table, result: &Value, as_json: bool) {
    if as_json {
        println!("{result}");
        return;
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

/// One publisher once. `wrapper` is a program, with its arguments, that it runs under.
fn run_once(options: &RunArgs, who: Who, events: u64, wrapper: &[std::ffi::OsString]) -> Result<Measured, Error> {
    let (taker, broker);
    let addr = match options.to {
        Server::Taker => {
            taker = Taker::start()?;
            taker.addr()
        }
        Server::Broker => {
            broker = BrokerThread::start()?;
            broker.addr
        }
    };
    let mut feed = if who == Who::Handlers { Some(feed(options, events)?) } else { None };
    let client = ClientArgs {
        who,
        addr,
        events_from: feed.as_ref().map(Serving::addr),
        events,
        qos: options.qos,
        payload: options.payload,
        window: options.window,
    };
    let measured = crate::client::run(who.name(), wrapper, &client.to_args(), feed.as_mut(), PATIENCE)?;
    match feed {
        Some(feed) => feed.finish(PATIENCE).map(|_| measured),
        None => Ok(measured),
    }
}

/// The events of a worker.
fn feed(options: &RunArgs, events: u64) -> Result<Serving, Error> {
    let load = Load { events, qos: QoS::AtLeastOnce, window: options.window, payload: options.payload, topics: 64 };
    Serving::start(load, PATIENCE, &[])
}

impl ClientArgs {
    fn to_args(&self) -> Vec<String> {
        let mut words = vec!["client".to_owned(), self.who.name().to_owned()];
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        option("--addr", self.addr.to_string());
        if let Some(addr) = self.events_from {
            option("--events-from", addr.to_string());
        }
        option("--events", self.events.to_string());
        option("--qos", self.qos.level().to_string());
        option("--payload", self.payload.to_string());
        option("--window", self.window.to_string());
        words
    }
}

/// The embedded broker, on a thread of its own.
struct BrokerThread {
    addr: SocketAddr,
    /// Dropping it stops the broker.
    _stop: oneshot::Sender<()>,
}

impl BrokerThread {
    fn start() -> Result<Self, Error> {
        let failed = |source: std::io::Error| Error::because("start the runtime of the broker", source);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let broker = runtime
            .block_on(Broker::start(BrokerConfig::default()))
            .map_err(|source| Error::because("start the broker", source))?;
        let addr = broker.addr().ok_or_else(|| Error::new("start the broker: it does not listen"))?;
        let (stop, stopped) = oneshot::channel::<()>();
        thread::spawn(move || {
            runtime.block_on(async move {
                let _ = stopped.await;
                broker.shutdown().await;
            });
        });
        Ok(Self { addr, _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn another_process_gets_the_same_task() {
        let client = ClientArgs {
            who: Who::Handlers,
            addr: SocketAddr::from(([127, 0, 0, 1], 1883)),
            events_from: Some(SocketAddr::from(([127, 0, 0, 1], 1884))),
            events: 7,
            qos: QoS::AtMostOnce,
            payload: 9,
            window: 3,
        };
        let words = ["publish".to_owned()].into_iter().chain(client.to_args());
        let Ok(Args { command: Some(Task::Client(again)), .. }) = Args::try_parse_from(words) else {
            panic!("it does not parse");
        };
        assert_eq!(format!("{again:?}"), format!("{client:?}"));
    }
}
