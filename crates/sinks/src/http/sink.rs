//! Sends requests, and says what their answers mean.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use reqwest::{Request, StatusCode};
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkTraits};

use super::answer::{self, Verdict};
use super::config::{HttpBody, HttpConfig};
use super::error::HttpError;
use super::request;
use super::setup::Setup;
use crate::http_client::unavailable;
use crate::kept::{Kept, blocking};
use crate::written;

/// Sends records as HTTP requests.
///
/// Written means that the receiver answered with a status of 200 to 299. At least once: after a lost answer the same
/// request is sent again, with the same idempotency key. With batches a retry may cut them differently, so a receiver
/// that is to recognise repeated records should get the body `record`.
///
/// | answer | means |
/// |---|---|
/// | 2xx | written |
/// | 408, 425, 429, 5xx, none in time | [`Unavailable`](tidemill_core::SinkErrorKind::Unavailable), `retry-after` is passed on |
/// | 3xx, 401, 403, 404, 405, 407 | [`Misconfigured`](tidemill_core::SinkErrorKind::Misconfigured); 404 blames the record when the URL has placeholders |
/// | other 4xx | the record is refused; of a batch [`BatchRefused`](tidemill_core::SinkErrorKind::BatchRefused) |
///
/// Redirects are not followed and certificates are always verified. `open` reads secrets and sends nothing, since there
/// is no request that would mean nothing to the receiver. Cancel-safe: a dropped `write` sends no further requests.
///
/// ```
/// use tidemill_sinks::{Http, HttpConfig, Secret, Template};
///
/// let url = Template::new("https://example.org/lines/{line|none}/readings")?;
/// let token = Secret::File("/run/secrets/authorization".into());
/// let sink = Http::new(HttpConfig::new(url).secret_header("authorization", token));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Http {
    config: Arc<HttpConfig>,
    /// Made at the first call, and anew after an answer that doubts the secrets.
    setup: Kept<Setup>,
}

impl Http {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: HttpConfig) -> Self {
        Self { config: Arc::new(config), setup: Kept::default() }
    }

    async fn setup(&self) -> Result<Arc<Setup>, SinkError> {
        let config = Arc::clone(&self.config);
        self.setup.or_make(blocking(move || Setup::new(&config))).await
    }

    /// Sends one request. `Ok(Some)` says why its records are refused.
    async fn send(&self, setup: &Arc<Setup>, request: Request) -> Result<Option<HttpError>, SinkError> {
        let answer = setup.http.send(request).await?;
        let error = || answer::error(&setup.http.host, &answer);
        match Verdict::of(answer.status, self.config.url.is_constant()) {
            Verdict::Written => Ok(None),
            Verdict::Refused => Ok(Some(error())),
            Verdict::Unavailable => Err(unavailable(error(), &answer)),
            Verdict::Misconfigured => {
                if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                    self.setup.forget(setup);
                }
                Err(error().misconfigured())
            }
        }
    }

    async fn write_each(&self, setup: &Arc<Setup>, batch: &[Record]) -> Result<(), SinkError> {
        let sends = (0..batch.len()).map(|index| async move {
            let request = match request::single(&self.config, setup, &batch[index]) {
                Ok(request) => request,
                Err(reason) => return Ok(Some(Rejection { index, reason })),
            };
            let refused = self.send(setup, request).await?;
            Ok::<_, SinkError>(refused.map(|error| Rejection { index, reason: error.to_string() }))
        });
        let mut answers = stream::iter(sends).buffered(self.config.concurrency.get());
        let mut rejections = Vec::new();
        while let Some(answer) = answers.next().await {
            rejections.extend(answer?);
        }
        written(rejections)
    }

    async fn write_whole(&self, setup: &Arc<Setup>, batch: &[Record]) -> Result<(), SinkError> {
        let (request, mut rejections) = request::batch(&self.config, setup, batch)?;
        let Some(request) = request else { return written(rejections) };
        let Some(refused) = self.send(setup, request).await? else { return written(rejections) };
        if batch.len() - rejections.len() > 1 {
            return Err(SinkError::batch_refused(refused));
        }
        // The one that was sent is to blame.
        let sent = (0..batch.len()).find(|index| rejections.iter().all(|rejection| rejection.index != *index));
        rejections.extend(sent.map(|index| Rejection { index, reason: refused.to_string() }));
        written(rejections)
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("url", &self.config.url).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Http {
    fn traits(&self) -> SinkTraits {
        let mut traits = SinkTraits::default();
        if self.config.body != HttpBody::Record || self.config.concurrency.get() == 1 {
            traits = traits.ordered();
        }
        if self.config.body == HttpBody::Record && self.config.idempotent_receiver {
            traits = traits.idempotent();
        }
        traits
    }

    async fn open(&self) -> Result<(), SinkError> {
        self.setup().await.map(drop)
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let setup = self.setup().await?;
        match self.config.body {
            HttpBody::Record => self.write_each(&setup, batch).await,
            HttpBody::JsonArray | HttpBody::Ndjson => self.write_whole(&setup, batch).await,
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.setup.clear();
        Ok(())
    }
}
