//! What a column takes from a record, in its type. Invariant: a value that does not fit is never made to.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::Value as Json;

use super::config::{ParquetColumn, ParquetType};
use crate::columns::{Value, timestamp};
use crate::{ColumnSource, Fields};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Datum<'a> {
    Null,
    Text(Cow<'a, str>),
    Int(i64),
    Double(f64),
    Bool(bool),
    Micros(i64),
    Bytes(Cow<'a, [u8]>),
}

/// The value, or why there is none that fits. With `mismatch_as_null` one of another type is null; what cannot even be
/// looked for is an error in any case.
pub(super) fn datum<'a>(
    column: &'a ParquetColumn,
    fields: &'a Fields<'_>,
    mismatch_as_null: bool,
) -> Result<Datum<'a>, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("column {:?}: {what}", column.name);
    match fit(column, column.from.value(fields).map_err(|what| wrong(&what))?) {
        Some(datum) => Ok(datum),
        None if mismatch_as_null => Ok(Datum::Null),
        None => Err(wrong(&format_args!("the value is no {}", word(column.kind)))),
    }
}

fn fit<'a>(column: &ParquetColumn, value: Value<'a>) -> Option<Datum<'a>> {
    let kind = column.kind;
    match value {
        Value::Null => Some(Datum::Null),
        Value::Text(text) if text.is_empty() && matches!(column.from, ColumnSource::Template(_)) => Some(Datum::Null),
        Value::Text(text) => of_text(kind, text),
        Value::Bytes(bytes) if kind == ParquetType::Binary => Some(Datum::Bytes(Cow::Borrowed(bytes))),
        Value::Bytes(bytes) => of_text(kind, Cow::Borrowed(std::str::from_utf8(bytes).ok()?)),
        Value::Json(Cow::Borrowed(value)) => of_json(kind, value),
        // The headers.
        Value::Json(Cow::Owned(value)) => of_text(kind, Cow::Owned(value.to_string())),
        Value::Time(time) => of_time(kind, time),
    }
}

fn of_text(kind: ParquetType, text: Cow<'_, str>) -> Option<Datum<'_>> {
    Some(match kind {
        ParquetType::String => Datum::Text(text),
        ParquetType::Binary => Datum::Bytes(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }),
        ParquetType::Int64 => Datum::Int(text.parse().ok()?),
        ParquetType::Double => Datum::Double(text.parse().ok()?),
        ParquetType::Bool => Datum::Bool(text.parse().ok()?),
        ParquetType::Timestamp => Datum::Micros(text.parse::<Timestamp>().ok()?.as_microsecond()),
        ParquetType::TimestampMillis => micros_of_millis(text.parse().ok()?)?,
    })
}

fn of_json(kind: ParquetType, value: &Json) -> Option<Datum<'_>> {
    match (kind, value) {
        (ParquetType::String | ParquetType::Binary | ParquetType::Timestamp, Json::String(text)) => {
            of_text(kind, Cow::Borrowed(text))
        }
        (ParquetType::String | ParquetType::Binary, _) => of_text(kind, Cow::Owned(value.to_string())),
        (ParquetType::Int64, _) => value.as_i64().map(Datum::Int),
        (ParquetType::Double, _) => value.as_f64().map(Datum::Double),
        (ParquetType::Bool, _) => value.as_bool().map(Datum::Bool),
        (ParquetType::Timestamp, _) => None,
        (ParquetType::TimestampMillis, _) => micros_of_millis(value.as_i64()?),
    }
}

fn of_time(kind: ParquetType, time: SystemTime) -> Option<Datum<'static>> {
    match kind {
        ParquetType::Timestamp => {
            let micros = match time.duration_since(UNIX_EPOCH) {
                Ok(after) => i64::try_from(after.as_micros()).ok()?,
                Err(before) => i64::try_from(before.duration().as_micros()).ok()?.checked_neg()?,
            };
            Some(Datum::Micros(micros))
        }
        ParquetType::String => Some(Datum::Text(Cow::Owned(timestamp(time).ok()?.to_string()))),
        _ => None,
    }
}

fn micros_of_millis(millis: i64) -> Option<Datum<'static>> {
    millis.checked_mul(1000).map(Datum::Micros)
}

fn word(kind: ParquetType) -> &'static str {
    match kind {
        ParquetType::String => "UTF-8 text",
        ParquetType::Int64 => "whole number of 64 bits",
        ParquetType::Double => "number",
        ParquetType::Bool => "true or false",
        ParquetType::Timestamp => "time as RFC 3339 writes it",
        ParquetType::TimestampMillis => "whole number of milliseconds",
        ParquetType::Binary => "bytes",
    }
}
