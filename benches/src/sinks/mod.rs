//! The benchmark of sinks: records per second of each sink behind a whole worker, next to the client that it is built on,
//! driven bare with batches of the same size, in turn and in the same run.
//!
//! The worker gets its events from a [`feed`](crate::feed), one record each: its figure has everything in it, from the
//! socket to the acknowledgement. The bare side has nothing but the client: it writes one prepared batch after another.
//! To add a sink: a file with a `contest` and a line in `contests`.

mod contest;
mod file;
mod http;
mod postgres;
mod redis;
mod stdout;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use tidemill_core::QoS;
use tidemill_core::prelude::*;
use tidemill_core::topic::TopicName;
use tidemill_runtime::{Config, SinkSettings, Worker};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::feed::{Error, Feed, Load, PATTERN};
use contest::{Contest, Counted, Counts};

/// Measures sinks against the bare clients that they are built on.
#[derive(Debug, Parser)]
#[command(name = "sinks")]
pub struct Args {
    /// Sinks whose names begin so [default: all]
    #[arg(long, value_delimiter = ',')]
    sinks: Vec<String>,
    /// Most records of a batch
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Seconds of each measurement, about
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How often each is measured, in turn; results are medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Receive Maximum of the worker: records that are under way
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
}

/// What a device sends, 128 bytes.
const PAYLOAD: &str = concat!(
    r#"{"device":"press-0042","line":7,"celsius":71.25,"humidity":40.5,"#,
    r#""ts":1764028800123,"seq":918273,"ok":true,"unit":"C","x":[1,23]}"#
);
const SINK: &str = "out";
/// A worker is not given more records than this per second of its measurement, however fast the bare side is.
const MOST_PER_SECOND: f64 = 300_000.0;
const PATIENCE: Duration = Duration::from_secs(30);

/// All sinks that there are servers for.
async fn contests(folder: &Path) -> Result<Vec<Contest>, Error> {
    let mut contests = vec![stdout::contest(), file::contest(folder)];
    contests.extend(http::contests()?);
    contests.extend(redis::contest().await?);
    contests.extend(postgres::contest().await?);
    Ok(contests)
}

/// Runs what the command line asks for.
///
/// # Errors
/// What went wrong, with the sink it went wrong with.
pub async fn run(args: Args) -> Result<(), Error> {
    let failed = |source| Error::because("set standard output aside", source);
    // One of the sinks writes there; the results go to where it led before.
    let results = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
    let nowhere = File::options().write(true).open("/dev/null").map_err(failed)?;
    nix::unistd::dup2_stdout(nowhere).map_err(|source| failed(source.into()))?;
    let folder = tempfile::tempdir().map_err(|source| Error::because("create a folder", source))?;

    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["sink", "bare", "bare records/s", "tidemill records/s", "min..max", "records/batch", ": bare"]);
    for contest in contests(folder.path()).await? {
        if !args.sinks.is_empty() && !args.sinks.iter().any(|name| contest.name.starts_with(name.as_str())) {
            continue;
        }
        let (mut bare, mut ours, mut batch) = (Vec::new(), Vec::new(), 0.0);
        for run in 1..=args.runs {
            let without = measure_bare(&args, &contest).await?;
            let records = (without.min(MOST_PER_SECOND) * args.seconds as f64).max(1000.0);
            let with = measure_worker(&args, &contest, records).await?;
            eprintln!(
                "run {run}/{}  {:<16} bare {without:>9.0}/s  tidemill {:>9.0}/s",
                args.runs, contest.name, with.rate
            );
            bare.push(without);
            ours.push(with.rate);
            batch = with.records_per_batch;
        }
        bare.sort_by(f64::total_cmp);
        ours.sort_by(f64::total_cmp);
        let (without, with) = (bare[bare.len() / 2], ours[ours.len() / 2]);
        table.add_row([
            contest.name.to_owned(),
            contest.bare_means.to_owned(),
            format!("{without:.0}"),
            format!("{with:.0}"),
            format!("{:.0}..{:.0}", ours[0], ours[ours.len() - 1]),
            format!("{batch:.0}"),
            format!("{:.2} x", with / without),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(File::from(results), "{table}").map_err(|source| Error::because("print the results", source))
}

/// Records per second of the bare client, one batch after another.
async fn measure_bare(args: &Args, contest: &Contest) -> Result<f64, Error> {
    let failed = |source| Error::because(format!("drive the bare client of {}", contest.name), source);
    let batch: Vec<Record> = (0..args.batch)
        .map(|at| {
            let topic = format!("plant/{}/line/{}/sensor/temperature/c", at % 8, at / 8 % 8);
            let mut record = Record::new(Bytes::from_static(PAYLOAD.as_bytes())).with_key(topic.clone());
            record.topic = TopicName::new(&topic).ok();
            record
        })
        .collect();
    let bare = (contest.bare)();
    bare.open().await.map_err(failed)?;
    let (began, limit) = (Instant::now(), Duration::from_secs(args.seconds));
    let mut records = 0;
    while began.elapsed() < limit {
        bare.write(&batch).await.map_err(failed)?;
        records += batch.len();
    }
    let rate = records as f64 / began.elapsed().as_secs_f64();
    bare.close().await.map_err(failed)?;
    Ok(rate)
}

struct Measured {
    rate: f64,
    records_per_batch: f64,
}

/// Emits the payload of each event, and notes when the first one came.
struct Emit {
    expected: u64,
    handled: AtomicU64,
    began: std::sync::OnceLock<Instant>,
    done: Notify,
}

struct Shared(Arc<Emit>);

#[async_trait]
impl Handler for Shared {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let before = self.0.handled.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            let _ = self.0.began.set(Instant::now());
        }
        cx.emit(SINK, Record::new(event.payload().clone()))?;
        if before + 1 == self.0.expected {
            self.0.done.notify_one();
        }
        Ok(())
    }
}

