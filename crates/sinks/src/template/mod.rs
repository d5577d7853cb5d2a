//! Templates: text with places for what a record says, for URLs, keys, topics and object names.
//!
//! | file | owns |
//! |---|---|
//! | `parse` | text to parts; every mistake with its position |
//! | `render` | parts and a record to text |
//! | `escape` | what a value may look like in the place it goes to |
//! | `fields` | the payload as JSON, parsed at most once per record |
//! | `identifier` | names of tables and columns |
//! | `error` | what is wrong with a template, and why a record does not fit one |
//!
//! Invariant: what a record says never becomes structure. A value stays inside the segment, level or parameter that
//! the template put it in, or the record is refused.

mod error;
mod escape;
mod fields;
mod identifier;
mod parse;
mod render;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tidemill_core::Record;

pub use error::{RenderError, RenderErrorKind, TemplateError, TemplateErrorKind};
pub use escape::Escape;
pub use fields::Fields;
#[cfg(any(
    feature = "clickhouse",
    feature = "csv",
    feature = "influx",
    feature = "parquet",
    feature = "postgres"
))]
pub(crate) use fields::is_pointer;
pub use identifier::{Identifier, IdentifierError};

/// A text with places for values of a record, parsed once and rendered for every record.
///
/// | placeholder | value |
/// |---|---|
/// | `{line}` | what the route captured as `line` |
/// | `{capture:line}` | the same, for captures that are named like one of the words below |
/// | `{topic}` | the topic; stays several levels where the escape knows levels |
/// | `{key}` | the key, which must be UTF-8 |
/// | `{field:/a/b}` | a string, number or boolean of the JSON payload, by JSON pointer |
/// | `{header:unit}` | the first header of that name, upper or lower case |
/// | `{time:%Y/%m/%d}` | the record's time in UTC, as `strftime` would write it |
///
/// `{line|none}` gives `none` where the value is absent; an empty value counts as absent. Without a fallback such a
/// record is refused. `{{` and `}}` are braces.
///
/// ```
/// use tidemill_core::Record;
/// use tidemill_sinks::{Escape, Template};
///
/// let template = Template::new("readings/{field:/site|unknown}/{key}.json")?;
/// let record = Record::new(r#"{"site":"north 1"}"#).with_key("../7");
/// assert_eq!(template.render(&record, Escape::ObjectSegment)?, "readings/north%201/..%2F7.json");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Value { source: Source, fallback: Option<Box<str>> },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Capture(Box<str>),
    Topic,
    Key,
    Field(Box<str>),
    Header(Box<str>),
    Time(Box<str>),
}

/// Words that are no capture's name unless `capture:` stands before them.
const TOPIC: &str = "topic";
const KEY: &str = "key";

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// A [`TemplateError`] that says where the mistake is and how to mend it.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { parts: parse::parts(text)?.into() })
    }

    /// Whether it has no placeholder, so that every record gives the same text.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// Whether two records surely give the same text, as far as that is seen at a glance.
    #[cfg(feature = "object-store")]
    pub(crate) fn is_same_for(&self, a: &Record, b: &Record) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Literal(_) => true,
            Part::Value { source, .. } => match source {
                Source::Time(_) => a.time == b.time,
                Source::Topic => a.topic == b.topic,
                Source::Key => a.key == b.key,
                Source::Capture(name) => a.capture(name) == b.capture(name),
                Source::Field(_) | Source::Header(_) => false,
            },
        })
    }

    /// What stands before the first placeholder. Together with a parser of the whole it tells which part of a URL or a
    /// path no record can change.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            Some(Part::Value { .. }) | None => "",
        }
    }

    /// The text for this record, borrowed from the template where it is the same for all.
    ///
    /// # Errors
    /// The record has not what the template asks for, or it would break out of its place. Retrying does not help: the
    /// error's text is the reason of a [`Rejection`](tidemill_core::Rejection).
    pub fn render(&self, record: &Record, escape: Escape) -> Result<Cow<'_, str>, RenderError> {
        if let [Part::Literal(text)] = &*self.parts {
            return Ok(Cow::Borrowed(text));
        }
        let mut text = String::new();
        self.render_into(&mut text, &Fields::new(record), escape)?;
        Ok(Cow::Owned(text))
    }

    /// Appends the text for this record. With several templates for one record, pass the same [`Fields`], so that the
    /// payload is parsed once.
    ///
    /// # Errors
    /// The same as of [`render`](Self::render); nothing is appended then.
    pub fn render_into(&self, text: &mut String, fields: &Fields<'_>, escape: Escape) -> Result<(), RenderError> {
        let start = text.len();
        let result = render::parts(&self.parts, text, fields, escape);
        let result = result.and_then(|()| escape.check_whole(&text[start..]));
        if result.is_err() {
            text.truncate(start);
        }
        result
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Value { source, fallback: None } => write!(f, "{{{source}}}")?,
                Part::Value { source, fallback: Some(fallback) } => write!(f, "{{{source}|{fallback}}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(name) if matches!(&**name, TOPIC | KEY) => write!(f, "capture:{name}"),
            Self::Capture(name) => f.write_str(name),
            Self::Topic => f.write_str(TOPIC),
            Self::Key => f.write_str(KEY),
            Self::Field(pointer) => write!(f, "field:{pointer}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Time(format) => write!(f, "time:{format}"),
        }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::new(text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Template {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
