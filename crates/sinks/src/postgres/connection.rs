//! One connection: made, looked at the table, prepared. Invariant: what was prepared fits the columns that the table had
//! then; after any error the connection is given up, so that the next one looks again.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::task::{self, JoinHandle};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::PostgresConfig;
use super::error::PostgresError;
use super::rows::{Form, Rows};
use super::statement;
use crate::tls;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection that is ready to write. Dropping it closes its socket at once.
pub(super) struct Connection {
    client: Client,
    insert: Statement,
    pub(super) forms: Vec<Form>,
    driver: Driver,
}

/// The task that moves bytes, and ends with this.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Connects, creates the table if told so, looks at it, and prepares the statement.
    pub(super) async fn open(config: &PostgresConfig) -> Result<Self, PostgresError> {
        within(config.connect_timeout, Self::prepared(config)).await
    }

    async fn prepared(config: &PostgresConfig) -> Result<Self, PostgresError> {
        let (client, driver) = connect(config).await?;
        // A batch that was given up ends on the server about when it ends here.
        let limit = config.timeout.as_millis().max(1);
        client.batch_execute(&format!("SET statement_timeout = {limit}; SET client_min_messages = warning")).await?;
        let mut types = describe(&client, config).await?;
        if types.is_none() && config.create {
            client.batch_execute(&statement::create(config)).await?;
            types = describe(&client, config).await?;
        }
        let Some(types) = types else {
            let table = &config.table;
            return Err(PostgresError::Settings(format!(
                "table {table} does not exist in database {}: create it, or set create = true",
                config.database
            )));
        };
        let insert = client.prepare(&statement::insert(config, &types)).await?;
        let forms: Vec<Form> = types.iter().map(|name| Form::of(name)).collect();
        let connection = Self { client, insert, forms, driver };
        // No rows: that tells whether the privileges and the unique index are there, and whether it is a replica.
        connection.write(&Rows::new(config, &connection.forms, &[]), config.timeout).await?;
        Ok(connection)
    }

    /// Writes the rows in one statement: all of them or none.
    pub(super) async fn write(&self, rows: &Rows, limit: Duration) -> Result<(), PostgresError> {
        let parameters: Vec<&(dyn ToSql + Sync)> = rows.columns.iter().map(|column| column as _).collect();
        within(limit, async {
            self.client.execute(&self.insert, &parameters).await?;
            Ok(())
        })
        .await
    }

    /// Whether it is known to be lost.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Says farewell to the server.
    pub(super) async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        // A server that does not listen any more is left without one.
        _ = timeout(FAREWELL, &mut driver.0).await;
    }
}

async fn connect(config: &PostgresConfig) -> Result<(Client, Driver), PostgresError> {
    if config.host.contains("://") || (config.host.contains('@') && !config.host.starts_with('/')) {
        let why = "host is a URL: write the name alone, and the rest into port, database, user and password";
        return Err(PostgresError::Settings(why.to_owned()));
    }
    let (password, tls) = secrets(config).await?;
    let mut to = Config::new();
    to.host(config.host.as_str())
        .port(config.port)
        .dbname(&config.database)
        .user(&config.user)
        .application_name("tidemill");
    if let Some(password) = password {
        to.password(password);
    }
    // The connection runs until its client is dropped; what went wrong is told to whoever waits for an answer.
    if let Some(tls) = tls {
        to.ssl_mode(SslMode::Require);
        let (client, connection) = to.connect(MakeRustlsConnect::new(tls)).await?;
        Ok((client, Driver(task::spawn(async { _ = connection.await }))))
    } else {
        to.ssl_mode(SslMode::Disable);
        let (client, connection) = to.connect(NoTls).await?;
        Ok((client, Driver(task::spawn(async { _ = connection.await }))))
    }
}

/// Reads what is in files, where that may block.
async fn secrets(config: &PostgresConfig) -> Result<(Option<String>, Option<ClientConfig>), PostgresError> {
    let (secret, uses_tls, ca_file) = (config.password.clone(), config.uses_tls(), config.ca_file.clone());
    let read = task::spawn_blocking(move || {
        let password = secret.map(|secret| secret.read()).transpose().map_err(|error| error.to_string())?;
        let tls = uses_tls.then(|| tls::client_config(ca_file.as_deref())).transpose();
        Ok((password, tls.map_err(|error| error.to_string())?))
    });
    read.await.unwrap_or_else(|error| Err(error.to_string())).map_err(PostgresError::Settings)
}

/// The types of the columns that are written; `None` when there is no table.
async fn describe(client: &Client, config: &PostgresConfig) -> Result<Option<Vec<String>>, PostgresError> {
    let rows = client.query(statement::DESCRIBE, &[&config.table.quoted()]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let table = &config.table;
    let mut known = HashMap::new();
    for row in &rows {
        known.insert(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
    }
    let types = config.columns.iter().map(|column| {
        known.remove(column.name.as_str()).ok_or_else(|| {
            let name = &column.name;
            PostgresError::Settings(format!(
                "table {table} has no column {name}: add it, or take it out of columns; upper and lower case differ"
            ))
        })
    });
    types.collect::<Result<_, _>>().map(Some)
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, PostgresError>>) -> Result<T, PostgresError> {
    timeout(limit, work).await.unwrap_or(Err(PostgresError::Silent(limit)))
}
