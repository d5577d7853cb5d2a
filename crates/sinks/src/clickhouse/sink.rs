//! Sends batches.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue};
use tidemill_core::{Record, Sink, SinkError};

use super::config::ClickhouseConfig;
use super::error::ClickhouseError;
use super::rows::Rows;
use crate::http_client::{Limits, Reach, Server, gzip};
use crate::kept::{Kept, blocking};
use crate::{Identifier, columns, written};

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
/// | 200, with an empty body that came to its end | written |
/// | codes of values, ranges and constraints; 413 | [`BatchRefused`](tidemill_core::SinkErrorKind::BatchRefused): halves tell which record it is |
/// | codes of names, logins, privileges and settings | [`Misconfigured`](tidemill_core::SinkErrorKind::Misconfigured) |
/// | other codes and answers, none in time | [`Unavailable`](tidemill_core::SinkErrorKind::Unavailable) |
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
    setup: Kept<Setup>,
    /// What the server has not yet said that it does not know.
    known: Mutex<Vec<Switch>>,
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
            limits: Limits { whole: config.timeout, connect: config.connect_timeout },
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
        Self { config: Arc::new(config), setup: Kept::default(), known: Mutex::new(SWITCHES.to_vec()) }
    }

    async fn setup(&self) -> Result<Arc<Setup>, SinkError> {
        let config = Arc::clone(&self.config);
        self.setup.or_make(blocking(move || Setup::new(&config).map_err(SinkError::misconfigured))).await
    }

    fn known(&self) -> MutexGuard<'_, Vec<Switch>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn insert(&self, lines: Vec<u8>, token: Option<String>) -> Result<(), SinkError> {
        let setup = self.setup().await?;
        let packs = self.config.gzip && !lines.is_empty();
        let body = Bytes::from(if packs { gzip(&lines).map_err(SinkError::unavailable)? } else { lines });
        // Once, and once more for each switch that an old server does not know.
        loop {
            let mut query = vec![("query", setup.insert.as_str()), ("date_time_input_format", "best_effort")];
            if self.config.async_insert {
                query.push(("async_insert", "1"));
            }
            query.extend(self.known().iter().filter(|switch| self.needs(switch)).map(|switch| (switch.name, "1")));
            if let Some(token) = token.as_deref().filter(|_| self.config.deduplicate) {
                query.push(("insert_deduplication_token", token));
            }
            // The length is said also of a body that is empty, which old servers insist on.
            let mut request = setup.server.post("/", &query).header(CONTENT_LENGTH, body.len());
            for (name, value) in &setup.login {
                request = request.header(name, value);
            }
            if packs {
                request = request.header(CONTENT_ENCODING, "gzip");
            }
            let answer = setup.server.send(request.body(body.clone())).await?;
            let Some(error) = ClickhouseError::of(setup.server.host(), &answer) else { return Ok(()) };
            if error.is_unknown_setting() && self.forget_switch(&answer.text) {
                continue;
            }
            if error.doubts_login() {
                self.setup.forget(&setup);
            }
            return Err(error.into_sink(&answer));
        }
    }

    /// Whether the settings call for it.
    fn needs(&self, switch: &Switch) -> bool {
        !switch.deduplicates || self.config.deduplicate
    }

    /// Leaves out what the server says that it does not know, from now on. `false` when it is something else, or when
    /// the server knows the rest of it.
    fn forget_switch(&self, said: &str) -> bool {
        let mut known = self.known();
        let before = known.len();
        known.retain(|switch| !said.contains(switch.name) || (self.config.async_insert && !switch.deduplicates));
        known.len() < before
    }
}

/// A setting that is switched on where the server knows it.
#[derive(Clone, Copy, Debug)]
struct Switch {
    name: &'static str,
    deduplicates: bool,
}

/// The user's profile may have inserts gathered by the server: it must not answer before they are written, and should
/// look at their tokens. A server that does not know these gathers nothing.
const SWITCHES: [Switch; 2] = [
    Switch { name: "wait_for_async_insert", deduplicates: false },
    Switch { name: "async_insert_deduplicate", deduplicates: true },
];

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
        written(rows.rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.setup.clear();
        Ok(())
    }
}
