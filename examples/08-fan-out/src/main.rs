//! One handler, three sinks: every reading goes to a file for people and to an object store for analysis, and what is too
//! hot also to a webhook. An event is acknowledged when all that it emitted is written, so no sink can fall behind
//! unseen; each has batches, retries and a breaker of its own.
//!
//! Run with `cargo run -p example-08-fan-out -- out http://127.0.0.1:8000/alarms`, with something that answers there, and
//! publish `mosquitto_pub -q 1 -t plant/7/temperature -m '{"id": "a1", "celsius": 91.5}'`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidemill::prelude::*;
use tidemill::sinks::{
    File, FileConfig, Http, HttpConfig, ObjectCompression, ObjectFormat, ObjectStore, ObjectStoreConfig, Template,
};
use tidemill::{BoxError, Config, Exit, IdempotencyKey, Route, SinkSettings, Worker, shutdown_signal, telemetry};

const TOO_HOT_CELSIUS: f64 = 80.0;

#[derive(Clone, Serialize, Deserialize)]
struct Reading {
    id: String,
    celsius: f64,
}

struct FanOut;

#[async_trait]
impl Handler for FanOut {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let reading: Reading = event.json().permanent()?;
        if reading.celsius > TOO_HOT_CELSIUS {
            cx.emit("webhook", reading.clone())?;
        }
        cx.emit("log", reading.clone())?;
        cx.emit("lake", reading)?;
        Ok(())
    }
}

async fn run() -> Result<(), BoxError> {
    let mut arguments = std::env::args_os().skip(1);
    let out = PathBuf::from(arguments.next().unwrap_or_else(|| "out".into()));
    let webhook = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8000/alarms".into());
    let webhook = Template::new(&webhook.to_string_lossy())?;
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    config.group.name = Some("fan-out".to_owned());

    let lake = ObjectStoreConfig::new(out.join("lake").to_string_lossy())
        .partition(Template::new("line={line}")?)
        .format(ObjectFormat::Ndjson { compression: ObjectCompression::None });
    // Large objects are worth waiting for; the other two write at once.
    let mut gather = SinkSettings::default();
    gather.linger = Duration::from_secs(10);
    let route = Route::new("plant/{line}/temperature", FanOut)
        // Goes with every record, so that the receiver of the webhook can tell one that comes twice.
        .idempotency_key(IdempotencyKey::JsonPointer("/id".into()));
    Worker::builder(config)
        .add_route(route)
        .sink("log", File::new(FileConfig::new(out.join("readings.ndjson"))))
        .sink("webhook", Http::new(HttpConfig::new(webhook)))
        .sink_with("lake", ObjectStore::new(lake), gather)
        .build()?
        .run_until(shutdown_signal())
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
