//! Rows in a real PostgreSQL, committed: bare, one prepared INSERT of arrays per batch over one connection.

use async_trait::async_trait;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Column, ColumnSource, Identifier, Postgres, PostgresConfig};
use tidemill_testkit::postgres::{PostgresServer, PostgresServerConfig};
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, NoTls, Statement};

use super::contest::Contest;
use crate::feed::Error;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS bare (topic text, payload jsonb)";
const INSERT: &str = "INSERT INTO bare (topic, payload) \
                      SELECT v.topic, v.payload::jsonb FROM unnest($1::text[], $2::text[]) AS v(topic, payload)";

/// `None` where there is no PostgreSQL.
pub(super) async fn contest() -> Result<Option<Contest>, Error> {
    let Some(server) = PostgresServer::start_or_skip(PostgresServerConfig::default()).await else { return Ok(None) };
    let name = |name| Identifier::new(name).map_err(|source| Error::because("name the table", source));
    let columns =
        vec![Column::new(name("topic")?, ColumnSource::Topic), Column::new(name("payload")?, ColumnSource::Payload)];
    let config = PostgresConfig::new("127.0.0.1", "postgres", server.user(), name("tidemill")?)
        .port(server.addr().port())
        .columns(columns, Vec::new())
        .create();
    let target = format!("host=127.0.0.1 port={} dbname=postgres user={}", server.addr().port(), server.user());
    let ours = move || Postgres::new(config.clone());
    let bare = move || Bare { target: target.clone(), connection: OnceCell::new() };
    Ok(Some(Contest::new("tokio-postgres, an INSERT of arrays per batch", ours, bare).with_server(server)))
}

struct Connection {
    client: Client,
    insert: Statement,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Bare {
    target: String,
    connection: OnceCell<Connection>,
}

impl Bare {
    async fn connect(&self) -> Result<Connection, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.target, NoTls).await?;
        let task = tokio::spawn(connection).abort_handle();
        client.batch_execute(CREATE).await?;
        let insert = client.prepare(INSERT).await?;
        Ok(Connection { client, insert, task })
    }
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let connection = self.connection.get_or_try_init(|| self.connect()).await.map_err(SinkError::unavailable)?;
        let mut topics = Vec::with_capacity(batch.len());
        let mut payloads = Vec::with_capacity(batch.len());
        for record in batch {
            topics.push(record.topic.as_ref().map(tidemill_core::topic::TopicName::as_str));
            payloads.push(std::str::from_utf8(&record.payload).map_err(SinkError::batch_refused)?);
        }
        let written = connection.client.execute(&connection.insert, &[&topics, &payloads]).await;
        written.map(drop).map_err(SinkError::unavailable)
    }
}
