//! Readings to rows: every reading is in the table once, whatever crashes.
//!
//! The publisher gives each of its readings an ID, and the route makes the records' idempotency key of it. A reading that
//! comes again after a crash gives a record with the same key, and the table's unique index knows it.
//!
//! ```sh
//! createdb plant
//! PGUSER=$USER PGDATABASE=plant PGHOST=/run/postgresql cargo run -p example-06-postgres
//! mosquitto_pub -q 1 -t plant/7/temperature -m '{"id": "7-1", "celsius": 71.5}'
//! psql plant -c 'SELECT * FROM readings'
//! ```
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `PGHOST`, `PGPORT` | the server | `localhost`, 5432 |
//! | `PGDATABASE`, `PGUSER` | the database, and who writes | `postgres` |
//! | `PGPASSWORD` | the password, if the server asks for one | none |
//! | `TIDEMILL_...` | everything else, such as `TIDEMILL_MQTT__URL` | see `docs/configuration.md` |
//!
//! With `TIDEMILL_IDENTITY__MODE=durable`, a name in `TIDEMILL_IDENTITY__REPLICA` and `TIDEMILL_MQTT__SESSION_EXPIRY=1h` the
//! broker also keeps what comes while no worker runs. The test runs it so, kills the database and the worker under way,
//! and counts rows; `EVENTS=200000 cargo test -p example-06-postgres --release` takes more of them.

use std::env;

use serde::Deserialize;
use tidemill::prelude::*;
use tidemill::sinks::{Column, ColumnSource, ColumnType, Identifier, Postgres, PostgresConfig, Secret};
use tidemill::{BoxError, Config, Exit, IdempotencyKey, Route, Worker, shutdown_signal, telemetry};

/// What the payload must have; the columns of the table take it from there by themselves.
#[derive(Deserialize)]
struct Reading {
    #[serde(rename = "id")]
    _id: String,
    #[serde(rename = "celsius")]
    _celsius: f64,
}

struct Store;

#[async_trait]
impl Handler for Store {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        event.json::<Reading>().permanent()?;
        cx.emit("readings", Record::new(event.payload().clone()).with_content_type("application/json"))?;
        Ok(())
    }
}

fn table() -> Result<PostgresConfig, BoxError> {
    let or = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let column = |name: &str, from| Ok::<_, BoxError>(Column::new(Identifier::new(name)?, from));
    let columns = vec![
        column("id", ColumnSource::IdempotencyKey)?,
        column("line", ColumnSource::Template("{line}".parse()?))?,
        column("reading", ColumnSource::Field("/id".to_owned()))?,
        column("celsius", ColumnSource::Field("/celsius".to_owned()))?.of_type(ColumnType::Float),
        column("arrived", ColumnSource::Time)?,
    ];
    let table = Identifier::new("readings")?;
    let user = or("PGUSER", "postgres");
    let mut config = PostgresConfig::new(or("PGHOST", "localhost"), or("PGDATABASE", "postgres"), user, table)
        .port(or("PGPORT", "5432").parse()?)
        .columns(columns, vec![Identifier::new("id")?])
        .create();
    if env::var_os("PGPASSWORD").is_some() {
        config = config.password(Secret::Env("PGPASSWORD".to_owned()));
    }
    Ok(config)
}

async fn run() -> Result<(), BoxError> {
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    config.group.name = Some("readings-to-postgres".to_owned());
    Worker::builder(config)
        .add_route(
            Route::new("plant/{line}/temperature", Store).idempotency_key(IdempotencyKey::JsonPointer("/id".into())),
        )
        .sink("readings", Postgres::new(table()?))
        .build()?
        .run_until(shutdown_signal())
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
