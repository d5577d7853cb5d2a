//! What a record has for a column.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{Column, ColumnSource};
use crate::{Escape, Fields};

/// A value, before it is written in the way of a database.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'r> {
    Null,
    Text(Cow<'r, str>),
    /// What may be no text.
    Bytes(&'r [u8]),
    Json(Cow<'r, serde_json::Value>),
    Time(Timestamp),
}

impl<'r> Value<'r> {
    /// The value that this record has for this column.
    ///
    /// # Errors
    /// Why the record has none, without its content.
    pub(crate) fn of(column: &Column, fields: &'r Fields<'r>) -> Result<Self, String> {
        let record = fields.record();
        let text = |text: Option<&'r str>| text.map_or(Self::Null, |text| Self::Text(Cow::Borrowed(text)));
        Ok(match &column.from {
            ColumnSource::Payload => Self::Bytes(&record.payload),
            ColumnSource::Topic => text(record.topic.as_ref().map(tidemill_core::topic::TopicName::as_str)),
            ColumnSource::Key => record.key.as_ref().map_or(Self::Null, |key| Self::Bytes(key)),
            ColumnSource::Time => match record.time {
                Some(time) => Self::Time(
                    Timestamp::try_from(time).map_err(|_| format!("column {}: time is out of range", column.name))?,
                ),
                None => Self::Null,
            },
            ColumnSource::Headers => {
                let headers = record.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
                Self::Json(Cow::Owned(serde_json::Value::Object(headers.collect())))
            }
            ColumnSource::IdempotencyKey => text(record.idempotency_key.as_deref()),
            ColumnSource::ContentType => text(record.content_type.as_deref()),
            ColumnSource::Field(pointer) => match fields.get(pointer) {
                None => return Err(format!("column {}: payload is not JSON", column.name)),
                Some(None | Some(serde_json::Value::Null)) => Self::Null,
                Some(Some(value)) => Self::Json(Cow::Borrowed(value)),
            },
            ColumnSource::Template(template) => {
                let mut text = String::new();
                let rendered = template.render_into(&mut text, fields, Escape::None);
                rendered.map_err(|error| format!("column {}: {error}", column.name))?;
                Self::Text(Cow::Owned(text))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::json;
    use tidemill_core::Record;

    use super::*;
    use crate::{Identifier, Template};

    fn with(from: ColumnSource, record: &Record, check: impl FnOnce(Result<Value<'_>, String>)) {
        check(Value::of(&Column::new(Identifier::new("c").unwrap(), from), &Fields::new(record)));
    }

    #[test]
    fn a_column_takes_what_its_source_says_and_null_where_there_is_nothing() {
        let full = Record::new(r#"{"a":{"b":[1,null]}}"#)
            .with_key("k")
            .with_idempotency_key("i")
            .with_header("h", "1")
            .with_header("h", "2")
            .with_time(SystemTime::UNIX_EPOCH + Duration::from_millis(1500));
        let empty = Record::new("{}");
        with(ColumnSource::Key, &full, |value| assert_eq!(value, Ok(Value::Bytes(b"k"))));
        with(ColumnSource::Key, &empty, |value| assert_eq!(value, Ok(Value::Null)));
        with(ColumnSource::IdempotencyKey, &full, |value| assert_eq!(value, Ok(Value::Text("i".into()))));
        with(ColumnSource::Headers, &full, |value| {
            assert_eq!(value, Ok(Value::Json(Cow::Owned(json!({"h": "2"})))));
        });
        with(ColumnSource::Time, &full, |value| {
            assert_eq!(value, Ok(Value::Time("1970-01-01T00:00:01.5Z".parse().unwrap())));
        });
        with(ColumnSource::Field("/a/b/0".into()), &full, |value| {
            assert_eq!(value, Ok(Value::Json(Cow::Owned(json!(1)))));
        });
        for pointer in ["/a/b/1", "/a/x"] {
            with(ColumnSource::Field(pointer.into()), &full, |value| assert_eq!(value, Ok(Value::Null)));
        }
        let template = Template::new("{key}-{field:/a/b/0}").unwrap();
        with(ColumnSource::Template(template), &full, |value| assert_eq!(value, Ok(Value::Text("k-1".into()))));
    }

    #[test]
    fn a_record_without_what_is_asked_for_is_refused_without_its_content() {
        let record = Record::new("s3cret");
        for from in [ColumnSource::Field("/a".into()), ColumnSource::Template(Template::new("{field:/a}").unwrap())] {
            with(from, &record, |value| {
                let reason = value.unwrap_err();
                assert!(reason.starts_with("column c: ") && !reason.contains("s3cret"), "{reason}");
            });
        }
    }
}
