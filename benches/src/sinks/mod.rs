//! The benchmark of sinks: records per second of each sink behind its engine, next to the client that it is built on,
//! driven bare, in turn and in the same run.
//!
//! Both sides take events from the same source and write the same content with the same promise, as many records per
//! write and as many writes at a time. The engine's side gets them as a handler's records are handed in, with a ticket
//! per event, and ends when every event may be acknowledged. No broker and no handler take part.
//! To add a sink: a file with a `contest`, its name in `NAMES`, and a line in `contest`.

mod amqp;
mod clickhouse;
mod contest;
mod file;
mod http;
mod influx;
mod kafka;
mod measure;
mod mqtt;
mod nats;
mod object_store;
mod postgres;
mod redis;
mod report;
mod source;

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use tidemill_sinks::HttpBody;

use crate::feed::Error;
use contest::Contest;
use measure::Drive;
use report::{Pair, Row, table};

/// Measures sinks against the bare clients that they are built on.
#[derive(Debug, Parser)]
#[command(name = "sinks")]
pub struct Args {
    /// Sinks whose names begin so [default: all]
    #[arg(long, value_delimiter = ',')]
    sinks: Vec<String>,
    /// Most records of a write [default: 500, of clickhouse and object-store 5000]
    #[arg(long, value_parser = RangedU64ValueParser::<u32>::new().range(1..=100_000))]
    batch: Option<u32>,
    /// Writes under way at a time
    #[arg(long, default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..=256))]
    in_flight: u32,
    /// How long each side is measured in a run, about
    #[arg(long, default_value = "1200ms", value_parser = humantime::parse_duration)]
    time: Duration,
    /// How often both are measured, in turn; results are medians
    #[arg(long, default_value_t = 5, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    runs: u32,
    /// Only one side, and no results: for profilers
    #[arg(long, value_enum, conflicts_with_all = ["json", "runs"])]
    only: Option<Side>,
    /// End with one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Side {
    Bare,
    Engine,
}

/// Most records of a write, where a sink has no other.
const BATCH: u32 = 500;

const NAMES: [&str; 13] = [
    "file",
    "http-batch",
    "http-record",
    "redis",
    "postgres",
    "nats-jetstream",
    "nats-core",
    "kafka",
    "amqp",
    "mqtt",
    "influx",
    "clickhouse",
    "object-store",
];

/// Starts what the sink needs; `None` where it is not installed.
async fn contest(name: &str, folder: &Path) -> Result<Option<Contest>, Error> {
    Ok(match name {
        "file" => Some(file::contest(folder)),
        "http-batch" => Some(http::contest(HttpBody::Ndjson)?),
        "http-record" => Some(http::contest(HttpBody::Record)?),
        "redis" => redis::contest().await?,
        "postgres" => postgres::contest().await?,
        "nats-jetstream" => nats::contest(true).await?,
        "nats-core" => nats::contest(false).await?,
        "kafka" => Some(kafka::contest().await?),
        "amqp" => amqp::contest().await?,
        "mqtt" => mqtt::contest().await?,
        "influx" => influx::contest().await?,
        "clickhouse" => clickhouse::contest().await?,
        "object-store" => Some(object_store::contest(folder)),
        _ => None,
    })
}

/// Runs what the command line asks for.
///
/// # Errors
/// What went wrong, with the sink it went wrong with.
pub async fn run(args: Args) -> Result<(), Error> {
    // Clients of HTTP want one although nothing is encrypted here. Another part of the process may have been faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().map_err(|source| Error::because("create a folder", source))?;
    let unknown = |begin: &&String| !NAMES.iter().any(|name| name.starts_with(begin.as_str()));
    if let Some(begin) = args.sinks.iter().find(unknown) {
        return Err(Error::new(format!("there is no sink {begin:?}; there are {}", NAMES.join(", "))));
    }
    let wanted = |name: &&str| args.sinks.is_empty() || args.sinks.iter().any(|begin| name.starts_with(begin.as_str()));
    let mut rows = Vec::new();
    for name in NAMES.into_iter().filter(wanted) {
        let Some(contest) = contest(name, folder.path()).await? else { continue };
        let drive =
            Drive { batch: args.batch.or(contest.batch).unwrap_or(BATCH), in_flight: args.in_flight, time: args.time };
        match args.only {
            None => {}
            Some(Side::Bare) => {
                eprintln!("{name}: bare {:.0}/s", measure::bare(name, &contest, drive).await?.rate);
                continue;
            }
            Some(Side::Engine) => {
                eprintln!("{name}: sink {:.0}/s", measure::engine(name, &contest, drive).await?.rate);
                continue;
            }
        }
        let mut pairs = Vec::new();
        for run in 1..=args.runs {
            // Each goes first in turn: what was written before slows some servers down.
            let pair = if run % 2 == 1 {
                let bare = measure::bare(name, &contest, drive).await?;
                Pair { bare, engine: measure::engine(name, &contest, drive).await? }
            } else {
                let engine = measure::engine(name, &contest, drive).await?;
                Pair { bare: measure::bare(name, &contest, drive).await?, engine }
            };
            eprintln!(
                "{name:<15} run {run}/{}  bare {:>9.0}/s {:>5.2} us  sink {:>9.0}/s {:>5.2} us  {:.2} x",
                args.runs,
                pair.bare.rate,
                pair.bare.cpu_us,
                pair.engine.rate,
                pair.engine.cpu_us,
                pair.ratio()
            );
            pairs.push(pair);
        }
        rows.push(Row::new(name, contest.bare_means, &pairs));
    }
    if args.json {
        let line = serde_json::to_string(&rows).map_err(|source| Error::because("print the results", source))?;
        println!("{line}");
    } else if args.only.is_none() {
        println!("{}", table(&rows));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
