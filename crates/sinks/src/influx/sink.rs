//! Sends batches.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkTraits};

use super::config::{InfluxApi, InfluxConfig, InfluxTime};
use super::error::InfluxError;
use super::point;
use crate::http_client::{Answer, Limits, Reach, Server, gzip};
use crate::kept::{Kept, blocking};
use crate::template::is_pointer;
use crate::written;

/// Writes records as points in line protocol, a batch by one request.
///
/// Written means that the server answered 200 to 299. A point is known by its measurement, its tags and its time: one
/// that is written again overwrites itself, so that a record is there once as long as these are the same when its event
/// comes again. Take the time from the payload, or from a publisher's time stamp that the route knows; with the time of
/// arrival the sink writes at least once. VictoriaMetrics shows a point that was written twice twice, unless it runs
/// with `-dedup.minScrapeInterval=1ms`; it also keeps numbers alone.
///
/// Two different records of one series whose times are equal overwrite each other as well: choose tags and precision so
/// that there are none, but no tag that is different in every record, since each of its values is a series.
///
/// | answer | means |
/// |---|---|
/// | 2xx | written |
/// | 408, 425, 429, 5xx, none in time | [`Unavailable`](tidemill_core::SinkErrorKind::Unavailable), `retry-after` is passed on |
/// | 3xx, 401, 403, 404, 405, 407 | [`Misconfigured`](tidemill_core::SinkErrorKind::Misconfigured) |
/// | other 4xx, also for a part of the batch | [`BatchRefused`](tidemill_core::SinkErrorKind::BatchRefused): halves tell which record it is |
///
/// A record is [`Rejected`](tidemill_core::SinkErrorKind::Rejected) before it is sent when it has no time or no field, or
/// a text that line protocol cannot hold: a line break in a tag, for one.
///
/// `open` sends an empty write, which tells whether the server is there and lets the worker write. Cancel-safe: a batch
/// of a dropped `write` may still be written.
///
/// ```
/// use tidemill_sinks::{Influx, InfluxApi, InfluxConfig, InfluxField, InfluxTime, Secret, Template};
///
/// let api = InfluxApi::V2 { org: "plant".into(), bucket: "readings".into() };
/// let config = InfluxConfig::new("https://influx.example.org", api, Template::new("temperature")?)
///     .token(Secret::File("/run/secrets/influx".into()))
///     .tag("line", Template::new("{line}")?)
///     .field("celsius", InfluxField::Field("/celsius".into()))
///     .time(InfluxTime::Milliseconds("/at".into()));
/// let sink = Influx::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Influx {
    config: Arc<InfluxConfig>,
    /// Made at the first call, and anew after an answer that doubts the token.
    setup: Kept<Setup>,
}

/// What requests are made with.
struct Setup {
    server: Server,
    authorization: Option<HeaderValue>,
}

impl Setup {
    /// Reads files: call it where that may block.
    fn new(config: &InfluxConfig) -> Result<Self, String> {
        let reach = Reach {
            url: &config.url,
            ca_file: config.ca_file.as_deref(),
            limits: Limits { whole: config.timeout, connect: config.connect_timeout },
        };
        if config.fields.is_empty() {
            return Err("fields is empty: name at least one".to_owned());
        }
        if let Some(name) = config.tags.keys().chain(config.fields.keys()).find(|name| name.is_empty()) {
            return Err(format!("{name:?} is no name of a tag or field: give it one"));
        }
        if let Some((what, pointer)) = config.pointers().find(|(_, pointer)| !is_pointer(pointer)) {
            return Err(format!(
                "{what}: {pointer:?} is no JSON pointer: begin it with a slash, as in /reading/celsius"
            ));
        }
        let authorization = match &config.token {
            Some(token) => {
                let token = token.read().map_err(|error| error.to_string())?;
                let text = match &config.api {
                    InfluxApi::V2 { .. } => format!("Token {token}"),
                    InfluxApi::V1 { user, .. } => basic(user.as_deref().unwrap_or_default(), &token),
                };
                let value = HeaderValue::from_str(&text);
                let mut value = value.map_err(|_| "token has characters that HTTP does not allow: mend it")?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { server: Server::new(reach)?, authorization })
    }
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

impl Influx {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: InfluxConfig) -> Self {
        Self { config: Arc::new(config), setup: Kept::default() }
    }

    async fn setup(&self) -> Result<Arc<Setup>, SinkError> {
        let config = Arc::clone(&self.config);
        self.setup.or_make(blocking(move || Setup::new(&config).map_err(SinkError::misconfigured))).await
    }

    async fn post(&self, lines: String) -> Result<(Arc<Setup>, Answer), SinkError> {
        let setup = self.setup().await?;
        let precision = self.config.precision.name(&self.config.api);
        let mut request = match &self.config.api {
            InfluxApi::V2 { org, bucket } => {
                setup.server.post("/api/v2/write", &[("org", org), ("bucket", bucket), ("precision", precision)])
            }
            InfluxApi::V1 { database, retention_policy, .. } => {
                let policy = retention_policy.iter().map(|policy| ("rp", policy.as_str()));
                let query: Vec<_> =
                    [("db", database.as_str()), ("precision", precision)].into_iter().chain(policy).collect();
                setup.server.post("/write", &query)
            }
        };
        if let Some(authorization) = &setup.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request = request.header(CONTENT_TYPE, "text/plain; charset=utf-8");
        request = if self.config.gzip && !lines.is_empty() {
            let packed = gzip(lines.as_bytes()).map_err(SinkError::unavailable)?;
            request.header(CONTENT_ENCODING, "gzip").body(packed)
        } else {
            request.body(lines)
        };
        let answer = setup.server.send(request).await?;
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.setup.forget(&setup);
        }
        Ok((setup, answer))
    }
}

impl fmt::Debug for Influx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Influx").field("api", &self.config.api).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Influx {
    fn traits(&self) -> SinkTraits {
        let traits = SinkTraits::default();
        if self.config.time == InfluxTime::Record { traits } else { traits.idempotent() }
    }

    async fn open(&self) -> Result<(), SinkError> {
        let (setup, answer) = self.post(String::new()).await?;
        // A server that was reached and let us in may still dislike that there is no point.
        if matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) {
            return Ok(());
        }
        InfluxError::new(setup.server.host(), &answer).into_sink(&answer).map_or(Ok(()), Err)
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let mut lines = String::new();
        let mut rejections = Vec::new();
        for (index, record) in batch.iter().enumerate() {
            let whole = lines.len();
            if let Err(reason) = point::push(&self.config, &mut lines, record) {
                lines.truncate(whole);
                rejections.push(Rejection { index, reason });
            }
        }
        if !lines.is_empty() {
            let (setup, answer) = self.post(lines).await?;
            if let Some(error) = InfluxError::new(setup.server.host(), &answer).into_sink(&answer) {
                return Err(error);
            }
        }
        written(rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.setup.clear();
        Ok(())
    }
}
