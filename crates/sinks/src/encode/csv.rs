//! Records as rows of CSV, see [`CsvFormat`].
//!
//! Invariant: a row has exactly as many cells as the header, and only a line break outside quotes ends it. What has a
//! comma, a quote or a line break in it is quoted, and quotes in it are doubled (RFC 4180), so whoever counts quotes
//! knows where a row ends.

#[cfg(test)]
mod tests;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemill_core::Record;

use crate::template::is_pointer;
use crate::{Escape, Fields, Template};

/// Rows of CSV (RFC 4180, rows end with `\n`) below a header line with the columns' names.
///
/// Values are written as they are, but for null characters, which are refused: a spreadsheet takes one that begins with
/// `=` for a formula.
///
/// ```
/// use tidemill_sinks::{CsvColumn, CsvFormat, Template};
///
/// let format = CsvFormat::new([
///     CsvColumn::template("line", Template::new("{line|none}")?),
///     CsvColumn::field("celsius", "/reading/celsius"),
/// ])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Settings")]
pub struct CsvFormat {
    /// In the order of the file.
    columns: Vec<CsvColumn>,
}

/// What stands in the settings, not checked yet.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CsvFormat")]
struct Settings {
    /// The columns, in the order of the file.
    columns: Vec<CsvColumn>,
}

impl TryFrom<Settings> for CsvFormat {
    type Error = CsvError;

    fn try_from(settings: Settings) -> Result<Self, CsvError> {
        Self::new(settings.columns)
    }
}

/// A column of a CSV file. In settings: `{ name = "celsius", value = { field = "/reading/celsius" } }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CsvColumn {
    /// What the header says.
    pub name: String,
    /// What stands below it.
    pub value: CsvValue,
}

/// What stands in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CsvValue {
    /// A text with places for what the record says. A record without one of them is refused, unless the template has a
    /// fallback for it: `{line|}`.
    Template(Template),
    /// A value of the JSON payload, by JSON pointer. Empty where it is missing or null; an array or an object stands as
    /// JSON. A record whose payload is no JSON is refused.
    Field(String),
    /// The whole payload. A record whose payload is not UTF-8 is refused.
    Payload,
}

impl CsvColumn {
    /// A column with a text that has places for what the record says.
    #[must_use]
    pub fn template(name: impl Into<String>, template: Template) -> Self {
        Self { name: name.into(), value: CsvValue::Template(template) }
    }

    /// A column with a value of the JSON payload, by JSON pointer (RFC 6901).
    #[must_use]
    pub fn field(name: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self { name: name.into(), value: CsvValue::Field(pointer.into()) }
    }

    /// A column with the whole payload.
    #[must_use]
    pub fn payload(name: impl Into<String>) -> Self {
        Self { name: name.into(), value: CsvValue::Payload }
    }
}

impl CsvFormat {
    /// Checks columns, in the order of the file.
    ///
    /// # Errors
    /// A [`CsvError`] that names the column: there is none, a name comes twice, is empty or could not be read back, a
    /// JSON pointer does not begin with a slash.
    pub fn new(columns: impl IntoIterator<Item = CsvColumn>) -> Result<Self, CsvError> {
        let columns: Vec<CsvColumn> = columns.into_iter().collect();
        if columns.is_empty() {
            return Err(CsvError::NoColumns);
        }
        for (at, CsvColumn { name, value }) in columns.iter().enumerate() {
            if name.is_empty() || name.contains(|c: char| c.is_control() || c == '\u{feff}') {
                return Err(CsvError::BadName(name.clone()));
            }
            if columns[..at].iter().any(|other| other.name == *name) {
                return Err(CsvError::TwiceNamed(name.clone()));
            }
            if let CsvValue::Field(pointer) = value
                && !is_pointer(pointer)
            {
                return Err(CsvError::BadPointer(name.clone()));
            }
        }
        Ok(Self { columns })
    }

    /// The columns, in the order of the file.
    #[must_use]
    pub fn columns(&self) -> &[CsvColumn] {
        &self.columns
    }

    /// The header as a line.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut line = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            self.push_cell(&mut line, at, &column.name);
        }
        line.push(b'\n');
        line
    }

    /// Appends a record as a row, without the line break at its end.
    ///
    /// # Errors
    /// Why it cannot be one; what was appended then is to be cut off.
    pub(super) fn push(&self, line: &mut Vec<u8>, record: &Record) -> Result<(), String> {
        let fields = Fields::new(record);
        let mut text = String::new();
        for (at, column) in self.columns.iter().enumerate() {
            text.clear();
            let refused = |why: String| format!("column {:?}: {why}", column.name);
            column.value.push(&mut text, &fields).map_err(refused)?;
            if text.contains('\0') {
                return Err(refused("the value has a null character, which readers of CSV do not take".to_owned()));
            }
            self.push_cell(line, at, &text);
        }
        Ok(())
    }

    fn push_cell(&self, line: &mut Vec<u8>, at: usize, text: &str) {
        if at > 0 {
            line.push(b',');
        }
        // A row of one empty cell would be an empty line, which readers skip.
        let is_blank_row = self.columns.len() == 1 && text.is_empty();
        if !is_blank_row && !text.contains([',', '"', '\n', '\r']) {
            line.extend_from_slice(text.as_bytes());
            return;
        }
        line.push(b'"');
        for (at, piece) in text.split('"').enumerate() {
            if at > 0 {
                line.extend_from_slice(b"\"\"");
            }
            line.extend_from_slice(piece.as_bytes());
        }
        line.push(b'"');
    }
}

impl CsvValue {
    fn push(&self, text: &mut String, fields: &Fields<'_>) -> Result<(), String> {
        const NOT_JSON: &str = "the payload is not JSON";
        match self {
            Self::Template(template) => {
                template.render_into(text, fields, Escape::None).map_err(|error| error.to_string())?;
            }
            Self::Field(pointer) => match fields.get(pointer).ok_or(NOT_JSON)? {
                None | Some(Value::Null) => {}
                Some(Value::String(value)) => text.push_str(value),
                Some(value) => text.push_str(&value.to_string()),
            },
            Self::Payload => {
                let payload = std::str::from_utf8(&fields.record().payload);
                text.push_str(payload.map_err(|_| "the payload is not UTF-8: write it with the format ndjson")?);
            }
        }
        Ok(())
    }
}

/// Columns that no file can have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CsvError {
    /// There are none.
    NoColumns,
    /// This name is empty or has a control character.
    BadName(String),
    /// This name comes twice.
    TwiceNamed(String),
    /// The JSON pointer of this column does not begin with a slash.
    BadPointer(String),
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColumns => f.write_str("columns of the format csv are none: name at least one"),
            Self::BadName(name) => {
                write!(f, "column {name:?} of the format csv: use a name with one character at least, on one line")
            }
            Self::TwiceNamed(name) => write!(f, "column {name:?} of the format csv comes twice: give it another name"),
            Self::BadPointer(name) => {
                write!(
                    f,
                    "column {name:?} of the format csv: begin its JSON pointer with a slash, as in /reading/celsius"
                )
            }
        }
    }
}

impl std::error::Error for CsvError {}
