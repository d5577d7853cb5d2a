//! Settings that are checked, secrets that are read, and the client.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tidemill_core::SinkError;

use super::config::{HttpBody, HttpConfig};
use super::error::{HttpError, misconfigured};
use crate::tls;

/// What requests are made with.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) client: Client,
    /// For errors, which never show the whole URL.
    pub(super) host: String,
    /// Sent with every request; the secret ones are marked so.
    pub(super) headers: HeaderMap,
    pub(super) signing_key: Option<ring::hmac::Key>,
}

impl Setup {
    /// Reads files: call it where that may block.
    pub(super) fn new(config: &HttpConfig) -> Result<Self, SinkError> {
        let url = fixed_url(config).map_err(HttpError::misconfigured)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
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
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { client: client(config, &url)?, host, headers, signing_key })
    }
}

fn client(config: &HttpConfig, url: &Url) -> Result<Client, SinkError> {
    let mut builder = Client::builder()
        .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        // A lost answer must not be taken for a request that never left.
        .retry(reqwest::retry::never())
        .no_proxy()
        .timeout(config.timeout)
        .connect_timeout(config.connect_timeout);
    if url.scheme() == "https" {
        let tls = tls::client_config(config.ca_file.as_deref()).map_err(misconfigured)?;
        builder = builder.tls_backend_preconfigured(tls).https_only(true);
    } else {
        // Never used, but the client asks for one.
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let none = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let none = none.map_err(misconfigured)?;
        let none = none.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        builder = builder.tls_backend_preconfigured(none);
    }
    builder.build().map_err(|error| HttpError::Client(error).misconfigured())
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
