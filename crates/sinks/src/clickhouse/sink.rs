//! Sends batches.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue};
use tidemill_core::{Record, Sink, SinkError};
use tokio::task;

use super::config::ClickhouseConfig;
use super::error::ClickhouseError;
use super::rows::Rows;
use crate::http_client::{Reach, Server, gzip};
use crate::{Identifier, columns, rejected_or_written};

const USER: HeaderName = HeaderName::from_static("x-clickhouse-user");
const KEY: HeaderName = HeaderName::from_static("x-clickhouse-key");

/// Writes records as rows of a ClickHouse table, a batch by one `INSERT ... FORMAT JSONEachRow`.
///
/// Written means that the server answered that it has the rows, as safely as the table's engine and `insert_quorum` make
/// it. At least once: a batch that is repeated as it was is known by its token (see
/// [`deduplicate`](ClickhouseConfig::deduplicate)), but after a crash of the worker its records come in other batches.
/// For a table that forgets those too, choose `ReplacingMergeTree` ordered by the idempotency key: merges leave one row
/// of each, and `SELECT ... FINAL` shows one before that.
///
/// Times are sent as RFC 3339 and read with `date_time_input_format=best_effort`. What a record has no value for
/// is left out: the column gets its default, which is null where it may be.
///
/// | answer | means |
/// |---|---|
/// | 200 | written |
/// | codes of values, ranges and constraints; 413 | [`BatchRefused`](tidemill_core::SinkErrorKind::BatchRefused): halves tell which record it is |
/// | codes of names, logins, privileges and settings | [`Misconfigured`](tidemill_core::SinkErrorKind::Misconfigured) |
/// | other codes, none in time | [`Unavailable`](tidemill_core::SinkErrorKind::Unavailable) |
///
/// A record is [`Rejected`](tidemill_core::SinkErrorKind::Rejected) before it is sent when its payload or key is no UTF-8,
/// or is no JSON where a column asks for a field.
///
/// `open` inserts no rows, which tells whether the table, its columns and the privilege are there. Cancel-safe: a batch
/// of a dropped `write` may still be written.
///
/// ```
/// use tidemill_sinks::{Clickhouse, ClickhouseConfig, Column, ColumnSource, Identifier, Secret};
///
/// let columns = vec![
///     Column::new(Identifier::new("id")?, ColumnSource::IdempotencyKey),
///     Column::new(Identifier::new("celsius")?, ColumnSource::Field("/celsius".into())),
/// ];
/// let config = ClickhouseConfig::new("https://clickhouse.example.org:8443", Identifier::new("plant.readings")?)
///     .login("worker", Secret::File("/run/secrets/clickhouse".into()))
///     .columns(columns);
/// let sink = Clickhouse::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Clickhouse {
    config: Arc<ClickhouseConfig>,
    /// Made at the first call, and anew after an answer that doubts the login.
    setup: Mutex<Option<Arc<Setup>>>,
}

/// What requests are made with.
struct Setup {
    server: Server,
    login: Vec<(HeaderName, HeaderValue)>,
    insert: String,
}

impl Setup {
    /// Reads files: call it where that may block.
    fn new(config: &ClickhouseConfig) -> Result<Self, String> {
        columns::check(&config.columns, &[])?;
        let reach = Reach {
            url: &config.url,
            ca_file: config.ca_file.as_deref(),
            timeout: config.timeout,
            connect_timeout: config.connect_timeout,
        };
        let mut login = Vec::new();
        let password = config.password.as_ref().map(|password| password.read().map_err(|error| error.to_string()));
        for (name, text) in [(USER, config.user.clone()), (KEY, password.transpose()?)] {
            if let Some(text) = text {
                let value = HeaderValue::from_str(&text);
                let mut value =
                    value.map_err(|_| "user or password has characters that HTTP does not allow: mend it")?;
                value.set_sensitive(true);
                login.push((name, value));
            }
        }
        let quoted = |name: &Identifier| name.quoted_with('`');
        let names: Vec<String> = config.columns.iter().map(|column| quoted(&column.name)).collect();
        let insert = format!("INSERT INTO {} ({}) FORMAT JSONEachRow", quoted(&config.table), names.join(", "));
        Ok(Self { server: Server::new(reach)?, login, insert })
    }
}

impl Clickhouse {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: ClickhouseConfig) -> Self {
        Self { config: Arc::new(config), setup: Mutex::default() }
    }

    async fn setup(&self) -> Result<Arc<Setup>, SinkError> {
        if let Some(setup) = &*self.setup.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(setup));
        }
        let config = Arc::clone(&self.config);
        let made = task::spawn_blocking(move || Setup::new(&config)).await.map_err(SinkError::unavailable)?;
        let made = Arc::new(made.map_err(SinkError::misconfigured)?);
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn insert(&self, lines: Vec<u8>, token: Option<String>) -> Result<(), SinkError> {
        let setup = self.setup().await?;
        let mut query = vec![("query", setup.insert.as_str()), ("date_time_input_format", "best_effort")];
        if self.config.async_insert {
            query.extend([("async_insert", "1"), ("wait_for_async_insert", "1")]);
        }
        if let Some(token) = token.as_deref().filter(|_| self.config.deduplicate) {
            query.push(("insert_deduplication_token", token));
        }
        let mut request = setup.server.post("/", &query);
        for (name, value) in &setup.login {
            request = request.header(name, value);
        }
        request = if self.config.gzip && !lines.is_empty() {
            let packed = gzip(&lines).map_err(SinkError::unavailable)?;
            request.header(CONTENT_ENCODING, "gzip").body(packed)
        } else {
            // Said also of a body that is empty, which old servers insist on.
            request.header(CONTENT_LENGTH, lines.len()).body(lines)
        };
        let answer = setup.server.send(request).await?;
        let Some(error) = ClickhouseError::of(&setup.server.host, &answer) else { return Ok(()) };
        if error.doubts_login() {
            drop(self.setup.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        Err(error.into_sink(&answer))
    }
}

impl fmt::Debug for Clickhouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clickhouse").field("table", &self.config.table).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Clickhouse {
    async fn open(&self) -> Result<(), SinkError> {
        // With a token, so that a server that does not know them says so now.
        let nothing = Rows::new(&self.config.columns, &[]);
        self.insert(nothing.lines, nothing.token).await
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let rows = Rows::new(&self.config.columns, batch);
        if !rows.lines.is_empty() {
            self.insert(rows.lines, rows.token).await?;
        }
        rejected_or_written(rows.rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        drop(self.setup.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }
}
