//! HTTP for sinks: a client that trusts only whom it should, and answers that are bounded.
//!
//! | file | owns |
//! |---|---|
//! | `mod` | the client, what was answered, and for how long a server asks to be left alone |
//! | `server` | requests to one server, below its URL |
//!
//! Invariant: no error holds a URL, which may have a secret in its query. Redirects are not followed, so that no
//! credentials go to another host.

#[cfg(any(feature = "clickhouse", feature = "influx"))]
mod server;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, StatusCode, Url};
use tidemill_core::SinkError;

use crate::tls;

#[cfg(any(feature = "clickhouse", feature = "influx"))]
pub(crate) use server::{Reach, Server};

/// At most so much of an answer is read; the connection of a longer one is closed.
const LONGEST_ANSWER_BYTES: usize = 64 * 1024;
/// A server that asks for more is asked again after this: nobody waits for a day because of one wrong header.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Sends requests to one host.
#[derive(Debug)]
pub(crate) struct HttpClient {
    client: Client,
    /// For errors: host and port.
    pub(crate) host: String,
}

/// How long requests may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From its beginning to the end of its answer.
    pub(crate) whole: Duration,
    /// Until there is a connection.
    pub(crate) connect: Duration,
}

/// What a server answered.
#[derive(Debug)]
#[cfg_attr(not(feature = "clickhouse"), allow(dead_code, reason = "others go by the status"))]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The beginning of what it said.
    pub(crate) text: String,
    /// Whether that is all, and it came to its end.
    pub(crate) is_whole: bool,
}

impl HttpClient {
    /// A client for this host. Reads files: call it where that may block.
    ///
    /// # Errors
    /// The settings are wrong; the text says how to mend them.
    pub(crate) fn new(url: &Url, ca_file: Option<&Path>, limits: Limits) -> Result<Self, String> {
        let mut builder = Client::builder()
            .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // A lost answer must not be taken for a request that never left.
            .retry(reqwest::retry::never())
            .no_proxy()
            .timeout(limits.whole)
            .connect_timeout(limits.connect);
        builder = if url.scheme() == "https" {
            let tls = tls::client_config(ca_file).map_err(|error| error.to_string())?;
            builder.tls_backend_preconfigured(tls).https_only(true)
        } else {
            // Never used, but the client asks for one.
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let none = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let none = none.map_err(|error| error.to_string())?;
            let none = none.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
            builder.tls_backend_preconfigured(none)
        };
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let client = builder.build().map_err(|error| format!("the HTTP client cannot be made: {error}"))?;
        Ok(Self { client, host })
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// There was none in time: the sink is unavailable.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, SinkError> {
        let fail = |source: reqwest::Error| {
            SinkError::unavailable(NoAnswer { host: self.host.clone(), source: source.without_url() })
        };
        let mut answer = self.client.execute(request).await.map_err(fail)?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut bytes = Vec::new();
        // Read to its end, so that the connection can be used again. One that breaks off has said its status.
        let is_whole = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() <= LONGEST_ANSWER_BYTES => bytes.extend_from_slice(&chunk),
                Ok(None) => break true,
                Ok(Some(_)) | Err(_) => break false,
            }
        };
        Ok(Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned(), is_whole })
    }
}

/// Unavailable, for as long as the server asks.
pub(crate) fn unavailable(source: impl Into<tidemill_core::BoxError>, answer: &Answer) -> SinkError {
    let error = SinkError::unavailable(source);
    match retry_after(&answer.headers, SystemTime::now()) {
        Some(delay) => error.with_retry_after(delay),
        None => error,
    }
}

/// How long the server asks to be left alone: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date: Timestamp = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            SystemTime::from(date).duration_since(now).unwrap_or_default()
        }
    };
    Some(delay.min(LONGEST_RETRY_AFTER))
}

/// Compresses, fast rather than well.
pub(crate) fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// No connection, or no answer.
#[derive(Debug)]
struct NoAnswer {
    host: String,
    source: reqwest::Error,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source.is_timeout() {
            write!(f, "{} did not answer in time", self.host)
        } else {
            write!(f, "no answer from {}", self.host)
        }
    }
}

impl std::error::Error for NoAnswer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_may_ask_to_be_left_alone_in_seconds_or_until_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_400);
        let ask = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), now);
        assert_eq!(ask("7"), Some(Duration::from_secs(7)));
        assert_eq!(ask("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(80)));
        assert_eq!(ask("Wed, 21 Oct 2014 07:28:00 GMT"), None, "a weekday that does not fit its date");
        assert_eq!(ask("Tue, 21 Oct 2014 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(ask("99999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(ask("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
