//! Settings of the object-store sink, and the reason for each default.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "parquet")]
use super::parquet::ParquetConfig;
use crate::compress::Codec;
use crate::{PlainValues, Secret, ServerUrl, Template};

/// Settings of [`ObjectStore`](crate::ObjectStore).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ObjectStoreConfig {
    /// Where objects go: a folder (`/var/lake` or `file:///var/lake`), `s3://bucket/prefix`, `gs://bucket/prefix`,
    /// `az://container/prefix`. Each sink needs a prefix of its own. Credentials do not belong here.
    pub url: ServerUrl,
    /// The path between the prefix and the object's name, rendered for every record; records of a batch with the same
    /// path share an object. Few values at a time are good: each makes an object. Default:
    /// `date={time:%Y-%m-%d|unknown}`, a folder a day as query engines know it.
    #[serde(default = "partition")]
    pub partition: Template,
    /// What an object looks like. Default: NDJSON with gzip, which needs nothing but common tools to read.
    #[serde(default)]
    pub format: ObjectFormat,
    /// Options of the store under the names of its environment variables in lower case, such as `aws_region`,
    /// `aws_endpoint`, `aws_allow_http`, `google_service_account`, `azure_storage_account_name`. They come before the
    /// worker's environment.
    #[serde(default)]
    pub options: PlainValues,
    /// The same for secrets, such as `aws_secret_access_key`. Read when the sink opens, and anew after the store refused
    /// them. Default: the store's usual chain of environment, files and the machine's own identity.
    #[serde(default)]
    pub secret_options: BTreeMap<String, Secret>,
    /// Whether opening writes an empty object `_tidemill` under the prefix, which tells a wrong bucket and missing
    /// rights from the start. Default: yes; readers of data sets pass over names that begin with an underscore.
    #[serde(default = "probe")]
    pub probe: bool,
    /// Objects longer than this are uploaded in parts of 8 MiB, in bytes. Default: 64 MiB, since one request is cheaper
    /// and leaves nothing behind when it is cut.
    #[serde(default = "multipart_above_bytes")]
    pub multipart_above_bytes: u64,
    /// How many objects of a batch are encoded and uploaded at once. Default: 4, so that a batch of several partitions
    /// does not wait for one after another.
    #[serde(default = "concurrency")]
    pub concurrency: NonZeroUsize,
    /// How long one request may take, an upload of 64 MiB too. Default: `25s`, below the engine's `write_timeout`.
    #[serde(default = "timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Trusts servers that are signed by a certificate in this PEM file, too. Default: whom the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

#[expect(clippy::expect_used, reason = "a constant, parsed by a test")]
fn partition() -> Template {
    Template::new("date={time:%Y-%m-%d|unknown}").expect("the default is a template")
}

fn probe() -> bool {
    true
}

fn multipart_above_bytes() -> u64 {
    64 * 1024 * 1024
}

fn concurrency() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(3)
}

fn timeout() -> Duration {
    Duration::from_secs(25)
}

impl ObjectStoreConfig {
    /// Settings for this place, the rest as by default.
    #[must_use]
    pub fn new(url: impl Into<ServerUrl>) -> Self {
        Self {
            url: url.into(),
            partition: partition(),
            format: ObjectFormat::default(),
            options: PlainValues::default(),
            secret_options: BTreeMap::new(),
            probe: probe(),
            multipart_above_bytes: multipart_above_bytes(),
            concurrency: concurrency(),
            timeout: timeout(),
            ca_file: None,
        }
    }

    /// Sets the path between the prefix and the object's name.
    #[must_use]
    pub fn partition(mut self, partition: Template) -> Self {
        self.partition = partition;
        self
    }

    /// Sets what an object looks like.
    #[must_use]
    pub fn format(mut self, format: impl Into<ObjectFormat>) -> Self {
        self.format = format.into();
        self
    }

    /// Sets an option of the store.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    /// Sets a secret option of the store.
    #[must_use]
    pub fn secret_option(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.secret_options.insert(name.into(), value);
        self
    }
}

/// What an object looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ObjectFormat {
    /// A JSON object per line, as [`LineFormat::Ndjson`](crate::LineFormat::Ndjson) describes it.
    Ndjson {
        /// How the object is compressed. Default: `gzip`.
        #[serde(default)]
        compression: ObjectCompression,
    },
    /// Rows of a Parquet file.
    #[cfg(feature = "parquet")]
    Parquet(ParquetConfig),
}

impl Default for ObjectFormat {
    fn default() -> Self {
        Self::Ndjson { compression: ObjectCompression::default() }
    }
}

#[cfg(feature = "parquet")]
impl From<ParquetConfig> for ObjectFormat {
    fn from(config: ParquetConfig) -> Self {
        Self::Parquet(config)
    }
}

/// How an NDJSON object is compressed; its name ends with `.ndjson` and what stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObjectCompression {
    /// Not at all.
    None,
    /// `.gz`. The default, because everything reads it.
    #[default]
    Gzip,
    /// `.zst`: smaller and faster.
    Zstd,
}

impl From<ObjectCompression> for Codec {
    fn from(compression: ObjectCompression) -> Self {
        match compression {
            ObjectCompression::None => Self::None,
            ObjectCompression::Gzip => Self::Gzip,
            ObjectCompression::Zstd => Self::Zstd,
        }
    }
}
