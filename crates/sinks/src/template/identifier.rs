//! Names of tables and columns. Invariant: a name that was accepted and quoted is one identifier in every SQL dialect.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Shorter than this in bytes, the limit of PostgreSQL, which cuts off the rest in silence.
const MAX_PART_BYTES: usize = 63;
/// `catalog.schema.table`.
const MAX_PARTS: usize = 3;

/// The name of a table, a schema or a column in SQL: up to three parts with dots between them, each of letters, digits,
/// `_`, `-` and `$`. So narrow because quotes and backslashes mean different things to different databases.
///
/// Written into a statement it is always quoted, which keeps upper and lower case as they are.
///
/// ```
/// use tidemill_sinks::Identifier;
///
/// let table = Identifier::new("plant.Readings")?;
/// assert_eq!(table.quoted(), r#""plant"."Readings""#);
/// assert!(Identifier::new("readings; DROP TABLE users").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier(Box<str>);

impl Identifier {
    /// Checks a name.
    ///
    /// # Errors
    /// An [`IdentifierError`] that says what is allowed.
    pub fn new(name: &str) -> Result<Self, IdentifierError> {
        let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
        let is_part = |part: &str| !part.is_empty() && part.len() <= MAX_PART_BYTES && part.chars().all(legal);
        if name.split('.').count() <= MAX_PARTS && name.split('.').all(is_part) {
            Ok(Self(name.into()))
        } else {
            Err(IdentifierError { name: name.chars().take(80).collect() })
        }
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts, outermost first.
    #[must_use]
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The last part: the table without its schema.
    #[must_use]
    pub fn last(&self) -> &str {
        self.parts().next_back().unwrap_or(&self.0)
    }

    /// In double quotes, as standard SQL has it.
    #[must_use]
    pub fn quoted(&self) -> String {
        self.quoted_with('"')
    }

    /// In other quotes: backticks for MySQL.
    #[must_use]
    pub fn quoted_with(&self, quote: char) -> String {
        let parts: Vec<String> = self.parts().map(|part| format!("{quote}{part}{quote}")).collect();
        parts.join(".")
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(name: &str) -> Result<Self, IdentifierError> {
        Self::new(name)
    }
}

impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Identifier {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Identifier".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A text that is no name of a table or column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifierError {
    name: String,
}

impl fmt::Display for IdentifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no name of a table or column: use up to {MAX_PARTS} parts with dots between them, each of letters, \
             digits, `_`, `-` and `$`, at most {MAX_PART_BYTES} bytes long",
            self.name
        )
    }
}

impl std::error::Error for IdentifierError {}
