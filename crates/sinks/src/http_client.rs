//! HTTP for sinks that speak to one server: a client that trusts only whom it should, and answers that are bounded.
//!
//! Invariant: no error holds a URL, which may have a secret in its query. Redirects are not followed, so that no
//! credentials go to another host.

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
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use tidemill_core::SinkError;

use crate::tls;

/// At most so much of an answer is read; the connection of a longer one is closed.
const LONGEST_ANSWER_BYTES: usize = 64 * 1024;
/// A server that asks for more is asked again after this: nobody waits for a day because of one wrong header.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What requests to one server are made with.
#[derive(Debug)]
pub(crate) struct Server {
    client: Client,
    base: Url,
    /// For errors: host and port.
    pub(crate) host: String,
}

/// How to reach it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    pub(crate) url: &'a str,
    pub(crate) ca_file: Option<&'a Path>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The beginning of what it said.
    pub(crate) text: String,
}

impl Server {
    /// Reads files: call it where that may block.
    ///
    /// # Errors
    /// The settings are wrong; the text says how to mend them.
    pub(crate) fn new(reach: Reach<'_>) -> Result<Self, String> {
        let base = Url::parse(reach.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or("url is none: write it as in https://example.org:8086")?;
        if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
            return Err("url has credentials or a query in it: give scheme, host, port and path alone".to_owned());
        }
        let mut builder = Client::builder()
            .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // A lost answer must not be taken for a request that never left.
            .retry(reqwest::retry::never())
            .no_proxy()
            .timeout(reach.timeout)
            .connect_timeout(reach.connect_timeout);
        builder = if base.scheme() == "https" {
            let tls = tls::client_config(reach.ca_file).map_err(|error| error.to_string())?;
            builder.tls_backend_preconfigured(tls).https_only(true)
        } else {
            // Never used, but the client asks for one.
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let none = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let none = none.map_err(|error| error.to_string())?;
            let none = none.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
            builder.tls_backend_preconfigured(none)
        };
        let host = base.host_str().unwrap_or_default();
        let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let client = builder.build().map_err(|error| format!("the HTTP client cannot be made: {error}"))?;
        Ok(Self { client, base, host })
    }

    /// A POST below the server's URL, with this query.
    pub(crate) fn post(&self, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(query);
        self.client.post(url)
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// There was none in time: the sink is unavailable.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, SinkError> {
        let fail = |source: reqwest::Error| {
            SinkError::unavailable(NoAnswer { host: self.host.clone(), source: source.without_url() })
        };
        let mut answer = request.send().await.map_err(fail)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut bytes = Vec::new();
        // Read to its end, so that the connection can be used again.
        while bytes.len() < LONGEST_ANSWER_BYTES {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                // A success is told by the status alone.
                Err(error) if !status.is_success() => return Err(fail(error)),
                Err(_) => break,
            }
        }
        bytes.truncate(LONGEST_ANSWER_BYTES);
        Ok(Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

impl Answer {
    /// How long the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, SystemTime::now())
    }
}

/// Seconds, or a date.
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

/// Unavailable, for as long as the server asks.
pub(crate) fn unavailable(source: impl Into<tidemill_core::BoxError>, answer: &Answer) -> SinkError {
    let error = SinkError::unavailable(source);
    match answer.retry_after() {
        Some(delay) => error.with_retry_after(delay),
        None => error,
    }
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

    fn reach(url: &str) -> Reach<'_> {
        let limit = Duration::from_secs(1);
        Reach { url, ca_file: None, timeout: limit, connect_timeout: limit }
    }

    #[test]
    fn a_url_with_a_secret_or_without_a_host_is_refused() {
        for url in ["", "localhost:8086", "ftp://h", "http://u:p@h", "http://h/?token=s"] {
            let error = Server::new(reach(url)).unwrap_err();
            assert!(error.starts_with("url "), "{error}");
        }
    }

    #[test]
    fn a_path_of_the_server_stays_before_that_of_the_request() {
        let server = Server::new(reach("http://h:1/insert/")).unwrap();
        let request = server.post("/write", &[("db", "a&b=c")]).build().unwrap();
        assert_eq!(request.url().as_str(), "http://h:1/insert/write?db=a%26b%3Dc");
    }

    #[test]
    fn the_server_may_ask_to_be_left_alone_in_seconds_or_until_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_400);
        let ask = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), now);
        assert_eq!(ask("7"), Some(Duration::from_secs(7)));
        assert_eq!(ask("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(80)));
        assert_eq!(ask("99999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(ask("soon"), None);
    }
}
