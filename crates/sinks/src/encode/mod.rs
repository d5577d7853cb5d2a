//! Records as lines: the one encoding that all line-writing sinks share.
//!
//! Invariant: what comes out is whole lines. Each accepted record is one line that ends with `\n` and has no line
//! break inside, unless it stands in the quotes of a CSV cell; a refused record leaves no trace in the output.

#[cfg(feature = "csv")]
mod csv;
mod json;
mod ndjson;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_core::{Record, Rejection};

#[cfg(feature = "csv")]
pub use self::csv::{CsvColumn, CsvError, CsvFormat, CsvValue};

/// What a record looks like as a line of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LineFormat {
    /// A JSON object per line; takes any record, which is why it is the default.
    ///
    /// Members, absent ones left out: `topic`, `key`, `key_encoding`, `idempotency_key`, `content_type`, `headers`
    /// (a list of `[name, value]`, because names may repeat), `payload_encoding`, `payload`.
    ///
    /// `payload` is a JSON value when the content type says JSON (`application/json` or `…+json`), else a string.
    /// `payload_encoding` stands only where that is not so: `text` for a payload that claims to be JSON and is not
    /// (or that common parsers would refuse), `base64` for one that is not UTF-8. `key` is a string, with
    /// `key_encoding` `base64` when it is not UTF-8.
    #[default]
    Ndjson,
    /// The payload alone, as it is. Key, headers and the rest are not written. A record whose payload has a line
    /// break (`\n` or `\r`) is refused, because it could not be told from two records.
    Lines,
}

/// How a record becomes a line.
#[derive(Debug)]
pub(crate) enum Shape {
    Ndjson,
    Payload,
    #[cfg(feature = "csv")]
    Row(CsvFormat),
}

impl From<LineFormat> for Shape {
    fn from(format: LineFormat) -> Self {
        match format {
            LineFormat::Ndjson => Self::Ndjson,
            LineFormat::Lines => Self::Payload,
        }
    }
}

impl Shape {
    fn push(&self, lines: &mut Vec<u8>, record: &Record) -> Result<(), String> {
        match self {
            Self::Ndjson => ndjson::push(lines, record).map_err(|error| error.to_string()),
            Self::Payload => push_payload(lines, &record.payload),
            #[cfg(feature = "csv")]
            Self::Row(format) => format.push(lines, record),
        }
    }
}

/// A batch as lines, and the records that cannot be one.
pub(crate) struct Encoded {
    pub(crate) lines: Vec<u8>,
    pub(crate) rejections: Vec<Rejection>,
}

/// Encodes batches into one buffer that goes round, so that a record costs no allocation.
pub(crate) struct Encoder {
    shape: Shape,
    /// The buffer of the last batch. A write that is cancelled keeps its buffer; the next one then starts afresh.
    spare: Mutex<Vec<u8>>,
}

impl Encoder {
    /// More than this is given back to the allocator: one outsize batch should not cost memory for ever.
    const SPARE_MAX_BYTES: usize = 4 * 1024 * 1024;

    pub(crate) fn new(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), spare: Mutex::default() }
    }

    /// Encodes a batch. The buffer comes back with [`Encoder::recycle`].
    pub(crate) fn encode(&self, batch: &[Record]) -> Encoded {
        let mut lines = std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rejections = Vec::new();
        for (index, record) in batch.iter().enumerate() {
            let whole = lines.len();
            match self.shape.push(&mut lines, record) {
                Ok(()) => lines.push(b'\n'),
                Err(reason) => {
                    lines.truncate(whole);
                    rejections.push(Rejection { index, reason });
                }
            }
        }
        Encoded { lines, rejections }
    }

    /// Takes the buffer back once its lines are written.
    pub(crate) fn recycle(&self, mut lines: Vec<u8>) {
        lines.clear();
        lines.shrink_to(Self::SPARE_MAX_BYTES);
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = lines;
    }
}

fn push_payload(lines: &mut Vec<u8>, payload: &[u8]) -> Result<(), String> {
    match memchr::memchr2(b'\n', b'\r', payload) {
        None => {
            lines.extend_from_slice(payload);
            Ok(())
        }
        Some(at) => Err(format!("payload has a line break at byte {at}: write it with the format ndjson")),
    }
}

/// Appends the record as the object of an NDJSON line, without the line break.
///
/// # Errors
/// Why it cannot be one; what was appended then is to be cut off.
#[cfg(any(feature = "http", feature = "object-store"))]
pub(crate) fn push_envelope(text: &mut Vec<u8>, record: &Record) -> Result<(), String> {
    ndjson::push(text, record).map_err(|error| error.to_string())
}

/// Appends a payload that is JSON, on one line.
///
/// # Errors
/// It is no JSON that common parsers take.
#[cfg(feature = "http")]
pub(crate) fn push_json(text: &mut Vec<u8>, payload: &[u8]) -> Result<(), String> {
    match std::str::from_utf8(payload) {
        Ok(payload) if crate::scan::is_portable(payload) => {
            ndjson::push_json(text, payload);
            Ok(())
        }
        _ => Err("payload is no JSON: send records one by one, or with their envelope".to_owned()),
    }
}
