//! Writes batches over a few connections.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tidemill_core::{Record, Sink, SinkError, SinkTraits};
use tokio::sync::Semaphore;

use super::config::{OnConflict, PostgresConfig};
use super::connection::Connection;
use super::error::PostgresError;
use super::rows::Rows;
use crate::columns;
use crate::pool::Pool;
use crate::{ColumnSource, written};

/// Writes records as rows of a PostgreSQL table, a batch by one statement: all of it or nothing.
///
/// Written means committed, as safely as the server's `synchronous_commit` makes it. With a key that holds the
/// idempotency key a record that is written again is known: *effectively once*, also across restarts of the worker and
/// the server. Without a key: at least once.
///
/// Values are sent as text and cast to the types that the table has, so a column may have any type that can be read
/// from text. `time` is written as RFC 3339, a field that is an object or array as JSON. A column of type `bytea`
/// takes any bytes.
///
/// With TimescaleDB the unique index of a hypertable must have its time column. Name both in `key`, and take the time
/// from what does not change when the event comes again: a field of the payload, or the publisher's time stamp. The time
/// of arrival differs, and then the record is written twice.
///
/// | SQLSTATE | means |
/// |---|---|
/// | 08, 25, 40, 53, 55, 57, 58, XX, no answer in time | [`Unavailable`](tidemill_core::SinkErrorKind::Unavailable) |
/// | 21, 22, 23, 44, 54, P0 | [`BatchRefused`](tidemill_core::SinkErrorKind::BatchRefused): halves tell which record it is |
/// | others, such as 28, 3D and 42 | [`Misconfigured`](tidemill_core::SinkErrorKind::Misconfigured) |
///
/// A record is [`Rejected`](tidemill_core::SinkErrorKind::Rejected) before it is sent when its text has a null character
/// or is no UTF-8, its JSON is none, or it has no value for a column of the key.
///
/// Cancel-safe: a dropped `write` gives its connection up; its statement may still be committed, whole.
///
/// ```
/// use tidemill_sinks::{Column, ColumnSource, Identifier, Postgres, PostgresConfig, Secret};
///
/// let columns = vec![
///     Column::new(Identifier::new("id")?, ColumnSource::IdempotencyKey),
///     Column::new(Identifier::new("celsius")?, ColumnSource::Field("/celsius".into())),
/// ];
/// let config = PostgresConfig::new("db.example.org", "plant", "worker", Identifier::new("readings")?)
///     .password(Secret::File("/run/secrets/postgres".into()))
///     .columns(columns, vec![Identifier::new("id")?]);
/// let sink = Postgres::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Postgres {
    config: Arc<PostgresConfig>,
    slots: Semaphore,
    /// Connections that nobody writes over now.
    idle: Pool<Connection>,
}

impl Postgres {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: PostgresConfig) -> Self {
        let slots = config.connections.get().min(Semaphore::MAX_PERMITS);
        Self { config: Arc::new(config), slots: Semaphore::new(slots), idle: Pool::default() }
    }

    fn take_idle(&self) -> Option<Connection> {
        std::iter::from_fn(|| self.idle.take()).find(|connection| !connection.is_closed())
    }

    async fn connection(&self) -> Result<Connection, PostgresError> {
        match self.take_idle() {
            Some(connection) => Ok(connection),
            None => {
                columns::check(&self.config.columns, &self.config.key).map_err(PostgresError::Settings)?;
                // On the heap: it is large, and seldom.
                Box::pin(Connection::open(&self.config)).await
            }
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("host", &self.config.host)
            .field("database", &self.config.database)
            .field("table", &self.config.table)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Postgres {
    fn traits(&self) -> SinkTraits {
        let Self { config, .. } = self;
        let mut traits = SinkTraits::default();
        if !config.key.is_empty() && config.on_conflict == OnConflict::Update {
            traits = traits.serial();
        }
        let known =
            |column: &crate::Column| column.from == ColumnSource::IdempotencyKey && config.key.contains(&column.name);
        if config.columns.iter().any(known) { traits.idempotent() } else { traits }
    }

    async fn open(&self) -> Result<(), SinkError> {
        let connection = self.connection().await.map_err(PostgresError::into_sink)?;
        self.idle.put(connection);
        Ok(())
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let slot = self.slots.acquire().await;
        let connection = self.connection().await.map_err(PostgresError::into_sink)?;
        let rows = Rows::new(&self.config, &connection.forms, batch);
        if !rows.is_empty() {
            connection.write(&rows, self.config.timeout).await.map_err(PostgresError::into_sink)?;
        }
        self.idle.put(connection);
        drop(slot);
        written(rows.rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        while let Some(connection) = self.take_idle() {
            connection.close().await;
        }
        Ok(())
    }
}
