//! NDJSON into an object, compressed on the way.

use std::io::{self, Write};

use flate2::write::GzEncoder;

use super::body::Body;
use super::config::ObjectCompression;

/// The levels that the tools themselves begin with: more costs time and gains little on short lines.
const GZIP: flate2::Compression = flate2::Compression::new(6);
const ZSTD: i32 = 3;

pub(super) enum Writer {
    Plain(Body),
    Gzip(GzEncoder<Body>),
    Zstd(zstd::Encoder<'static, Body>),
}

impl Writer {
    pub(super) fn new(compression: ObjectCompression) -> io::Result<Self> {
        Ok(match compression {
            ObjectCompression::None => Self::Plain(Body::default()),
            // No time goes into the header: the same lines give the same bytes.
            ObjectCompression::Gzip => Self::Gzip(GzEncoder::new(Body::default(), GZIP)),
            ObjectCompression::Zstd => {
                let mut encoder = zstd::Encoder::new(Body::default(), ZSTD)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(body) => body.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    pub(super) fn finish(self) -> io::Result<Body> {
        match self {
            Self::Plain(body) => Ok(body),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// What the object's name ends with.
pub(super) fn extension(compression: ObjectCompression) -> &'static str {
    match compression {
        ObjectCompression::None => "ndjson",
        ObjectCompression::Gzip => "ndjson.gz",
        ObjectCompression::Zstd => "ndjson.zst",
    }
}
