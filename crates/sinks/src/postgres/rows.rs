//! Records to columns of text, as `unnest` takes them.

use std::borrow::Cow;
use std::collections::HashMap;

use tidemill_core::{Record, Rejection};

use super::config::{OnConflict, PostgresConfig};
use crate::Fields;
use crate::columns::{Value, timestamp};
use crate::digest::hex;

/// What a type is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Json,
    Bytes,
}

impl Form {
    pub(super) fn of(type_name: &str) -> Self {
        match type_name {
            "json" | "jsonb" => Self::Json,
            "bytea" => Self::Bytes,
            _ => Self::Text,
        }
    }
}

/// A batch, column by column.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) columns: Vec<Vec<Option<String>>>,
    pub(super) rejections: Vec<Rejection>,
}

impl Rows {
    pub(super) fn new(config: &PostgresConfig, forms: &[Form], batch: &[Record]) -> Self {
        let mut rows = Vec::with_capacity(batch.len());
        let mut rejections = Vec::new();
        for (index, record) in batch.iter().enumerate() {
            match row(config, forms, record) {
                Ok(row) => rows.push(row),
                Err(reason) => rejections.push(Rejection { index, reason }),
            }
        }
        if config.on_conflict == OnConflict::Update {
            rows = last_of_each_key(config, rows);
        }
        let mut columns: Vec<Vec<Option<String>>> = forms.iter().map(|_| Vec::with_capacity(rows.len())).collect();
        for row in rows {
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        Self { columns, rejections }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.first().is_none_or(Vec::is_empty)
    }
}

type Row = Vec<Option<String>>;

fn row(config: &PostgresConfig, forms: &[Form], record: &Record) -> Result<Row, String> {
    let fields = Fields::new(record);
    let values = config.columns.iter().zip(forms).map(|(column, form)| {
        let fail = |why: &str| format!("column {}: {why}", column.name);
        let text = text(column.value(&fields)?, *form).map_err(fail)?;
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(fail("text has a null character, which PostgreSQL cannot hold"));
        }
        if text.is_none() && config.key.contains(&column.name) {
            return Err(fail("the record has no value for it, and it is part of the key: give records one"));
        }
        Ok(text)
    });
    values.collect()
}

fn text(value: Value<'_>, form: Form) -> Result<Option<String>, &'static str> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    Ok(Some(match (form, value) {
        (_, Value::Null) => return Ok(None),
        (Form::Bytes, Value::Bytes(bytes)) => bytea(bytes),
        (Form::Bytes, Value::Text(text)) => bytea(text.as_bytes()),
        (Form::Bytes, Value::Json(value)) => bytea(plain(&value).as_bytes()),
        (Form::Bytes, Value::Time(time)) => bytea(timestamp(time)?.to_string().as_bytes()),
        (Form::Json, Value::Bytes(bytes)) => {
            let text = std::str::from_utf8(bytes).map_err(|_| "bytes are not JSON")?;
            serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| "bytes are not JSON")?;
            text.to_owned()
        }
        (Form::Json, Value::Text(text)) => quoted(&text),
        (Form::Json, Value::Time(time)) => quoted(&timestamp(time)?.to_string()),
        (Form::Json, Value::Json(value)) => value.to_string(),
        (Form::Text, Value::Bytes(bytes)) => {
            std::str::from_utf8(bytes).map_err(|_| "bytes are not UTF-8: use a column of type bytea")?.to_owned()
        }
        (Form::Text, Value::Text(text)) => text.into_owned(),
        (Form::Text, Value::Time(time)) => timestamp(time)?.to_string(),
        (Form::Text, Value::Json(value)) => plain(&value).into_owned(),
    }))
}

/// A string without its quotes, everything else as JSON.
fn plain(value: &serde_json::Value) -> Cow<'_, str> {
    match value {
        serde_json::Value::String(text) => Cow::Borrowed(text),
        value => Cow::Owned(value.to_string()),
    }
}

/// As the server reads bytes.
fn bytea(bytes: &[u8]) -> String {
    format!("\\x{}", hex(bytes))
}

/// One statement may not update a row twice.
fn last_of_each_key(config: &PostgresConfig, rows: Vec<Row>) -> Vec<Row> {
    let is_key: Vec<bool> = config.columns.iter().map(|column| config.key.contains(&column.name)).collect();
    let key = |row: &Row| -> Row { row.iter().zip(&is_key).filter(|it| *it.1).map(|it| it.0.clone()).collect() };
    let mut last: HashMap<Row, usize> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        last.insert(key(row), at);
    }
    let mut at = 0;
    let mut rows = rows;
    rows.retain(|row| {
        at += 1;
        last.get(&key(row)) == Some(&(at - 1))
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, ColumnSource, Identifier};

    fn config() -> PostgresConfig {
        let name = |name: &str| Identifier::new(name).unwrap();
        let columns = vec![
            Column::new(name("id"), ColumnSource::IdempotencyKey),
            Column::new(name("payload"), ColumnSource::Payload),
        ];
        PostgresConfig::new("localhost", "d", "u", name("t")).columns(columns, vec![name("id")])
    }

    fn record(id: &str, payload: &'static [u8]) -> Record {
        Record::new(payload).with_idempotency_key(id)
    }

    #[test]
    fn a_payload_is_written_as_its_column_takes_it_or_refused() {
        let batch = [record("1", b"{\"a\": 1}"), record("2", b"\xff"), record("3", b"a\0b"), record("4", b"text")];
        for (form, texts) in [
            (Form::Json, vec![Some("{\"a\": 1}")]),
            (Form::Text, vec![Some("{\"a\": 1}"), Some("text")]),
            (Form::Bytes, vec![Some("\\x7b2261223a20317d"), Some("\\xff"), Some("\\x610062"), Some("\\x74657874")]),
        ] {
            let rows = Rows::new(&config(), &[Form::Text, form], &batch);
            let written: Vec<Option<&str>> = rows.columns[1].iter().map(Option::as_deref).collect();
            assert_eq!(written, texts, "{form:?}");
            assert_eq!(rows.rejections.len(), 4 - texts.len());
        }
    }

    #[test]
    fn a_record_without_its_key_is_refused() {
        let rows = Rows::new(&config(), &[Form::Text, Form::Json], &[Record::new("1"), record("a", b"2")]);
        assert_eq!(rows.rejections.len(), 1);
        assert!(rows.rejections[0].reason.contains("column id"), "{:?}", rows.rejections);
        assert_eq!(rows.columns[0], [Some("a".to_owned())]);
    }

    #[test]
    fn of_records_that_update_the_same_row_the_last_one_is_written() {
        let batch = [record("a", b"1"), record("b", b"2"), record("a", b"3")];
        let config = config().on_conflict(OnConflict::Update);
        let rows = Rows::new(&config, &[Form::Text, Form::Json], &batch);
        assert_eq!(rows.columns[1], [Some("2".to_owned()), Some("3".to_owned())]);
    }
}
