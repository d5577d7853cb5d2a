//! What a column takes from a record, in its type. Invariant: a value that does not fit is never made to.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::Value;
use tidemill_core::topic::TopicName;

use super::config::{ParquetColumn, ParquetSource, ParquetType};
use crate::{Escape, Fields};

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

/// What a record has, before it is known which type is wanted.
enum Found<'a> {
    Absent,
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    Json(&'a Value),
    Time(SystemTime),
}

/// The value, or why there is none that fits. With `mismatch_as_null` one of another type is null; what cannot even be
/// looked for is an error in any case.
pub(super) fn datum<'a>(
    column: &'a ParquetColumn,
    fields: &'a Fields<'_>,
    mismatch_as_null: bool,
) -> Result<Datum<'a>, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("column {:?}: {what}", column.name);
    let found = find(&column.from, fields).map_err(|what| wrong(&what))?;
    if matches!(found, Found::Absent) {
        return Ok(Datum::Null);
    }
    match fit(column.kind, found) {
        Some(datum) => Ok(datum),
        None if mismatch_as_null => Ok(Datum::Null),
        None => Err(wrong(&format_args!("the value is no {}", word(column.kind)))),
    }
}

fn find<'a>(source: &'a ParquetSource, fields: &'a Fields<'_>) -> Result<Found<'a>, Cow<'static, str>> {
    let record = fields.record();
    Ok(match source {
        ParquetSource::Payload => Found::Bytes(&record.payload),
        ParquetSource::Key => record.key.as_ref().map_or(Found::Absent, |key| Found::Bytes(key)),
        ParquetSource::Topic => text(record.topic.as_ref().map(TopicName::as_str)),
        ParquetSource::Time => record.time.map_or(Found::Absent, Found::Time),
        ParquetSource::IdempotencyKey => text(record.idempotency_key.as_deref()),
        ParquetSource::ContentType => text(record.content_type.as_deref()),
        ParquetSource::Field(pointer) => match fields.get(pointer).ok_or("the payload is not JSON")? {
            None | Some(Value::Null) => Found::Absent,
            Some(value) => Found::Json(value),
        },
        ParquetSource::Template(template) => {
            let mut rendered = String::new();
            template.render_into(&mut rendered, fields, Escape::None).map_err(|error| error.to_string())?;
            if rendered.is_empty() { Found::Absent } else { Found::Text(Cow::Owned(rendered)) }
        }
    })
}

fn text(text: Option<&str>) -> Found<'_> {
    text.map_or(Found::Absent, |text| Found::Text(Cow::Borrowed(text)))
}

fn fit(kind: ParquetType, found: Found<'_>) -> Option<Datum<'_>> {
    match found {
        Found::Absent => Some(Datum::Null),
        Found::Bytes(bytes) if kind == ParquetType::Binary => Some(Datum::Bytes(Cow::Borrowed(bytes))),
        Found::Bytes(bytes) => of_text(kind, Cow::Borrowed(std::str::from_utf8(bytes).ok()?)),
        Found::Text(text) => of_text(kind, text),
        Found::Json(value) => of_json(kind, value),
        Found::Time(time) => of_time(kind, time),
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

fn of_json(kind: ParquetType, value: &Value) -> Option<Datum<'_>> {
    match (kind, value) {
        (ParquetType::String | ParquetType::Binary | ParquetType::Timestamp, Value::String(text)) => {
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
        ParquetType::String => Some(Datum::Text(Cow::Owned(Timestamp::try_from(time).ok()?.to_string()))),
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
