//! A worker as it runs in Kubernetes: nothing about where it runs stands in the code. The chart writes the configuration
//! file, the pod gives the replica its name, and SIGTERM makes it leave the group without loss.
//!
//! Run it here with `cargo run -p example-10-kubernetes -- out`, and see `docs/kubernetes.md` for the cluster.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tidemill::prelude::*;
use tidemill::sinks::{File, FileConfig};
use tidemill::{BoxError, Config, Exit, Worker, shutdown_signal, telemetry};

#[derive(Deserialize)]
struct Reading {
    celsius: f64,
}

#[derive(Serialize)]
struct Alert<'a> {
    line: &'a str,
    celsius: f64,
}

struct Thermostat {
    limit: f64,
}

#[async_trait]
impl Handler for Thermostat {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let Reading { celsius } = event.json().permanent()?;
        if celsius > self.limit {
            let line = event.capture("line").unwrap_or_default();
            cx.emit("alerts", Alert { line, celsius })?;
        }
        Ok(())
    }
}

async fn run() -> Result<(), BoxError> {
    let config = Config::load()?;
    telemetry::init(&config.log)?;
    // A volume of this replica alone.
    let data = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "out".into()));
    let summary = Worker::builder(config)
        .route("plant/{line}/temperature", Thermostat { limit: 80.0 })
        .sink("alerts", File::new(FileConfig::new(data.join("alerts.ndjson"))))
        .build()?
        .run_until(shutdown_signal())
        .await?;
    println!("{} readings handled, {} to the dead letters", summary.handled, summary.dead_lettered);
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
