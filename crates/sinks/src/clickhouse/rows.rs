//! Records to lines of `JSONEachRow`, and the token that tells a repeated batch.

use serde_json::Value as Json;
use tidemill_core::{Record, Rejection};

use crate::columns::{Value, timestamp};
use crate::digest::BatchKey;
use crate::quote::push_string;
use crate::{Column, ColumnSource, ColumnType, Fields};

/// A batch as the body of a request.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) lines: Vec<u8>,
    pub(super) rejections: Vec<Rejection>,
    /// `None` when a record of the batch has no idempotency key: then nobody knows whether it came before.
    pub(super) token: Option<String>,
}

impl Rows {
    pub(super) fn new(columns: &[Column], batch: &[Record]) -> Self {
        let mut lines = Vec::new();
        let mut rejections = Vec::new();
        let mut keys = BatchKey::new();
        let names: Vec<String> = columns.iter().map(|column| Json::from(column.name.as_str()).to_string()).collect();
        for (index, record) in batch.iter().enumerate() {
            let start = lines.len();
            match push_row(&mut lines, columns, &names, record) {
                Ok(()) => keys.add(record),
                Err(reason) => {
                    lines.truncate(start);
                    rejections.push(Rejection { index, reason });
                }
            }
        }
        Self { lines, rejections, token: keys.finish() }
    }
}

/// Appends a line. After an error what was appended is to be cut off.
fn push_row(lines: &mut Vec<u8>, columns: &[Column], names: &[String], record: &Record) -> Result<(), String> {
    let fields = Fields::new(record);
    let mut before = b'{';
    for (column, name) in columns.iter().zip(names) {
        let value = column.value(&fields)?;
        // Left out, which old servers take as well: it gives null where the column may be null.
        if value == Value::Null {
            continue;
        }
        lines.push(before);
        lines.extend_from_slice(name.as_bytes());
        lines.push(b':');
        push_value(lines, column, &value).map_err(|why| format!("column {}: {why}", column.name))?;
        before = b',';
    }
    if before == b'{' {
        lines.push(before);
    }
    lines.extend_from_slice(b"}\n");
    Ok(())
}

fn push_value(lines: &mut Vec<u8>, column: &Column, value: &Value<'_>) -> Result<(), &'static str> {
    let as_it_is = matches!(column.from, ColumnSource::Field(_))
        && !matches!(column.kind, Some(ColumnType::Text | ColumnType::Json));
    match value {
        Value::Null => lines.extend_from_slice(b"null"),
        Value::Text(text) => push_string(lines, text),
        Value::Bytes(bytes) => push_string(lines, std::str::from_utf8(bytes).map_err(|_| "bytes are not UTF-8")?),
        Value::Time(time) => push_string(lines, &timestamp(*time)?.to_string()),
        Value::Json(value) if as_it_is => {
            serde_json::to_writer(lines, value).map_err(|_| "the value cannot be written as JSON")?;
        }
        Value::Json(value) => match (column.kind(), &**value) {
            (ColumnType::Text, Json::String(text)) => push_string(lines, text),
            (_, value) => push_string(lines, &value.to_string()),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identifier;

    fn column(name: &str, from: ColumnSource) -> Column {
        Column::new(Identifier::new(name).unwrap(), from)
    }

    fn field(name: &str) -> Column {
        column(name, ColumnSource::Field(format!("/{name}")))
    }

    #[test]
    fn a_field_is_the_json_that_it_is_unless_its_column_is_a_text() {
        let columns =
            [field("a"), field("b").of_type(ColumnType::Text), field("c").of_type(ColumnType::Json), field("d")];
        let record = Record::new(r#"{"a":[1,2.5],"b":"x","c":"y"}"#);
        let rows = Rows::new(&columns, &[record]);
        let line: Json = serde_json::from_slice(&rows.lines).unwrap();
        assert_eq!(line, serde_json::json!({"a": [1, 2.5], "b": "x", "c": "\"y\""}));
    }

    #[test]
    fn a_batch_is_known_by_all_its_keys_in_their_order() {
        let columns = [column("payload", ColumnSource::Payload)];
        let token = |keys: &[&str]| {
            let batch: Vec<Record> = keys.iter().map(|key| Record::new("{}").with_idempotency_key(*key)).collect();
            Rows::new(&columns, &batch).token.unwrap()
        };
        assert_eq!(token(&["a", "bc"]), token(&["a", "bc"]));
        assert_ne!(token(&["a", "bc"]), token(&["ab", "c"]));
        assert_ne!(token(&["a", "b"]), token(&["b", "a"]));
        assert_eq!(token(&["a"]).len(), 64);
        let one_without = [Record::new("1").with_idempotency_key("a"), Record::new("2")];
        assert_eq!(Rows::new(&columns, &one_without).token, None);
        // A record that is not sent is no part of the batch.
        let one_refused =
            [Record::new("1").with_idempotency_key("a"), Record::new(&b"\xff"[..]).with_idempotency_key("b")];
        assert_eq!(Rows::new(&columns, &one_refused).token, Some(token(&["a"])));
    }
}
