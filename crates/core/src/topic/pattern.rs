//! Patterns: what a route is bound to. A pattern is a filter whose `+` levels may have names:
//! `plant/{line}/temperature` subscribes to `plant/+/temperature` and captures the second level as `line`.

use std::fmt;
use std::str::FromStr;

use super::{TopicError, TopicErrorKind, TopicFilter};

/// One level of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Segment {
    /// Matches exactly this level.
    Literal(Box<str>),
    /// Matches any one level and captures it.
    Capture(Box<str>),
    /// `+`: matches any one level.
    Plus,
    /// `#`: matches the parent and everything below.
    Hash,
}

/// A topic pattern with named captures.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A [`TopicError`] that says which rule is broken: those of [`TopicFilter`], and that a capture fills one whole
    /// level and has a name of its own.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        let fail = |kind| Err(TopicError::new(kind, text));
        if text.starts_with("$share/") {
            return fail(TopicErrorKind::ShareInPattern);
        }
        let mut segments: Vec<Segment> = Vec::new();
        for level in text.split('/') {
            segments.push(match level {
                "+" => Segment::Plus,
                "#" => Segment::Hash,
                _ => match level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                    Some(name) => {
                        let legal = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
                        if name.is_empty() || !name.chars().all(legal) {
                            return fail(TopicErrorKind::BadCaptureName);
                        }
                        if segments.iter().any(|s| matches!(s, Segment::Capture(other) if **other == *name)) {
                            return fail(TopicErrorKind::DuplicateCapture);
                        }
                        Segment::Capture(name.into())
                    }
                    None if level.contains(['{', '}']) => return fail(TopicErrorKind::CaptureNotAlone),
                    None => Segment::Literal(level.into()),
                },
            });
        }
        let pattern = Self { text: text.into(), segments: segments.into() };
        match TopicFilter::new(&pattern.filter_text()) {
            Ok(_) => Ok(pattern),
            Err(error) => fail(error.kind()),
        }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The levels of the pattern.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of the captures, in the order of their levels.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture(name) => Some(&**name),
            _ => None,
        })
    }

    /// The filter to subscribe to: every capture becomes `+`.
    #[must_use]
    pub fn filter(&self) -> TopicFilter {
        // `new` has checked this very text.
        TopicFilter::new(&self.filter_text()).unwrap_or_else(|_| unreachable!("checked when the pattern was made"))
    }

    fn filter_text(&self) -> String {
        let mut text = String::with_capacity(self.text.len());
        for (at, segment) in self.segments.iter().enumerate() {
            if at > 0 {
                text.push('/');
            }
            text.push_str(match segment {
                Segment::Literal(level) => level,
                Segment::Capture(_) | Segment::Plus => "+",
                Segment::Hash => "#",
            });
        }
        text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Pattern {
    type Err = TopicError;
    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}
