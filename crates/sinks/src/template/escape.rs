//! What a value may look like in the place it goes to.
//!
//! Invariant: a value with an escape other than `None` adds no separator of that place. What cannot be escaped is
//! refused.

use super::error::{RenderError, RenderErrorKind as Kind};

/// The place that a rendered value goes to, and so how it is made harmless there.
///
/// Only values are escaped: literals and fallbacks were written by the author of the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Escape {
    /// As it is: for places where any text is harmless, such as a bound parameter.
    None,
    /// A segment of a URL's path: everything but letters, digits and `-._~` percent-encoded. Also right in a query, so
    /// that one escape does for a whole URL. `.` and `..` as a segment are refused, since no encoding hides them.
    UrlPathSegment,
    /// A name or value in a URL's query; the same encoding.
    UrlQuery,
    /// A level of an MQTT topic. `/`, `+`, `#` and the null character have no encoding there and are refused.
    TopicLevel,
    /// A word of a NATS subject, an AMQP routing key or a Kafka topic, where words stand between dots. Dots, wildcards
    /// (`*`, `>`, `#`), white space and control characters have no encoding there and are refused. The levels of a topic
    /// become words.
    DottedWord,
    /// A segment of an object's name or a file's path; encoded and refused like a URL's.
    ObjectSegment,
}

impl Escape {
    /// Appends one value, or one level of a topic.
    pub(super) fn push(self, text: &mut String, value: &str) -> Result<(), Kind> {
        match self {
            Self::None => text.push_str(value),
            Self::UrlPathSegment | Self::UrlQuery | Self::ObjectSegment => percent_encode(text, value),
            Self::TopicLevel if value.contains(['/', '+', '#', '\0']) => return Err(Kind::NotALevel),
            Self::DottedWord if value.contains(is_no_part_of_a_word) => return Err(Kind::NotAWord),
            Self::TopicLevel | Self::DottedWord => text.push_str(value),
        }
        Ok(())
    }

    /// Appends what stands between two levels of a topic: levels stay levels where the place has some.
    pub(super) fn push_level_separator(self, text: &mut String) {
        text.push_str(match self {
            Self::UrlQuery => "%2F",
            Self::DottedWord => ".",
            Self::None | Self::UrlPathSegment | Self::TopicLevel | Self::ObjectSegment => "/",
        });
    }

    /// Refuses what only shows in the whole: two values that are harmless alone may be `..` together.
    pub(super) fn check_whole(self, text: &str) -> Result<(), RenderError> {
        let path = match self {
            // A query or fragment, if there is one, is no path.
            Self::UrlPathSegment => text.split(['?', '#']).next().unwrap_or(text),
            Self::ObjectSegment => text,
            Self::None | Self::UrlQuery | Self::TopicLevel | Self::DottedWord => return Ok(()),
        };
        if path.split(['/', '\\']).any(is_dots) { Err(RenderError::whole(Kind::DotSegment)) } else { Ok(()) }
    }
}

fn is_no_part_of_a_word(c: char) -> bool {
    matches!(c, '.' | '*' | '>' | '#') || c.is_whitespace() || c.is_control()
}

/// Whether a URL parser takes the segment for `.` or `..`, also when it is percent-encoded.
fn is_dots(segment: &str) -> bool {
    segment.len() <= "%2e%2e".len() && matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..")
}

fn percent_encode(text: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
