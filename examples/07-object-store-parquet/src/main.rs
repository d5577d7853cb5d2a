//! Readings of devices into a data lake: Parquet objects, partitioned by line and day, with columns of their types.
//!
//! Run with `cargo run -p example-07-object-store-parquet -- lake`, publish some readings,
//! `mosquitto_pub -q 1 -t plant/7/device/oven/reading -m '{"id": "a1", "celsius": 71.5}'`, and after half a minute read
//! them: `duckdb -c "from 'lake/**/*.parquet'"`.
//!
//! With `s3://bucket/prefix` instead of `lake` they go to S3; region and credentials come from the usual variables
//! (`AWS_REGION`, `AWS_ACCESS_KEY_ID` and so on), or from the machine itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidemill::prelude::*;
use tidemill::sinks::{
    ColumnSource, ObjectStore, ObjectStoreConfig, ParquetColumn, ParquetConfig, ParquetType, Template, TemplateError,
};
use tidemill::{BoxError, Config, Exit, IdempotencyKey, Route, SinkSettings, Worker, shutdown_signal, telemetry};

/// What devices send, and what becomes a row.
#[derive(Serialize, Deserialize)]
struct Reading {
    id: String,
    celsius: f64,
    /// Few devices have one.
    humidity: Option<f64>,
}

struct Collect;

#[async_trait]
impl Handler for Collect {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let reading: Reading = event.json().permanent()?;
        // Topic, captures, time and idempotency key of the event go with the record.
        cx.emit("lake", reading)?;
        Ok(())
    }
}

fn lake(url: String) -> Result<ObjectStore, TemplateError> {
    let columns = [
        ParquetColumn::new("line", ParquetType::String, ColumnSource::Template(Template::new("{line}")?)),
        ParquetColumn::new("device", ParquetType::String, ColumnSource::Template(Template::new("{device}")?)),
        ParquetColumn::new("time", ParquetType::Timestamp, ColumnSource::Time),
        ParquetColumn::field("celsius", ParquetType::Double, "/celsius"),
        ParquetColumn::field("humidity", ParquetType::Double, "/humidity"),
        // By this a query can tell a reading that came twice.
        ParquetColumn::new("idempotency_key", ParquetType::String, ColumnSource::IdempotencyKey),
    ];
    let partition = Template::new("line={line}/date={time:%Y-%m-%d}")?;
    Ok(ObjectStore::new(ObjectStoreConfig::new(url).partition(partition).format(ParquetConfig::new(columns))))
}

async fn run() -> Result<(), BoxError> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "lake".into());
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    config.group.name = Some("collectors".to_owned());
    // An event is acknowledged when its object is written, so the windows have to hold what two batches do.
    config.mqtt.window = 8192;
    let mut settings = SinkSettings::default();
    settings.linger = Duration::from_secs(20);
    settings.max_batch_records = 4096;
    settings.max_batch_bytes = 64 * 1024 * 1024;
    settings.queue_records = 8192;
    let readings = Route::new("plant/{line}/device/{device}/reading", Collect)
        .idempotency_key(IdempotencyKey::JsonPointer("/id".into()));
    Worker::builder(config)
        .add_route(readings)
        .sink_with("lake", lake(url)?, settings)
        .build()?
        .run_until(shutdown_signal())
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
