//! Rows of a real ClickHouse: bare, a field read from the payload, rows of a batch as JSONEachRow packed and posted with
//! reqwest.

use async_trait::async_trait;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Clickhouse, ClickhouseConfig, Column, ColumnSource, Identifier};
use tidemill_testkit::clickhouse;
use tidemill_testkit::server::ServerProcess;

use super::contest::Contest;
use super::http::{client, gzip, post};
use crate::feed::Error;

/// Batches of this server are meant to be large.
const BATCH: u32 = 5000;

/// `None` where there is no ClickHouse.
pub(super) async fn contest() -> Result<Option<Contest>, Error> {
    let Some(server) = ServerProcess::start_or_skip(clickhouse::spec("")).await else { return Ok(None) };
    let url = format!("http://{}", server.addr());
    let failed = |source| Error::because("create a table", source);
    let create = "CREATE TABLE readings (topic String, celsius Float64, payload String) ENGINE = MergeTree \
                  ORDER BY topic";
    post(&client(), format!("{url}/"), None, create.into()).await.map_err(failed)?;
    let name = |name| Identifier::new(name).map_err(|source| Error::because("name the table", source));
    let columns = vec![
        Column::new(name("topic")?, ColumnSource::Topic),
        Column::new(name("celsius")?, ColumnSource::Field("/celsius".to_owned())),
        Column::new(name("payload")?, ColumnSource::Payload),
    ];
    let mut config = ClickhouseConfig::new(url.as_str(), name("readings")?).columns(columns);
    // The server of Debian is too old for tokens.
    config.deduplicate = false;
    let ours = move || Clickhouse::new(config.clone());
    let insert = "INSERT%20INTO%20readings%20(topic,celsius,payload)%20FORMAT%20JSONEachRow";
    let bare = move || Bare { client: client(), url: format!("{url}/?query={insert}") };
    let contest = Contest::new("reqwest, JSONEachRow with gzip, a request per batch", ours, bare);
    Ok(Some(contest.with_batch(BATCH).with_server(server)))
}

struct Bare {
    client: Client,
    url: String,
}

#[derive(Deserialize)]
struct Reading {
    celsius: f64,
}

#[derive(Serialize)]
struct Row<'r> {
    topic: &'r str,
    celsius: f64,
    payload: &'r str,
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let mut lines = Vec::new();
        for record in batch {
            let Reading { celsius } = serde_json::from_slice(&record.payload).map_err(SinkError::batch_refused)?;
            let topic = record.topic.as_ref().map_or("", |topic| topic.as_str());
            let payload = std::str::from_utf8(&record.payload).map_err(SinkError::batch_refused)?;
            serde_json::to_writer(&mut lines, &Row { topic, celsius, payload }).map_err(SinkError::batch_refused)?;
            lines.push(b'\n');
        }
        let body = gzip(&lines).map_err(SinkError::unavailable)?;
        post(&self.client, self.url.clone(), Some("gzip"), body).await
    }
}
