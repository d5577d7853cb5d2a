//! Names of rotated files: `name.<UTC time>[-n].ext`, with `.gz` or `.zst` behind it when they are compressed.
//!
//! Invariant: a new name is later than every name that was given before, also when the clock is set back or when
//! files were deleted meanwhile, so that names tell the order of the records and no file is overwritten.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::compress::{GZIP_SUFFIX, ZSTD_SUFFIX};

/// What the name of an unfinished compressed file ends with in addition.
pub(super) const TEMPORARY: &str = ".tmp";

const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// What tells one rotated file from another. Later files have greater stamps; the text does not sort like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    /// UTC, whole seconds.
    time: DateTime,
    /// Counts the files of one second from 0.
    number: u64,
}

impl Stamp {
    /// The stamp for a file that is rotated now, when `latest` is the greatest stamp so far.
    pub(super) fn after(latest: Option<Self>, now: Timestamp) -> Self {
        let time = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let first = Self { time: Offset::UTC.to_datetime(time), number: 0 };
        match latest {
            Some(latest) if latest.time >= first.time => Self { number: latest.number + 1, ..latest },
            _ => first,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (time, number) = match text.split_once('-') {
            Some((time, number)) => (time, number.parse().ok()?),
            None => (text, 0),
        };
        let stamp = Self { time: DateTime::strptime(TIME_FORMAT, time).ok()?, number };
        // Takes only what we would write ourselves: other files are not ours to count or to delete.
        (stamp.to_string() == text).then_some(stamp)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.time.strftime(TIME_FORMAT))?;
        if self.number > 0 { write!(f, "-{}", self.number) } else { Ok(()) }
    }
}

/// The names that rotated files of one path have.
#[derive(Clone, Debug)]
pub(super) struct Names {
    dir: PathBuf,
    /// `name.`
    prefix: String,
    /// `.ext`, or nothing.
    suffix: String,
}

impl Names {
    /// `None` when the path has no file name in UTF-8.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?;
        let suffix = match path.extension() {
            Some(extension) => format!(".{}", extension.to_str()?),
            None => String::new(),
        };
        Some(Self { dir: path.parent()?.to_owned(), prefix: format!("{stem}."), suffix })
    }

    /// The directory that they are in.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, stamp: Stamp) -> PathBuf {
        let Self { dir, prefix, suffix } = self;
        dir.join(format!("{prefix}{stamp}{suffix}"))
    }

    /// All names that the records with this stamp may stand under, unfinished ones included.
    pub(super) fn all_paths(&self, stamp: Stamp) -> impl Iterator<Item = PathBuf> {
        let Self { dir, prefix, suffix } = self;
        let suffixes =
            ["", GZIP_SUFFIX, ZSTD_SUFFIX].into_iter().flat_map(|packed| ["", TEMPORARY].map(|end| (packed, end)));
        suffixes.map(move |(packed, end)| dir.join(format!("{prefix}{stamp}{suffix}{packed}{end}")))
    }

    /// The stamps of the rotated files that are there, compressed or not, earliest first, each once.
    pub(super) fn list(&self) -> io::Result<Vec<Stamp>> {
        self.list_by(|name| {
            let packed = [GZIP_SUFFIX, ZSTD_SUFFIX].into_iter().filter_map(|packed| name.strip_suffix(packed));
            self.stamp(name).or_else(|| packed.filter_map(|name| self.stamp(name)).next())
        })
    }

    /// The stamps of the rotated files that stand there uncompressed, earliest first.
    pub(super) fn list_plain(&self) -> io::Result<Vec<Stamp>> {
        self.list_by(|name| self.stamp(name))
    }

    fn list_by(&self, stamp: impl Fn(&str) -> Option<Stamp>) -> io::Result<Vec<Stamp>> {
        let mut stamps = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            stamps.extend(entry?.file_name().to_str().and_then(&stamp));
        }
        stamps.sort_unstable();
        stamps.dedup();
        Ok(stamps)
    }

    pub(super) fn stamp(&self, name: &str) -> Option<Stamp> {
        Stamp::parse(name.strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())?)
    }
}
