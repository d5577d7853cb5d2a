//! Settings that are checked, secrets that are read, and the client.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tidemill_core::SinkError;

use super::config::{HttpBody, HttpConfig};
use super::error::{HttpError, misconfigured};
use crate::http_client::{HttpClient, Limits};

/// What requests are made with.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) http: HttpClient,
    /// Sent with every request; the secret ones are marked so.
    pub(super) headers: HeaderMap,
    pub(super) signing_key: Option<ring::hmac::Key>,
}

impl Setup {
    /// Reads files: call it where that may block.
    pub(super) fn new(config: &HttpConfig) -> Result<Self, SinkError> {
        let url = fixed_url(config).map_err(HttpError::misconfigured)?;
        let mut headers = HeaderMap::new();
        if let Some(name) = config.headers.secret_name() {
            return Err(HttpError::SecretHeader(name.to_owned()).misconfigured());
        }
        for (name, value) in config.headers.iter() {
            let name = header_name(name)?;
            if config.body != HttpBody::Record && !value.is_constant() {
                return Err(HttpError::NotConstant(format!("header {name}")).misconfigured());
            }
        }
        for (name, secret) in &config.secret_headers {
            let text = secret.read().map_err(misconfigured)?;
            let value = HeaderValue::from_str(&text);
            let mut value = value.map_err(|_| HttpError::BadHeader(name.clone()).misconfigured())?;
            value.set_sensitive(true);
            headers.insert(header_name(name)?, value);
        }
        let names = config.signature.iter().map(|signature| &signature.header);
        for name in names.chain(Some(&config.idempotency_header).filter(|name| !name.is_empty())) {
            header_name(name)?;
        }
        let signing_key = match &config.signature {
            Some(signature) => {
                let key = signature.key.read().map_err(misconfigured)?;
                Some(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes()))
            }
            None => None,
        };
        let limits = Limits { whole: config.timeout, connect: config.connect_timeout };
        let http = HttpClient::new(&url, config.ca_file.as_deref(), limits).map_err(misconfigured)?;
        Ok(Self { http, headers, signing_key })
    }
}

/// The URL as far as no record changes it.
fn fixed_url(config: &HttpConfig) -> Result<Url, HttpError> {
    if config.body != HttpBody::Record && !config.url.is_constant() {
        return Err(HttpError::NotConstant("url".to_owned()));
    }
    let prefix = config.url.literal_prefix();
    let after_scheme = prefix.strip_prefix("https://").or_else(|| prefix.strip_prefix("http://"));
    let Some(after_scheme) = after_scheme else {
        return Err(HttpError::BadUrl("does not begin with http:// or https://"));
    };
    if !config.url.is_constant() && !after_scheme.contains('/') {
        return Err(HttpError::BadUrl(
            "has a placeholder in its host: hosts are fixed, put a slash before the first one",
        ));
    }
    let url = Url::parse(prefix).map_err(|_| HttpError::BadUrl("is none: write it as in https://example.org/path"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::BadUrl("has credentials in it: put them into secret_headers"));
    }
    Ok(url)
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, SinkError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| HttpError::BadHeader(name.to_owned()).misconfigured())
}
