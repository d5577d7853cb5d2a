//! Readings that are completed with what an HTTP service knows of their device, at no more requests a second than the
//! service can bear.
//!
//! Run with `DEVICES_URL=http://127.0.0.1:8080 cargo run -p example-04-rate-limited-http-enrichment`, and publish with
//! `mosquitto_pub -q 1 -t readings/b7 -m '{"celsius": 21.5}'`. The service is asked for `/devices/b7` and answers with
//! `{"site": "Hamburg"}`; the readings go to standard output, one line each.
//!
//! `REQUESTS_PER_SECOND` (10) is the limit of this replica: with three replicas the service sees three times as much.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tidemill::layer::{Rate, RateLimitLayer};
use tidemill::prelude::*;
use tidemill::{BoxError, Config, Exit, Route, Worker, shutdown_signal, sinks, telemetry};

#[derive(Deserialize)]
struct Reading {
    celsius: f64,
}

/// What the service knows of a device.
#[derive(Deserialize)]
struct Device {
    site: String,
}

#[derive(Serialize)]
struct Enriched<'a> {
    device: &'a str,
    site: String,
    celsius: f64,
}

struct Enricher {
    // One client for all: it keeps connections open between requests.
    http: Client,
    devices: Url,
}

#[async_trait]
impl Handler for Enricher {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let reading: Reading = event.json().permanent()?;
        let device = event.capture("device").unwrap_or_default();
        let mut url = self.devices.clone();
        // A device chooses its topic, so it must not choose the path: this escapes what it wrote.
        url.path_segments_mut()
            .map_err(|()| "DEVICES_URL cannot have a path")
            .permanent()?
            .push("devices")
            .push(device);

        // No connection, or none in time: plain `?`, so it is tried again after the backoff.
        let answer = self.http.get(url).send().await?;
        let Device { site } = checked(answer)?.json().await?;
        cx.emit("enriched", Enriched { device, site, celsius: reading.celsius })?;
        Ok(())
    }
}

/// What an answer means for the event.
fn checked(answer: Response) -> Result<Response, HandlerError> {
    let status = answer.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        // The service says when to come back, or it is given a second.
        let seconds =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(1);
        return Err(format!("the service answers {status}")).retry_after(Duration::from_secs(seconds));
    }
    // Anything else that is no success, such as a device that nobody knows, stays so: to the dead letters.
    answer.error_for_status().permanent()
}

async fn run() -> Result<(), BoxError> {
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    config.group.name.get_or_insert_with(|| "enrichers".to_owned());
    let devices = std::env::var("DEVICES_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned()).parse()?;
    let per_second = std::env::var("REQUESTS_PER_SECOND").unwrap_or_else(|_| "10".to_owned()).parse()?;

    // Built together with what needs TLS, the client needs to know by which cryptography. An earlier choice stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Client::builder().timeout(Duration::from_secs(5)).build()?;
    let route = Route::new("readings/{device}", Enricher { http, devices })
        // Attempts beyond the rate wait for their turn, retries too. Nothing is refused, and nothing times out meanwhile:
        // the window fills, and the broker holds the rest.
        .layer(RateLimitLayer::new(Rate::per_second(per_second)));
    let summary = Worker::builder(config)
        .add_route(route)
        .sink("enriched", sinks::Stdout::new(sinks::StdoutConfig::default()))
        .build()?
        .run_until(shutdown_signal())
        .await?;
    eprintln!("{} readings enriched, {} to the dead letters", summary.handled, summary.dead_lettered);
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
