//! Records to lines of `JSONEachRow`, and the token that tells a repeated batch.

use ring::digest::{Context, SHA256};
use serde_json::{Map, Value as Json};
use tidemill_core::{Record, Rejection};

use crate::columns::Value;
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
        let mut keys = Some(Context::new(&SHA256));
        for (index, record) in batch.iter().enumerate() {
            match row(columns, record) {
                Ok(row) => {
                    lines.extend_from_slice(Json::Object(row).to_string().as_bytes());
                    lines.push(b'\n');
                    match (&mut keys, &record.idempotency_key) {
                        (Some(keys), Some(key)) => {
                            // With its length, so that no two lists of keys are the same bytes.
                            keys.update(&(key.len() as u64).to_be_bytes());
                            keys.update(key.as_bytes());
                        }
                        _ => keys = None,
                    }
                }
                Err(reason) => rejections.push(Rejection { index, reason }),
            }
        }
        let hex = |keys: Context| keys.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { lines, rejections, token: keys.map(hex) }
    }
}

fn row(columns: &[Column], record: &Record) -> Result<Map<String, Json>, String> {
    let fields = Fields::new(record);
    let mut row = Map::new();
    for column in columns {
        let value = json(column, Value::of(column, &fields)?);
        let value = value.map_err(|why| format!("column {}: {why}", column.name))?;
        // Left out, which old servers take as well: it gives null where the column may be null.
        if !value.is_null() {
            row.insert(column.name.as_str().to_owned(), value);
        }
    }
    Ok(row)
}

fn json(column: &Column, value: Value<'_>) -> Result<Json, &'static str> {
    let as_it_is = matches!(column.from, ColumnSource::Field(_))
        && !matches!(column.kind, Some(ColumnType::Text | ColumnType::Json));
    Ok(match value {
        Value::Null => Json::Null,
        Value::Text(text) => Json::String(text.into_owned()),
        Value::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| "bytes are not UTF-8")?;
            Json::String(text.to_owned())
        }
        Value::Time(time) => Json::String(time.to_string()),
        Value::Json(value) if as_it_is => value.into_owned(),
        Value::Json(value) => match (column.kind(), &*value) {
            (ColumnType::Text, Json::String(text)) => Json::String(text.clone()),
            (_, value) => Json::String(value.to_string()),
        },
    })
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
