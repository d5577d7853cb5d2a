//! Bytes compressed on their way into a file or an object, as the tools for them write it.
//!
//! Invariant: the same bytes give the same result, at any time.

use std::io::{self, Write};

#[cfg(any(feature = "gzip", feature = "object-store"))]
use flate2::write::GzEncoder;

/// What the name of a file ends with that gzip and Zstandard made. Known whatever the features are: who cannot compress
/// still sees what another one has compressed.
pub(crate) const GZIP_SUFFIX: &str = ".gz";
pub(crate) const ZSTD_SUFFIX: &str = ".zst";

/// The levels that the tools themselves begin with: more costs time and gains little on short lines.
#[cfg(any(feature = "gzip", feature = "object-store"))]
const GZIP_LEVEL: flate2::Compression = flate2::Compression::new(6);
#[cfg(any(feature = "object-store", feature = "zstd"))]
const ZSTD_LEVEL: i32 = 3;

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    #[cfg(any(feature = "gzip", feature = "object-store"))]
    Gzip,
    #[cfg(any(feature = "object-store", feature = "zstd"))]
    Zstd,
}

impl Codec {
    /// What the name ends with.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            #[cfg(any(feature = "gzip", feature = "object-store"))]
            Self::Gzip => GZIP_SUFFIX,
            #[cfg(any(feature = "object-store", feature = "zstd"))]
            Self::Zstd => ZSTD_SUFFIX,
        }
    }
}

/// Compresses what is written to it. Only what was finished can be read.
pub(crate) enum Encoder<W: Write> {
    Plain(W),
    #[cfg(any(feature = "gzip", feature = "object-store"))]
    Gzip(GzEncoder<W>),
    #[cfg(any(feature = "object-store", feature = "zstd"))]
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    pub(crate) fn new(codec: Codec, to: W) -> io::Result<Self> {
        Ok(match codec {
            Codec::None => Self::Plain(to),
            // No time goes into the header.
            #[cfg(any(feature = "gzip", feature = "object-store"))]
            Codec::Gzip => Self::Gzip(GzEncoder::new(to, GZIP_LEVEL)),
            #[cfg(any(feature = "object-store", feature = "zstd"))]
            Codec::Zstd => {
                let mut encoder = zstd::Encoder::new(to, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Ends it, and gives back what was written to.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(to) => Ok(to),
            #[cfg(any(feature = "gzip", feature = "object-store"))]
            Self::Gzip(encoder) => encoder.finish(),
            #[cfg(any(feature = "object-store", feature = "zstd"))]
            Self::Zstd(encoder) => encoder.finish(),
        }
    }

    fn inner(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(to) => to,
            #[cfg(any(feature = "gzip", feature = "object-store"))]
            Self::Gzip(encoder) => encoder,
            #[cfg(any(feature = "object-store", feature = "zstd"))]
            Self::Zstd(encoder) => encoder,
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().flush()
    }
}

#[cfg(all(test, any(feature = "object-store", all(feature = "gzip", feature = "zstd"))))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_written_can_be_read_and_is_the_same_each_time() {
        let lines = b"{\"celsius\":21.5}\n".repeat(1000);
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let compress = || {
                let mut encoder = Encoder::new(codec, Vec::new()).unwrap();
                lines.chunks(777).for_each(|chunk| encoder.write_all(chunk).unwrap());
                encoder.finish().unwrap()
            };
            let written = compress();
            assert_eq!(written, compress());
            let mut read = Vec::new();
            match codec {
                Codec::None => read.clone_from(&written),
                Codec::Gzip => drop(flate2::read::GzDecoder::new(&written[..]).read_to_end(&mut read).unwrap()),
                Codec::Zstd => drop(zstd::Decoder::new(&written[..]).unwrap().read_to_end(&mut read).unwrap()),
            }
            assert_eq!(read, lines);
            assert_eq!(written.len() < lines.len() / 10, codec != Codec::None);
        }
    }
}
