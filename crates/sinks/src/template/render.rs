//! Parts and a record to text.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use serde_json::Value;

use super::error::{RenderError, RenderErrorKind as Kind};
use super::{Escape, Fields, Part, Source};

pub(super) fn parts(parts: &[Part], text: &mut String, fields: &Fields<'_>, escape: Escape) -> Result<(), RenderError> {
    for part in parts {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Value { source, fallback } => {
                let fail = |kind| RenderError::new(kind, source.to_string());
                match (value(source, fields).map_err(fail)?, fallback) {
                    (Some(value), _) if !value.is_empty() => {
                        push(source, &value, text, escape).map_err(fail)?;
                    }
                    // Written by the author of the template, so it is no value that could do harm.
                    (_, Some(fallback)) => text.push_str(fallback),
                    (_, None) => return Err(fail(Kind::Absent)),
                }
            }
        }
    }
    Ok(())
}

fn push(source: &Source, value: &str, text: &mut String, escape: Escape) -> Result<(), Kind> {
    match source {
        // Its shape comes from the author's format; the record adds digits and names of days.
        Source::Time(_) => text.push_str(value),
        Source::Topic if escape != Escape::None => {
            for (at, level) in value.split('/').enumerate() {
                if at > 0 {
                    escape.push_level_separator(text);
                }
                escape.push(text, level)?;
            }
        }
        _ => escape.push(text, value)?,
    }
    Ok(())
}

fn value<'a>(source: &Source, fields: &'a Fields<'_>) -> Result<Option<Cow<'a, str>>, Kind> {
    let record = fields.record();
    Ok(match source {
        Source::Capture(name) => record.capture(name).map(Cow::Borrowed),
        Source::Topic => record.topic.as_ref().map(|topic| Cow::Borrowed(topic.as_str())),
        Source::Key => match &record.key {
            Some(key) => Some(Cow::Borrowed(std::str::from_utf8(key).map_err(|_| Kind::NotText)?)),
            None => None,
        },
        Source::Field(pointer) => match fields.get(pointer).ok_or(Kind::NotJson)? {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(Value::Bool(truth)) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
            Some(Value::Number(number)) => Some(Cow::Owned(number.to_string())),
            Some(Value::Array(_) | Value::Object(_)) => return Err(Kind::NotScalar),
        },
        Source::Header(name) => {
            let mut headers = record.headers.iter();
            headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| Cow::Borrowed(value.as_str()))
        }
        Source::Time(format) => match record.time {
            Some(time) => {
                let time = Timestamp::try_from(time).map_err(|_| Kind::TimeOutOfRange)?;
                let written = BrokenDownTime::from(time).to_string(&**format);
                Some(Cow::Owned(written.map_err(|_| Kind::TimeOutOfRange)?))
            }
            None => None,
        },
    })
}
