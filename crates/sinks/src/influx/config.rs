//! Settings of the line-protocol sink, and the reason for each default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Secret, ServerUrl, Template};

/// Settings of [`Influx`](crate::Influx). URL, API, measurement and fields have no default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct InfluxConfig {
    /// The server: scheme, host and port, with a path if it stands behind one.
    pub url: ServerUrl,
    /// Which of the two ways to write, and where to.
    pub api: InfluxApi,
    /// The token (`v2`), or the password of the user (`v1`). Read at the start, and again after an answer of 401 or 403,
    /// so that a mounted file may be renewed. Default: none, for servers that ask for none.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The measurement.
    pub measurement: Template,
    /// Tags, which together with the measurement and the time make a point. One whose template gives an empty text is
    /// left out. Default: none.
    #[serde(default)]
    pub tags: BTreeMap<String, Template>,
    /// Fields. One that a record has no value for is left out; a record without any is refused.
    pub fields: BTreeMap<String, InfluxField>,
    /// Where the time comes from. Default: the record's.
    #[serde(default)]
    pub time: InfluxTime,
    /// How fine the time is. Points of one series whose times are equal then overwrite each other. Default: `ns`, so
    /// that as few as possible do.
    #[serde(default)]
    pub precision: InfluxPrecision,
    /// Compresses with gzip. Default: yes, lines are alike and shrink to a tenth.
    #[serde(default = "yes")]
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

fn yes() -> bool {
    true
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

impl InfluxConfig {
    /// Settings for this measurement, without fields, the rest as by default.
    #[must_use]
    pub fn new(url: impl Into<ServerUrl>, api: InfluxApi, measurement: Template) -> Self {
        Self {
            url: url.into(),
            api,
            token: None,
            measurement,
            tags: BTreeMap::new(),
            fields: BTreeMap::new(),
            time: InfluxTime::default(),
            precision: InfluxPrecision::default(),
            gzip: true,
            timeout: timeout(),
            connect_timeout: connect_timeout(),
            ca_file: None,
        }
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: Template) -> Self {
        self.tags.insert(name.into(), value);
        self
    }

    /// All JSON pointers, with what asks for them.
    pub(super) fn pointers(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_time = match &self.time {
            InfluxTime::Record => None,
            InfluxTime::Rfc3339(pointer) | InfluxTime::Seconds(pointer) | InfluxTime::Milliseconds(pointer) => {
                Some(("time", pointer.as_str()))
            }
        };
        let of_fields = self.fields.iter().filter_map(|(name, field)| match field {
            InfluxField::Field(pointer) | InfluxField::Integer(pointer) => Some((name.as_str(), pointer.as_str())),
            InfluxField::Text(_) | InfluxField::Payload => None,
        });
        of_fields.chain(of_time)
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: InfluxField) -> Self {
        self.fields.insert(name.into(), value);
        self
    }

    /// Sets where the time comes from.
    #[must_use]
    pub fn time(mut self, time: InfluxTime) -> Self {
        self.time = time;
        self
    }

    /// Sets the token or password.
    #[must_use]
    pub fn token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }
}

/// Which of the two ways to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum InfluxApi {
    /// `/api/v2/write`: InfluxDB 2 and 3, VictoriaMetrics.
    V2 {
        /// The organisation.
        org: String,
        /// The bucket.
        bucket: String,
    },
    /// `/write`: InfluxDB 1 and what is like it.
    V1 {
        /// The database.
        database: String,
        /// The retention policy. Default: the database's own default.
        #[serde(default)]
        retention_policy: Option<String>,
        /// Who writes. Default: nobody in particular.
        #[serde(default)]
        user: Option<String>,
    },
}

/// The value of a field: `celsius = { field = "/celsius" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InfluxField {
    /// The value at a JSON pointer of the payload: text, truth value or number. Numbers are always floats, since a field
    /// that was once written as a whole number takes no other.
    Field(String),
    /// The number at a JSON pointer of the payload, as a whole number of 64 bits. One that is none is refused.
    Integer(String),
    /// A text with placeholders.
    Text(Template),
    /// The payload as text.
    Payload,
}

/// Where the time of a point comes from. One that does not change when the event comes again makes the sink idempotent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InfluxTime {
    /// The record's time: the publisher's time stamp where the route knows one, else when the event arrived.
    #[default]
    Record,
    /// A text like `2026-01-31T12:00:00.5Z` at this JSON pointer of the payload.
    Rfc3339(String),
    /// Seconds since 1970 at this JSON pointer, whole ones.
    Seconds(String),
    /// Milliseconds since 1970 at this JSON pointer, whole ones.
    Milliseconds(String),
}

/// How fine the time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InfluxPrecision {
    /// Nanoseconds.
    #[default]
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

impl InfluxPrecision {
    pub(super) fn nanoseconds(self) -> i128 {
        match self {
            Self::Ns => 1,
            Self::Us => 1_000,
            Self::Ms => 1_000_000,
            Self::S => 1_000_000_000,
        }
    }

    pub(super) fn name(self, api: &InfluxApi) -> &'static str {
        match (self, api) {
            (Self::Ns, _) => "ns",
            (Self::Us, InfluxApi::V2 { .. }) => "us",
            (Self::Us, InfluxApi::V1 { .. }) => "u",
            (Self::Ms, _) => "ms",
            (Self::S, _) => "s",
        }
    }
}
