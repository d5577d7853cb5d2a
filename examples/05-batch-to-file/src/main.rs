//! Many readings at once: a batch handler sums up each batch, and writes the readings and the sums to files.
//!
//! Run with `cargo run -p example-05-batch-to-file -- out`, publish a few readings within half a second of each other,
//! `mosquitto_pub -q 1 -t plant/7/temperature -m '{"celsius": 71.5}'`, and look at `out/readings.ndjson` and
//! `out/batches.ndjson`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidemill::batch::{BatchHandler, BatchItem, BatchSettings, Batched};
use tidemill::prelude::*;
use tidemill::sinks::{File, FileConfig};
use tidemill::{BoxError, Config, Exit, Worker, shutdown_signal, telemetry};

#[derive(Deserialize)]
struct Reading {
    celsius: f64,
}

/// One line of `readings.ndjson`.
#[derive(Serialize)]
struct Line<'a> {
    line: &'a str,
    celsius: f64,
    /// How far it lies from the mean of its batch.
    off_mean: f64,
}

/// One line of `batches.ndjson`.
#[derive(Serialize)]
struct Summary {
    readings: u32,
    mean: f64,
    lowest: f64,
    highest: f64,
}

impl Summary {
    fn of(readings: impl Iterator<Item = f64>) -> Self {
        let none = Self { readings: 0, mean: 0.0, lowest: f64::INFINITY, highest: f64::NEG_INFINITY };
        readings.fold(none, |sum, celsius| Self {
            readings: sum.readings + 1,
            mean: sum.mean + (celsius - sum.mean) / f64::from(sum.readings + 1),
            lowest: sum.lowest.min(celsius),
            highest: sum.highest.max(celsius),
        })
    }
}

struct SumUp;

#[async_trait]
impl BatchHandler for SumUp {
    async fn handle(&self, batch: &mut [BatchItem]) -> Vec<HandlerResult> {
        // What cannot be read is the business of its own event: dead-lettered at once, the others go on.
        let readings: Vec<Result<Reading, HandlerError>> =
            batch.iter().map(|item| item.event.json().permanent()).collect();
        let summary = Summary::of(readings.iter().flatten().map(|reading| reading.celsius));
        // The first event that can be read writes the summary, and only its acknowledgement waits for that. What must
        // not get lost, the reading, is written by the event that brought it.
        let mut summary_due = Some(&summary);
        let handle = |(item, reading): (&mut BatchItem, Result<Reading, HandlerError>)| {
            let Reading { celsius } = reading?;
            if let Some(summary) = summary_due.take() {
                item.cx.emit("batches", summary)?;
            }
            let line = item.event.capture("line").unwrap_or_default();
            item.cx.emit("readings", Line { line, celsius, off_mean: celsius - summary.mean })?;
            Ok(())
        };
        batch.iter_mut().zip(readings).map(handle).collect()
    }
}

async fn run() -> Result<(), BoxError> {
    let out = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "out".into()));
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    config.group.name = Some("batch-to-file".to_owned());
    let batches = BatchSettings::default().max_events(100).linger(Duration::from_millis(500));
    Worker::builder(config)
        .route("plant/{line}/temperature", Batched::new(SumUp, batches))
        .sink("readings", File::new(FileConfig::new(out.join("readings.ndjson"))))
        .sink("batches", File::new(FileConfig::new(out.join("batches.ndjson"))))
        .build()?
        .run_until(shutdown_signal())
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
