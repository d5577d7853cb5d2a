//! The columns of a table: names, types, and what is wrong with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ColumnSource, Value};
use crate::template::is_pointer;
use crate::{Fields, Identifier};

/// A column, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Column {
    /// Its name: one part, without dots.
    pub name: Identifier,
    /// Where its value comes from.
    pub from: ColumnSource,
    /// What it holds. Only looked at when the sink creates the table; otherwise the table says it. Default: what goes
    /// with the source, and text for fields and templates.
    #[serde(default, rename = "type")]
    pub kind: Option<ColumnType>,
}

impl Column {
    /// A column with the value of this source.
    #[must_use]
    pub fn new(name: Identifier, from: ColumnSource) -> Self {
        Self { name, from, kind: None }
    }

    /// Sets what it holds where the sink creates the table.
    #[must_use]
    pub fn of_type(mut self, kind: ColumnType) -> Self {
        self.kind = Some(kind);
        self
    }

    /// What it holds.
    pub(crate) fn kind(&self) -> ColumnType {
        self.kind.unwrap_or(match self.from {
            ColumnSource::Payload | ColumnSource::Headers => ColumnType::Json,
            ColumnSource::Time => ColumnType::Time,
            ColumnSource::Topic
            | ColumnSource::Key
            | ColumnSource::IdempotencyKey
            | ColumnSource::ContentType
            | ColumnSource::Field(_)
            | ColumnSource::Template(_) => ColumnType::Text,
        })
    }

    /// The value that this record has for it.
    ///
    /// # Errors
    /// Why the record has none, without its content.
    pub(crate) fn value<'r>(&self, fields: &'r Fields<'_>) -> Result<Value<'r>, String> {
        self.from.value(fields).map_err(|why| format!("column {}: {why}", self.name))
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ColumnType {
    /// Text.
    Text,
    /// JSON.
    Json,
    /// Bytes.
    Bytes,
    /// True or false.
    Boolean,
    /// A whole number of 64 bits.
    Integer,
    /// A number of 64 bits with a binary point.
    Float,
    /// A moment.
    Time,
}

/// `id`, `time`, `topic`, `key`, `payload` and `headers`: all that a record says.
pub(crate) fn default_columns() -> Vec<Column> {
    let all = [
        (ID, ColumnSource::IdempotencyKey),
        ("time", ColumnSource::Time),
        ("topic", ColumnSource::Topic),
        ("key", ColumnSource::Key),
        ("payload", ColumnSource::Payload),
        ("headers", ColumnSource::Headers),
    ];
    all.into_iter().filter_map(|(name, from)| Some(Column::new(Identifier::new(name).ok()?, from))).collect()
}

/// The column that [`default_columns`] puts the idempotency key into.
pub(crate) const ID: &str = "id";

/// What is wrong with the columns, as a sentence with the way out.
///
/// # Errors
/// No column, a name with dots or given twice, a key that is no column, a pointer without its slash.
pub(crate) fn check(columns: &[Column], key: &[Identifier]) -> Result<(), String> {
    if columns.is_empty() {
        return Err("columns is empty: name at least one".to_owned());
    }
    for (at, column) in columns.iter().enumerate() {
        let name = &column.name;
        if name.parts().count() != 1 {
            return Err(format!("column {name} has a dot in its name: give the column alone, the table is known"));
        }
        if columns.iter().take(at).any(|other| other.name == *name) {
            return Err(format!("column {name} is named twice: take one of them out"));
        }
        if let ColumnSource::Field(pointer) = &column.from
            && !is_pointer(pointer)
        {
            return Err(format!("column {name}: {pointer:?} is no JSON pointer: begin it with a slash"));
        }
    }
    match key.iter().find(|key| columns.iter().all(|column| column.name != **key)) {
        Some(key) => Err(format!("key has {key}, which is not one of the columns: add it to columns")),
        None => Ok(()),
    }
}
