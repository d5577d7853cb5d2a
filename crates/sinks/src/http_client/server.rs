//! Requests to one server, below its URL.

use std::path::Path;

use reqwest::{RequestBuilder, Url};
use tidemill_core::SinkError;

use super::{Answer, HttpClient, Limits};

/// What requests to one server are made with.
#[derive(Debug)]
pub(crate) struct Server {
    http: HttpClient,
    base: Url,
}

/// How to reach it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    pub(crate) url: &'a str,
    pub(crate) ca_file: Option<&'a Path>,
    pub(crate) limits: Limits,
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
        Ok(Self { http: HttpClient::new(&base, reach.ca_file, reach.limits)?, base })
    }

    /// For errors: host and port.
    pub(crate) fn host(&self) -> &str {
        &self.http.host
    }

    /// A POST below the server's URL, with this query.
    pub(crate) fn post(&self, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(query);
        self.http.client.post(url)
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// There was none in time: the sink is unavailable.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, SinkError> {
        let request = request.build().map_err(|error| SinkError::misconfigured(error.without_url()))?;
        self.http.send(request).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reach(url: &str) -> Reach<'_> {
        let limit = Duration::from_secs(1);
        Reach { url, ca_file: None, limits: Limits { whole: limit, connect: limit } }
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
}
