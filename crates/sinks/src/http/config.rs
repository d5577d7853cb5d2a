//! Settings of the HTTP sink, and the reason for each default.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PlainValues, Secret, ServerUrl, Template};

/// Settings of [`Http`](crate::Http). Only the URL has no default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Where to, such as `https://example.org/plants/{line}`. Placeholders may stand in the path and the query, and only
    /// with the body `record`; scheme and host are fixed.
    pub url: ServerUrl<Template>,
    /// The method. Default: `post`.
    #[serde(default)]
    pub method: HttpMethod,
    /// How records become requests. Default: `record`, one request each, since that lets the receiver judge and
    /// recognise every record by itself.
    #[serde(default)]
    pub body: HttpBody,
    /// Whether a record is sent with its topic, key and headers, as the object that the file sink writes as NDJSON.
    /// Default: no, the payload alone.
    #[serde(default)]
    pub envelope: bool,
    /// Headers. With the body `record` their values may have placeholders. `content-type` is set by default from the
    /// record or the body. Names that tell of a secret, such as `authorization`, are refused.
    #[serde(default)]
    pub headers: PlainValues<Template>,
    /// Headers whose values are secrets, such as `authorization`. Read at the start, and again after an answer of 401 or
    /// 403, so that a mounted file may be renewed.
    #[serde(default)]
    pub secret_headers: BTreeMap<String, Secret>,
    /// Signs requests. Default: no.
    #[serde(default)]
    pub signature: Option<HttpSignature>,
    /// Which header carries the idempotency key: that of the record, or with batches a hash of all of them. Left out
    /// where a record has none. Default: `idempotency-key`, which is what receivers look for; empty for none.
    #[serde(default = "idempotency_header")]
    pub idempotency_header: String,
    /// Whether the receiver acts once on an idempotency key that comes twice. Only then, and with the body `record`, the
    /// sink promises to be idempotent. Default: no, most receivers do not look at it.
    #[serde(default)]
    pub idempotent_receiver: bool,
    /// How many requests are under way at once with the body `record`. Default: 1, which keeps records in order; with
    /// more the sink promises none.
    #[serde(default = "one")]
    pub concurrency: NonZeroUsize,
    /// Compresses bodies with gzip. Default: no, not every receiver unpacks them.
    #[serde(default)]
    pub gzip: bool,
    /// How long a request may take from its beginning to the end of its answer. Default: `10s`.
    #[serde(default = "timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// How long a connection may take to be made. Default: `5s`, enough for a server far away, with TLS.
    #[serde(default = "connect_timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// Trusts only servers that are signed by a certificate in this PEM file. Default: whom the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn idempotency_header() -> String {
    "idempotency-key".to_owned()
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

impl HttpConfig {
    /// Settings for this URL, the rest as by default.
    #[must_use]
    pub fn new(url: Template) -> Self {
        Self {
            url: url.into(),
            method: HttpMethod::default(),
            body: HttpBody::default(),
            envelope: false,
            headers: PlainValues::default(),
            secret_headers: BTreeMap::new(),
            signature: None,
            idempotency_header: idempotency_header(),
            idempotent_receiver: false,
            concurrency: one(),
            gzip: false,
            timeout: timeout(),
            connect_timeout: connect_timeout(),
            ca_file: None,
        }
    }

    /// Sets how records become requests.
    #[must_use]
    pub fn body(mut self, body: HttpBody) -> Self {
        self.body = body;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: Template) -> Self {
        self.headers.insert(name.into(), value);
        self
    }

    /// Adds a header whose value is secret.
    #[must_use]
    pub fn secret_header(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.secret_headers.insert(name.into(), value);
        self
    }

    /// Signs requests.
    #[must_use]
    pub fn signature(mut self, signature: HttpSignature) -> Self {
        self.signature = Some(signature);
        self
    }
}

/// The method of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HttpMethod {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
}

/// How records become requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HttpBody {
    /// One request per record, its payload as it is.
    #[default]
    Record,
    /// One request per batch, a JSON array of payloads. A payload that is no JSON is refused.
    JsonArray,
    /// One request per batch, a payload per line. A payload that is no JSON is refused.
    Ndjson,
}

/// How requests are signed: the header says `t=<Unix time>,v1=<hex>`, where the latter is the HMAC-SHA256 of
/// `<Unix time>.<body>`, the body before compression. A receiver refuses old times, so that nobody sends a copy later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpSignature {
    /// The key, shared with the receiver.
    pub key: Secret,
    /// The header. Default: `x-tidemill-signature`.
    #[serde(default = "signature_header")]
    pub header: String,
}

fn signature_header() -> String {
    "x-tidemill-signature".to_owned()
}

impl HttpSignature {
    /// Signs with this key, in the default header.
    #[must_use]
    pub fn new(key: Secret) -> Self {
        Self { key, header: signature_header() }
    }
}
