//! Points of a real InfluxDB 1: bare, two fields read from the payload, lines of a batch packed and posted with reqwest.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Influx, InfluxApi, InfluxConfig, InfluxField, Template};
use tidemill_testkit::influx;
use tidemill_testkit::server::ServerProcess;

use super::contest::Contest;
use super::http::{client, gzip, post};
use crate::feed::Error;

/// `None` where there is no InfluxDB.
pub(super) async fn contest() -> Result<Option<Contest>, Error> {
    let Some(server) = ServerProcess::start_or_skip(influx::spec(None)).await else { return Ok(None) };
    let url = format!("http://{}", server.addr());
    let failed = |source| Error::because("create a database", source);
    post(&client(), format!("{url}/query?q=CREATE+DATABASE+plant"), None, Vec::new()).await.map_err(failed)?;
    let template = |text| Template::new(text).map_err(|source| Error::because("name the points", source));
    let api = InfluxApi::V1 { database: "plant".to_owned(), retention_policy: None, user: None };
    let config = InfluxConfig::new(url.as_str(), api, template("readings")?)
        .tag("topic", template("{topic}")?)
        .field("celsius", InfluxField::Field("/celsius".to_owned()))
        .field("humidity", InfluxField::Field("/humidity".to_owned()));
    let ours = move || Influx::new(config.clone());
    let bare = move || Bare { client: client(), url: format!("{url}/write?db=plant&precision=ns") };
    Ok(Some(Contest::new("reqwest, lines with gzip, a request per batch", ours, bare).with_server(server)))
}

struct Bare {
    client: Client,
    url: String,
}

#[derive(Deserialize)]
struct Reading {
    celsius: f64,
    humidity: f64,
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let mut lines = String::new();
        for record in batch {
            let Reading { celsius, humidity } =
                serde_json::from_slice(&record.payload).map_err(SinkError::batch_refused)?;
            let topic = record.topic.as_ref().map_or("", |topic| topic.as_str());
            let time = record.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            lines.push_str("readings,topic=");
            for character in topic.chars() {
                if matches!(character, ',' | '=' | ' ') {
                    lines.push('\\');
                }
                lines.push(character);
            }
            let line = writeln!(lines, " celsius={celsius},humidity={humidity} {}", time.as_nanos());
            line.map_err(SinkError::batch_refused)?;
        }
        let body = gzip(lines.as_bytes()).map_err(SinkError::unavailable)?;
        post(&self.client, self.url.clone(), Some("gzip"), body).await
    }
}
