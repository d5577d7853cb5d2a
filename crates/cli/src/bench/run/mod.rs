//! `tidemill bench run`: one measurement and everything that is known about it.

mod page;
pub(crate) mod result;
mod tell;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::args::{self, BrokerArgs, LoadArgs, Size};
use super::bound;
use super::histogram::Latencies;
use super::output::{self, OutputArgs};
use super::stage::{Measured, measure};
use super::terminal::Bar;
use super::venue::Venue;
use crate::exit::{Failure, Outcome};
use crate::number;
use crate::paint::Paint;
use crate::terminal;
use result::RunResult;

const EXAMPLES: &str = "\
Examples:
  Flat out on the embedded broker, and on a Mosquitto of its own
    tidemill bench run
    tidemill bench run --broker mosquitto --count 200K
  An open loop, with latencies that mean something
    tidemill bench run --rate 20K --work 5ms --instances 8
    tidemill bench run --rate 5K --shape burst --html burst.html
    tidemill bench run --scenario sharedsub-4-8-20K-20K
  Several runs in one file, for `bench compare`
    tidemill bench run --json >> a.json

Latency counts from when an event was due, not from when it was sent: a broker or a generator that stands still \
shows. Without --rate it is the time spent in queues. Exit code 1 when events were lost.";

/// Arguments of `tidemill bench run`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Instances that share the events
    #[arg(long, value_name = "N", default_value = "4", value_parser = number::parse, conflicts_with = "scenario")]
    pub(crate) instances: u64,
    /// Unfinished events of one instance at most
    #[arg(long, value_name = "N", default_value = "1024", value_parser = args::window)]
    pub(crate) window: u16,
    /// Handlers of one instance that run at the same time; 0 is as many as the window
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) concurrency: u32,
    /// Measures for so long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// What is not measured at the beginning
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) warm_up: Duration,
    /// Measures so many events instead, from the first on
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warm_up"], value_parser = number::parse)]
    pub(crate) count: Option<u64>,
    /// Writes a line per second
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) csv: Option<PathBuf>,
    /// Writes the latencies as a percentile distribution, for plotters of HDR histograms
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) hdr: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
}

/// Runs it.
///
/// # Errors
/// Wrong arguments, or a measurement that could not be made.
pub(crate) async fn run(args: &RunArgs, stop: CancellationToken) -> Result<Outcome, Failure> {
    let size = Size {
        instances: args.load.scenario.map_or(args.instances, |scenario| scenario.instances),
        window: args.window,
        concurrency: args.concurrency,
        // A number of events is all events.
        warm_up: if args.count.is_some() { Duration::ZERO } else { args.warm_up },
        duration: args.duration,
        count: args.count,
    };
    // Wrong usage is said before anything is started.
    args.load.setup(&args.broker, &args.broker.link()?, size)?;
    let _created = output::writable(&[
        ("--csv", args.csv.as_ref()),
        ("--hdr", args.hdr.as_ref()),
        ("--html", args.output.html.as_ref()),
    ])?;
    let (mut venue, link) = Venue::start(&args.broker, false).await?;
    let setup = args.load.setup(&args.broker, &link, size)?;
    let bar = Bar::new();
    let mut headline = Some(tell::headline(&setup));
    let show = |progress| {
        if let Some(headline) = headline.take() {
            bar.say(&headline);
        }
        bar.show("measuring", 0, 1, progress);
    };
    let measured = measure(&setup, &mut venue, &stop, show).await;
    bar.clear();
    venue.end().await;
    let measured = measured?;
    let verdict = bound::name(&measured.point(&setup), &[]);
    let result = RunResult::new(args, &setup, &measured, verdict);

    terminal::tell(&tell::text(&result, Paint::stderr()));
    write_files(args, &result, &measured)?;
    if args.output.json {
        output::json(&result)?;
    }
    Ok(if result.ok { Outcome::Good } else { Outcome::Bad })
}

fn write_files(args: &RunArgs, result: &RunResult, measured: &Measured) -> Result<(), Failure> {
    let latency: &Latencies = &measured.worker.latency;
    if let Some(path) = &args.csv {
        output::file(path, &csv(result))?;
    }
    if let Some(path) = &args.hdr {
        output::file(path, &latency.text())?;
    }
    if let Some(path) = &args.output.html {
        output::file(path, &page::html(result, latency))?;
    }
    Ok(())
}

/// A line per second.
fn csv(result: &RunResult) -> String {
    let mut text = "second,handled,p50_ms,p99_ms,max_ms,window_use\n".to_owned();
    for (number, second) in result.samples.iter().enumerate() {
        let super::process::Second { handled, p50, p99, max, window_use } = second;
        let _ = writeln!(text, "{number},{handled},{p50},{p99},{max},{window_use:.3}");
    }
    text
}
