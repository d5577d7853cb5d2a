//! Temperature readings in, alerts out: a typed payload, a file sink, and an acknowledgement only after both.
//!
//! Run with `cargo run -p example-02-threshold-alerts`, and publish with
//! `mosquitto_pub -q 1 -t iot-2/type/boiler/id/b7/evt/temperature/fmt/json -m '{"celsius": 93.5}'`.
//!
//! Settings come from `tidemill.toml` and from the environment, such as `TIDEMILL_MQTT__URL`. The alerts are in
//! `alerts.ndjson`, or in the file that `ALERTS_FILE` names. Start it twice, with another file, and the readings are
//! shared.

use serde::{Deserialize, Serialize};
use tidemill::prelude::*;
use tidemill::{BoxError, Config, Exit, Worker, shutdown_signal, sinks, telemetry};

/// What a device sends. Members that are not named here do not matter.
#[derive(Deserialize)]
struct Reading {
    celsius: f64,
}

/// What becomes of it when it is too high.
#[derive(Serialize)]
struct Alert<'a> {
    device: &'a str,
    kind: &'a str,
    celsius: f64,
    limit: f64,
}

struct Thermostat {
    limit: f64,
}

#[async_trait]
impl Handler for Thermostat {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        // A payload that cannot be read today cannot be read tomorrow: no retry, to the dead letters at once.
        let reading: Reading = event.json().permanent()?;
        if reading.celsius > self.limit {
            let device = event.capture("id").unwrap_or_default();
            let kind = event.capture("type").unwrap_or_default();
            // Only kept for now. It is written once this returns `Ok`, and the event is acknowledged after that.
            cx.emit("alerts", Alert { device, kind, celsius: reading.celsius, limit: self.limit })?;
        }
        Ok(())
    }
}

async fn run() -> Result<(), BoxError> {
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    // The group makes replicas share the readings; whoever deploys it may choose another name.
    config.group.name.get_or_insert_with(|| "thermostats".to_owned());
    let file = std::env::var("ALERTS_FILE").unwrap_or_else(|_| "alerts.ndjson".to_owned());

    let summary = Worker::builder(config)
        .route("iot-2/type/{type}/id/{id}/evt/temperature/fmt/json", Thermostat { limit: 80.0 })
        .sink("alerts", sinks::File::new(sinks::FileConfig::new(file)))
        .build()? // every mistake is reported here, at once
        .run_until(shutdown_signal()) // leaves the group without loss when it is asked to
        .await?;
    println!("{} readings handled, {} to the dead letters", summary.handled, summary.dead_lettered);
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
