//! Sends requests, and says what their answers mean.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use reqwest::header::HeaderMap;
use reqwest::{Request, StatusCode};
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkTraits};
use tokio::task;

use super::answer::{self, Verdict};
use super::config::{HttpBody, HttpConfig};
use super::error::HttpError;
use super::request;
use super::setup::Setup;
use crate::encode::written;

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
    setup: Mutex<Option<Arc<Setup>>>,
}

impl Http {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: HttpConfig) -> Self {
        Self { config: Arc::new(config), setup: Mutex::default() }
    }

    async fn setup(&self) -> Result<Arc<Setup>, SinkError> {
        if let Some(setup) = &*self.setup.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(setup));
        }
        let config = Arc::clone(&self.config);
        let made = task::spawn_blocking(move || Setup::new(&config)).await.map_err(SinkError::unavailable)?;
        let made = Arc::new(made?);
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Sends one request. `Ok(Some)` says why its records are refused.
    async fn send(&self, setup: &Setup, request: Request) -> Result<Option<HttpError>, SinkError> {
        let no_answer = |source: reqwest::Error| {
            HttpError::NoAnswer { host: setup.host.clone(), source: source.without_url() }.unavailable(None)
        };
        let answer = setup.client.execute(request).await.map_err(no_answer)?;
        let status = answer.status();
        let verdict = Verdict::of(status, self.config.url.is_constant());
        let headers = if verdict == Verdict::Written { HeaderMap::new() } else { answer.headers().clone() };
        // Read to its end, so that the connection can be used again. What it says does not matter.
        drain(answer).await;
        let error = || answer::error(&setup.host, status, &headers);
        match verdict {
            Verdict::Written => Ok(None),
            Verdict::Refused => Ok(Some(error())),
            Verdict::Unavailable => Err(error().unavailable(answer::retry_after(&headers, SystemTime::now()))),
            Verdict::Misconfigured => {
                if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                    drop(self.setup.lock().unwrap_or_else(PoisonError::into_inner).take());
                }
                Err(error().misconfigured())
            }
        }
    }

    async fn write_each(&self, setup: &Setup, batch: &[Record]) -> Result<(), SinkError> {
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

    async fn write_whole(&self, setup: &Setup, batch: &[Record]) -> Result<(), SinkError> {
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

/// At most so much of an answer is read; the connection of a longer one is closed.
const LONGEST_ANSWER_BYTES: usize = 64 * 1024;

async fn drain(mut answer: reqwest::Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > LONGEST_ANSWER_BYTES {
            return;
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("url", &self.config.url.literal_prefix()).finish_non_exhaustive()
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
        drop(self.setup.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }
}
