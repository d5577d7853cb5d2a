//! Where the value of a column comes from, and what a record has there.

use std::borrow::Cow;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidemill_core::topic::TopicName;

use crate::{Escape, Fields, Template};

/// Where the value of a column comes from: `from = "topic"`, `from = { field = "/celsius" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ColumnSource {
    /// The payload.
    Payload,
    /// The topic of the event that the record came from.
    Topic,
    /// The key that order is kept by.
    Key,
    /// The record's time.
    Time,
    /// The headers, as a JSON object; of a name that comes twice the last one.
    Headers,
    /// The idempotency key.
    IdempotencyKey,
    /// The MIME type of the payload.
    ContentType,
    /// The value at a JSON pointer of the payload; null where there is none. A payload that is not JSON is refused.
    Field(String),
    /// A text with placeholders. A record that lacks what a placeholder without a fallback asks for is refused.
    Template(Template),
}

/// What a record has for a column, before it is written in the way of a database or a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'r> {
    Null,
    Text(Cow<'r, str>),
    /// What may be no text.
    Bytes(&'r [u8]),
    Json(Cow<'r, Json>),
    Time(SystemTime),
}

impl ColumnSource {
    /// The value that this record has there.
    ///
    /// # Errors
    /// Why the record has none, without its content.
    pub(crate) fn value<'r>(&self, fields: &'r Fields<'_>) -> Result<Value<'r>, String> {
        let record = fields.record();
        let text = |text: Option<&'r str>| text.map_or(Value::Null, |text| Value::Text(Cow::Borrowed(text)));
        Ok(match self {
            Self::Payload => Value::Bytes(&record.payload),
            Self::Topic => text(record.topic.as_ref().map(TopicName::as_str)),
            Self::Key => record.key.as_ref().map_or(Value::Null, |key| Value::Bytes(key)),
            Self::Time => record.time.map_or(Value::Null, Value::Time),
            Self::Headers => {
                let headers = record.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
                Value::Json(Cow::Owned(Json::Object(headers.collect())))
            }
            Self::IdempotencyKey => text(record.idempotency_key.as_deref()),
            Self::ContentType => text(record.content_type.as_deref()),
            Self::Field(pointer) => match fields.get(pointer).ok_or("the payload is not JSON")? {
                None | Some(Json::Null) => Value::Null,
                Some(value) => Value::Json(Cow::Borrowed(value)),
            },
            Self::Template(template) => {
                let mut text = String::new();
                template.render_into(&mut text, fields, Escape::None).map_err(|error| error.to_string())?;
                Value::Text(Cow::Owned(text))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tidemill_core::Record;

    use super::*;

    fn with(from: &ColumnSource, record: &Record, check: impl FnOnce(Result<Value<'_>, String>)) {
        check(from.value(&Fields::new(record)));
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
        with(&ColumnSource::Key, &full, |value| assert_eq!(value, Ok(Value::Bytes(b"k"))));
        with(&ColumnSource::Key, &empty, |value| assert_eq!(value, Ok(Value::Null)));
        with(&ColumnSource::IdempotencyKey, &full, |value| assert_eq!(value, Ok(Value::Text("i".into()))));
        with(&ColumnSource::Headers, &full, |value| {
            assert_eq!(value, Ok(Value::Json(Cow::Owned(json!({"h": "2"})))));
        });
        with(&ColumnSource::Time, &full, |value| {
            assert_eq!(value, Ok(Value::Time(SystemTime::UNIX_EPOCH + Duration::from_millis(1500))));
        });
        with(&ColumnSource::Field("/a/b/0".into()), &full, |value| {
            assert_eq!(value, Ok(Value::Json(Cow::Owned(json!(1)))));
        });
        for pointer in ["/a/b/1", "/a/x"] {
            with(&ColumnSource::Field(pointer.into()), &full, |value| assert_eq!(value, Ok(Value::Null)));
        }
        let template = Template::new("{key}-{field:/a/b/0}").unwrap();
        with(&ColumnSource::Template(template), &full, |value| assert_eq!(value, Ok(Value::Text("k-1".into()))));
    }

    #[test]
    fn a_record_without_what_is_asked_for_is_refused_without_its_content() {
        let record = Record::new("s3cret");
        for from in [ColumnSource::Field("/a".into()), ColumnSource::Template(Template::new("{field:/a}").unwrap())] {
            with(&from, &record, |value| {
                let reason = value.unwrap_err();
                assert!(reason.contains("JSON") && !reason.contains("s3cret"), "{reason}");
            });
        }
    }
}
