//! Settings of Parquet objects, and the reason for each default.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_core::SinkError;

use super::super::error::Problem;
use crate::ColumnSource;
use crate::template::is_pointer;

/// Settings of Parquet objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ParquetConfig {
    /// The columns, in this order; each may be null. Default: `topic` and `idempotency_key` as text, `key` and
    /// `payload` as bytes, `time`: takes any record and loses nothing but content type and headers.
    pub columns: Vec<ParquetColumn>,
    /// How pages are compressed. Default: `zstd`.
    pub compression: ParquetCompression,
    /// Writes null where a value is there and has another type than its column. Default: no, the record is refused and
    /// its event goes to the dead letters, where somebody sees it. What is absent is null in any case; a payload
    /// that is not JSON, where a column takes a field of it, and a template without a value are refused in any case.
    pub mismatch_as_null: bool,
}

impl Default for ParquetConfig {
    fn default() -> Self {
        let columns = vec![
            ParquetColumn::new("topic", ParquetType::String, ColumnSource::Topic),
            ParquetColumn::new("key", ParquetType::Binary, ColumnSource::Key),
            ParquetColumn::new("time", ParquetType::Timestamp, ColumnSource::Time),
            ParquetColumn::new("idempotency_key", ParquetType::String, ColumnSource::IdempotencyKey),
            ParquetColumn::new("payload", ParquetType::Binary, ColumnSource::Payload),
        ];
        Self { columns, compression: ParquetCompression::default(), mismatch_as_null: false }
    }
}

impl ParquetConfig {
    /// Settings with these columns, the rest as by default.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = ParquetColumn>) -> Self {
        Self { columns: columns.into_iter().collect(), ..Self::default() }
    }

    /// Sets how pages are compressed.
    #[must_use]
    pub fn compression(mut self, compression: ParquetCompression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets whether null is written for a value of another type than its column.
    #[must_use]
    pub fn mismatch_as_null(mut self, mismatch_as_null: bool) -> Self {
        self.mismatch_as_null = mismatch_as_null;
        self
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ParquetColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParquetType,
    /// Where its values come from. The text of a template is absent when it is empty, so give an empty fallback,
    /// `{line|}`, to what may be missing.
    pub from: ColumnSource,
}

impl ParquetColumn {
    /// A column of this name and type, with values from there.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: ParquetType, from: ColumnSource) -> Self {
        Self { name: name.into(), kind, from }
    }

    /// A column of this name and type, with values from the JSON payload by this pointer, such as `/reading/celsius`.
    #[must_use]
    pub fn field(name: impl Into<String>, kind: ParquetType, pointer: impl Into<String>) -> Self {
        Self::new(name, kind, ColumnSource::Field(pointer.into()))
    }
}

/// The type of a column, and what fits it. Nothing is rounded or cut short to make it fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParquetType {
    /// UTF-8. Of JSON: a string's text, anything else as JSON.
    String,
    /// A whole number of 64 bits. Of JSON: such numbers; of text: its decimal digits.
    Int64,
    /// A floating-point number of 64 bits. Of JSON: any number; of text: as Rust reads it.
    Double,
    /// Of JSON: `true`, `false`; of text the same words.
    Bool,
    /// A point in time in UTC, in microseconds. Of JSON and text: RFC 3339.
    Timestamp,
    /// The same from a whole number: milliseconds since 1970.
    TimestampMillis,
    /// Bytes. Of JSON: a string's text, anything else as JSON.
    Binary,
}

/// How pages are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParquetCompression {
    /// Not at all.
    None,
    /// Quick and moderate; every reader knows it.
    Snappy,
    /// The default: objects are smaller by a third or so, and all current readers know it.
    #[default]
    Zstd,
}

/// Whether the columns can be columns.
pub(in super::super) fn check(config: &ParquetConfig) -> Result<(), SinkError> {
    let wrong = |what: String| Err(Problem::BadSettings { what }.misconfigured());
    if config.columns.is_empty() {
        return wrong("Parquet has no columns: name one, or leave columns out".to_owned());
    }
    let mut names = HashSet::new();
    for column in &config.columns {
        let name = &column.name;
        if name.is_empty() || !names.insert(name) {
            return wrong(format!(
                "column {name:?} has no name or that of another column: give each a name of its own"
            ));
        }
        match (&column.from, column.kind) {
            (ColumnSource::Field(pointer), _) if !is_pointer(pointer) => {
                return wrong(format!("column {name:?}: a JSON pointer begins with a slash, as in /reading/celsius"));
            }
            (ColumnSource::Time, kind) if !matches!(kind, ParquetType::Timestamp | ParquetType::String) => {
                return wrong(format!("column {name:?}: the record's time is a timestamp or a string"));
            }
            (ColumnSource::Headers, kind) if !matches!(kind, ParquetType::String | ParquetType::Binary) => {
                return wrong(format!("column {name:?}: the headers are a string or bytes"));
            }
            _ => {}
        }
    }
    Ok(())
}