/// Records per second of a worker, from its first event until its last record is written.
async fn measure_worker(args: &Args, contest: &Contest, records: f64) -> Result<Measured, Error> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of records")]
    let events = records as u64;
    let failed = |source| Error::because(format!("feed the worker with {}", contest.name), source);
    let load = Load { events, qos: QoS::AtLeastOnce, window: args.window, payload: PAYLOAD.len(), topics: 64 };
    let feed = Feed::bind(load, PATIENCE).map_err(failed)?.with_payload(PAYLOAD.as_bytes().to_vec());
    let addr = feed.addr().map_err(failed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let serving = tokio::task::spawn_blocking(move || feed.serve(&stopped));

    let emit =
        Arc::new(Emit { expected: events, handled: AtomicU64::new(0), began: Default::default(), done: Notify::new() });
    let mut config = Config::default();
    config.mqtt.url = format!("mqtt://{addr}");
    config.mqtt.window = args.window;
    config.group.name = Some("sinks".to_owned());
    config.group.verify = tidemill_runtime::config::Verify::Never;
    config.instances = 1.into();
    let mut settings = SinkSettings::default();
    settings.max_batch_records = args.batch;
    let counts = Arc::new(Counts::default());
    let sink = Counted::new((contest.ours)(), Arc::clone(&counts));
    let worker = Worker::builder(config)
        .route(PATTERN, Shared(Arc::clone(&emit)))
        .sink_with(SINK, sink, settings)
        .build()
        .map_err(|source| Error::because("build the worker", source))?;
    let finished = Arc::clone(&emit);
    let ran = worker.run_until(async move { finished.done.notified().await }).await;
    stop.store(true, Ordering::Relaxed);
    ran.map_err(|source| Error::because(format!("run the worker with {}", contest.name), source))?;
    serving.await.map_err(|source| Error::because("feed the worker", source))?.map_err(failed)?;
    let (Some(began), Some(ended)) = (emit.began.get(), counts.last()) else {
        return Err(Error::new(format!("measure {}: nothing was written", contest.name)));
    };
    if counts.records() < events {
        return Err(Error::new(format!("measure {}: {} of {events} records written", contest.name, counts.records())));
    }
    let seconds = ended.saturating_duration_since(*began).as_secs_f64();
    Ok(Measured { rate: events as f64 / seconds, records_per_batch: events as f64 / counts.batches() as f64 })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_the_payload_as_long_as_said() {
        Args::command().debug_assert();
        assert_eq!(PAYLOAD.len(), 128);
        assert!(serde_json::from_str::<serde_json::Value>(PAYLOAD).is_ok());
    }
}
