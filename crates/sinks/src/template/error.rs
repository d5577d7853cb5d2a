//! What is wrong with a template, and why a record does not fit one. Never holds what the record says.

use std::fmt;

/// What is wrong with a template's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateErrorKind {
    /// A placeholder has no closing brace.
    NotClosed,
    /// A closing brace has no opening one.
    StrayBrace,
    /// A capture's name is empty or has characters that a route cannot capture under.
    BadCaptureName,
    /// What stands before the colon is unknown.
    UnknownKind,
    /// A JSON pointer does not begin with a slash.
    BadPointer,
    /// A header's name is empty.
    NoHeaderName,
    /// The time format is empty or has a directive that cannot be written.
    BadTimeFormat,
}

/// A template that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    kind: TemplateErrorKind,
    /// In characters, since people count those.
    column: usize,
    /// What stands there, cut short.
    near: String,
}

impl TemplateError {
    pub(super) fn new(kind: TemplateErrorKind, text: &str, at: usize) -> Self {
        let column = text[..at].chars().count() + 1;
        Self { kind, column, near: text[at..].chars().take(40).collect() }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> TemplateErrorKind {
        self.kind
    }

    /// Where the placeholder begins, in characters from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, fix) = match self.kind {
            TemplateErrorKind::NotClosed => {
                ("a placeholder is not closed", "add `}`, or write `{{` for a brace of the text")
            }
            TemplateErrorKind::StrayBrace => ("a `}` closes nothing", "write `}}` for a brace of the text"),
            TemplateErrorKind::BadCaptureName => (
                "a capture's name is empty or has other characters than letters, digits, `_` and `-`",
                "name a capture as the route's pattern does, as in `{line}`",
            ),
            TemplateErrorKind::UnknownKind => (
                "what stands before the colon is unknown",
                "use `{name}`, `{topic}`, `{key}`, `{field:/a/b}`, `{header:name}` or `{time:%Y-%m-%d}`",
            ),
            TemplateErrorKind::BadPointer => {
                ("a JSON pointer does not begin with a slash", "write it as in `{field:/reading/celsius}`")
            }
            TemplateErrorKind::NoHeaderName => ("a header has no name", "write it as in `{header:unit}`"),
            TemplateErrorKind::BadTimeFormat => {
                ("a time format is empty or has an unknown directive", "write it as in `{time:%Y/%m/%d}`")
            }
        };
        write!(f, "template, column {}, near {:?}: {what}; {fix}", self.column, self.near)
    }
}

impl std::error::Error for TemplateError {}

/// Why a record does not fit a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenderErrorKind {
    /// The record has no such value, or an empty one, and the placeholder no fallback.
    Absent,
    /// The payload is no JSON, and a field of it is asked for.
    NotJson,
    /// The field is an array or an object.
    NotScalar,
    /// The key is not UTF-8.
    NotText,
    /// The record's time is outside what the format can write.
    TimeOutOfRange,
    /// The value has a character that no topic level can have.
    NotALevel,
    /// The value has a character that no word between dots can have.
    NotAWord,
    /// The whole has `.` or `..` as a segment.
    DotSegment,
}

/// A record that does not fit a template. Its text is fit for the reason of a
/// [`Rejection`](tidemill_core::Rejection).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    kind: RenderErrorKind,
    /// What stands between the braces; `None` when it is the whole.
    placeholder: Option<Box<str>>,
}

impl RenderError {
    pub(super) fn new(kind: RenderErrorKind, placeholder: String) -> Self {
        Self { kind, placeholder: Some(placeholder.into()) }
    }

    pub(super) fn whole(kind: RenderErrorKind) -> Self {
        Self { kind, placeholder: None }
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> RenderErrorKind {
        self.kind
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.placeholder {
            Some(placeholder) => write!(f, "template value {{{placeholder}}}: ")?,
            None => f.write_str("template: ")?,
        }
        match (self.kind, &self.placeholder) {
            (RenderErrorKind::Absent, Some(placeholder)) => {
                write!(f, "the record has none; give a fallback as in `{{{placeholder}|none}}`")
            }
            (RenderErrorKind::Absent, None) => f.write_str("the record has no such value"),
            (RenderErrorKind::NotJson, _) => f.write_str("the payload is not JSON"),
            (RenderErrorKind::NotScalar, _) => {
                f.write_str("the field is an array or an object; point to a string, number or boolean in it")
            }
            (RenderErrorKind::NotText, _) => f.write_str("the key is not UTF-8"),
            (RenderErrorKind::TimeOutOfRange, _) => f.write_str("the record's time cannot be written in this format"),
            (RenderErrorKind::NotALevel, _) => {
                f.write_str("the value has a `/`, `+`, `#` or null character, which no topic level can have")
            }
            (RenderErrorKind::NotAWord, _) => {
                f.write_str("the value has a dot, `*`, `>`, `#` or white space, which no word between dots can have")
            }
            (RenderErrorKind::DotSegment, _) => {
                f.write_str("the rendered path has `.` or `..` as a segment, which would lead elsewhere")
            }
        }
    }
}

impl std::error::Error for RenderError {}
