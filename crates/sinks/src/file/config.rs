//! Settings of the file sink, and the reason for each default.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "csv")]
use crate::CsvFormat;
use crate::LineFormat;
use crate::compress::Codec;
use crate::encode::Shape;

/// Settings of [`File`](crate::File). Only the path has no default: no path is right for everyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FileConfig {
    /// The file to append to. A relative path starts at the directory the worker was started in. One sink writes
    /// one file: replicas that share a volume need a path each.
    pub path: PathBuf,
    /// What a record looks like. Default: `ndjson`, which takes any record.
    #[serde(default)]
    pub format: FileFormat,
    /// When a file is set aside and a new one begun. Default: never, the path holds everything.
    #[serde(default)]
    pub rotate: RotateConfig,
    /// When written records are forced to the disk. Default: `batch`.
    #[serde(default)]
    pub fsync: Fsync,
    /// Whether missing directories of the path are created. Default: yes, a fresh volume is empty.
    #[serde(default = "create_dirs")]
    pub create_dirs: bool,
}

fn create_dirs() -> bool {
    true
}

impl FileConfig {
    /// Settings for this path, the rest as by default.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: FileFormat::default(),
            rotate: RotateConfig::default(),
            fsync: Fsync::default(),
            create_dirs: create_dirs(),
        }
    }

    /// Sets what a record looks like.
    #[must_use]
    pub fn format(mut self, format: impl Into<FileFormat>) -> Self {
        self.format = format.into();
        self
    }

    /// Sets when a file is set aside and a new one begun.
    #[must_use]
    pub fn rotate(mut self, rotate: RotateConfig) -> Self {
        self.rotate = rotate;
        self
    }

    /// Sets when written records are forced to the disk.
    #[must_use]
    pub fn fsync(mut self, fsync: Fsync) -> Self {
        self.fsync = fsync;
        self
    }

    /// Sets whether missing directories of the path are created.
    #[must_use]
    pub fn create_dirs(mut self, create_dirs: bool) -> Self {
        self.create_dirs = create_dirs;
        self
    }
}

/// What a record looks like in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileFormat {
    /// [`LineFormat::Ndjson`]: a JSON object per line; takes any record, which is why it is the default.
    #[default]
    Ndjson,
    /// [`LineFormat::Lines`]: the payload alone; one with a line break is refused.
    Lines,
    /// Rows of CSV. Every file begins with a header. A file that begins with another one is left alone: the sink does
    /// not open, so after a change of columns give another path or move the file away. A file that is found at start is
    /// read once, since only that tells whether it ends inside quotes.
    #[cfg(feature = "csv")]
    Csv(CsvFormat),
}

impl From<LineFormat> for FileFormat {
    fn from(format: LineFormat) -> Self {
        match format {
            LineFormat::Ndjson => Self::Ndjson,
            LineFormat::Lines => Self::Lines,
        }
    }
}

#[cfg(feature = "csv")]
impl From<CsvFormat> for FileFormat {
    fn from(format: CsvFormat) -> Self {
        Self::Csv(format)
    }
}

impl From<&FileFormat> for Shape {
    fn from(format: &FileFormat) -> Self {
        match format {
            FileFormat::Ndjson => Self::Ndjson,
            FileFormat::Lines => Self::Payload,
            #[cfg(feature = "csv")]
            FileFormat::Csv(format) => Self::Row(format.clone()),
        }
    }
}

impl FileFormat {
    /// What every file begins with.
    pub(super) fn header(&self) -> Vec<u8> {
        match self {
            Self::Ndjson | Self::Lines => Vec::new(),
            #[cfg(feature = "csv")]
            Self::Csv(format) => format.header(),
        }
    }
}

/// When a file is set aside as `name.<UTC time>[-n].ext` and a new one begun. Rotation never splits a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RotateConfig {
    /// Rotate before a batch that would make the file longer than this, in bytes. 0 means never, the default: who
    /// reads the path should ask for it to be renamed. Only a batch that is longer by itself makes a longer file.
    pub max_bytes: u64,
    /// Rotate this long after the first record of the file, also when nothing is written any more. 0 means never,
    /// the default. For a file found at start its creation time counts, where the file system knows it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// How many rotated files to keep, compressed or not; older ones are deleted. 0 means all, the default: nothing is
    /// deleted unasked.
    pub keep: u32,
    /// Compresses rotated files, those that are there already too. Default: `none`, since who collects them may not
    /// unpack them.
    pub compress: Compression,
}

impl RotateConfig {
    /// Sets the length to rotate at, in bytes; 0 means never.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets the age to rotate at; zero means never.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Sets how many rotated files to keep; 0 means all.
    #[must_use]
    pub fn keep(mut self, keep: u32) -> Self {
        self.keep = keep;
        self
    }

    /// Sets how rotated files are compressed.
    #[must_use]
    pub fn compress(mut self, compress: Compression) -> Self {
        self.compress = compress;
        self
    }
}

/// How rotated files are compressed. A compressed file takes the place of the plain one when it is on the disk; while it
/// is written its name ends with `.tmp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Compression {
    /// Not at all. The default.
    #[default]
    None,
    /// With gzip, as `name.<UTC time>[-n].ext.gz`: everything can read it.
    #[cfg(feature = "gzip")]
    Gzip,
    /// With Zstandard, as `name.<UTC time>[-n].ext.zst`: smaller in less time.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            #[cfg(feature = "gzip")]
            Compression::Gzip => Self::Gzip,
            #[cfg(feature = "zstd")]
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// When written records are forced to the disk, and so what an acknowledged event survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fsync {
    /// After every batch, before its events are acknowledged: they survive a power failure. The default, because
    /// an acknowledged event should be a safe one.
    #[default]
    Batch,
    /// At most this long after a batch: a power failure may cost the acknowledged events of that time, a crash of
    /// the worker costs none. Zero means after every batch.
    Interval(
        #[serde(with = "humantime_serde")]
        #[schemars(with = "String")]
        Duration,
    ),
    /// When the operating system likes, also on rotation and at the end. A crash of the worker still costs none.
    Never,
}
