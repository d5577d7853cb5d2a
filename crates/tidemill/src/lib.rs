//! Horizontally scalable event-processing workers on MQTT.
//!
//! You implement [`Handler`]; a [`Worker`] runs N instances of it that share one subscription with every replica, and
//! takes care of backpressure, ordered acknowledgement after the work is done, retries, dead letters, sinks, metrics
//! and lossless draining.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use tidemill::prelude::*;
//! use tidemill::{Config, Worker, shutdown_signal, sinks};
//!
//! #[derive(Deserialize)]
//! struct Reading { celsius: f64 }
//!
//! #[derive(Serialize)]
//! struct Alert<'a> { device: &'a str, celsius: f64 }
//!
//! struct Thermostat { limit: f64 }
//!
//! #[async_trait]
//! impl Handler for Thermostat {
//!     async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
//!         let reading: Reading = event.json().permanent()?; // a bad payload does not get better: dead-letter it
//!         if reading.celsius > self.limit {
//!             let device = event.capture("id").unwrap_or_default();
//!             cx.emit("alerts", Alert { device, celsius: reading.celsius })?; // written before the event is acknowledged
//!         }
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut config = Config::load()?; // tidemill.toml, then the environment
//!     config.group.name = Some("thermostats".to_owned());
//!     config.instances = 4;
//!     Worker::builder(config)
//!         .route("iot-2/type/{type}/id/{id}/evt/temperature/fmt/json", Thermostat { limit: 80.0 })
//!         .sink("alerts", sinks::File::new(sinks::FileConfig::new("alerts.ndjson")))
//!         .build()? // every mistake is reported here, at once
//!         .run_until(shutdown_signal())
//!         .await?;
//!     Ok(())
//! }
//! ```

pub use tidemill_core::*;
pub use tidemill_runtime::*;

/// Where records go.
pub mod sinks {
    pub use tidemill_sinks::*;
}
