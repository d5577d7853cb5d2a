//! A scalable application of IBM Watson IoT Platform or Maximo IoT: temperatures in, a command back to each device that
//! is too hot, and a board that says which devices are connected.
//!
//! Every replica connects as `A:org:app`, and the platform shares the events among them. Who the worker is comes from
//! `tidemill.toml` or the environment: `TIDEMILL_PLATFORM__APP`, `TIDEMILL_PLATFORM__API_KEY`,
//! `TIDEMILL_PLATFORM__TOKEN_FILE` and `TIDEMILL_MQTT__URL`. Programs that have the `WIOTP_*` variables of the SDKs take
//! those over with `Config::with_platform`.
//!
//! Dead letters are in `dead.ndjson`, or in the file that `DEAD_FILE` names: the platform has no topics for them.

use serde::Deserialize;
use tidemill::config::IdentityMode;
use tidemill::platform::tracker::{Change, Connection};
use tidemill::platform::{DeviceTracker, PlatformContext, PlatformRoutes, TrackerSettings};
use tidemill::prelude::*;
use tidemill::{BoxError, Config, Exit, Worker, shutdown_signal, sinks, telemetry};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

#[derive(Deserialize)]
struct Reading {
    celsius: f64,
}

struct Thermostat {
    limit: f64,
}

#[async_trait]
impl Handler for Thermostat {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let reading: Reading = event.json().permanent()?;
        if reading.celsius > self.limit {
            let (kind, device) = (event.capture("type").unwrap_or_default(), event.capture("id").unwrap_or_default());
            // Sent once this returns `Ok`. What would close the connection is an error here.
            cx.platform().send_command(kind, device, "cool", "json", r#"{"on":true}"#).permanent()?;
        }
        Ok(())
    }
}

/// The next change, `None` after the last. A board that was too slow has missed some and goes on with those after them.
async fn next<T: Clone>(changes: &mut Receiver<T>) -> Option<T> {
    loop {
        match changes.recv().await {
            Ok(change) => return Some(change),
            Err(RecvError::Lagged(missed)) => println!("{missed} changes missed"),
            Err(RecvError::Closed) => return None,
        }
    }
}

/// Prints every change. It has a connection of its own, which hears of all devices, not of this worker's share.
async fn board(tracker: DeviceTracker, mut changes: Receiver<Change>) {
    while let Some(change) = next(&mut changes).await {
        let state = match change.to {
            Connection::Connected => "connected",
            Connection::Disconnected => "disconnected",
            _ => "unknown",
        };
        println!("{} {state}, {} connected", change.device, tracker.snapshot().connected);
    }
}

async fn run() -> Result<(), BoxError> {
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    config.identity.mode = IdentityMode::Platform;
    config.dead_letters.sink = Some("dead".to_owned());
    let file = std::env::var("DEAD_FILE").unwrap_or_else(|_| "dead.ndjson".to_owned());

    let tracker = DeviceTracker::start(&config, &TrackerSettings::default())?;
    let shown = tokio::spawn(board(tracker.clone(), tracker.changes()));
    let summary = Worker::builder(config)
        .on_event("+", "+", "temperature", "json", Thermostat { limit: 80.0 })
        .sink("dead", sinks::File::new(sinks::FileConfig::new(file)))
        .build()?
        .run_until(shutdown_signal())
        .await?;
    shown.abort();
    tracker.close().await;
    println!("{} readings handled, {} to the dead letters", summary.handled, summary.dead_lettered);
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_board_that_was_too_slow_goes_on() {
        let (tell, mut changes) = tokio::sync::broadcast::channel(2);
        for number in 0..5 {
            let _ = tell.send(number);
        }
        drop(tell);
        assert_eq!(super::next(&mut changes).await, Some(3));
        assert_eq!(super::next(&mut changes).await, Some(4));
        assert_eq!(super::next(&mut changes).await, None);
    }
}
