//! Text to parts. Invariant: what comes out has no two literals in a row and no empty one, and every time format in it
//! is one that can be written.

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;

use super::error::{TemplateError, TemplateErrorKind as Kind};
use super::fields::is_pointer;
use super::{KEY, Part, Source, TOPIC};

pub(super) fn parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(['{', '}']) {
        literal.push_str(&text[at..at + found]);
        at += found;
        let brace = &text[at..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            literal.push_str(&brace[..1]);
            at += 2;
            continue;
        }
        let fail = |kind| Err(TemplateError::new(kind, text, at));
        let Some(inside) = brace.strip_prefix('{') else { return fail(Kind::StrayBrace) };
        let inside = match inside.find(['{', '}']) {
            Some(end) if inside[end..].starts_with('}') => &inside[..end],
            _ => return fail(Kind::NotClosed),
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal).into()));
        }
        parts.push(value(inside).map_err(|kind| TemplateError::new(kind, text, at))?);
        at += inside.len() + 2;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Ok(parts)
}

/// What stands between two braces.
fn value(inside: &str) -> Result<Part, Kind> {
    let (name, fallback) = match inside.split_once('|') {
        Some((name, fallback)) => (name, Some(fallback.into())),
        None => (inside, None),
    };
    Ok(Part::Value { source: source(name)?, fallback })
}

fn source(name: &str) -> Result<Source, Kind> {
    Ok(match name.split_once(':') {
        None if name == TOPIC => Source::Topic,
        None if name == KEY => Source::Key,
        None | Some(("capture", _)) => {
            let name = name.strip_prefix("capture:").unwrap_or(name);
            // The alphabet of captures in a route's pattern.
            let legal = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(legal) {
                return Err(Kind::BadCaptureName);
            }
            Source::Capture(name.into())
        }
        Some(("field", pointer)) => {
            if !is_pointer(pointer) {
                return Err(Kind::BadPointer);
            }
            Source::Field(pointer.into())
        }
        Some(("header", "")) => return Err(Kind::NoHeaderName),
        Some(("header", name)) => Source::Header(name.into()),
        Some(("time", format)) => {
            let written = BrokenDownTime::from(Timestamp::UNIX_EPOCH).to_string(format);
            if format.is_empty() || written.is_err() {
                return Err(Kind::BadTimeFormat);
            }
            Source::Time(format.into())
        }
        Some(_) => return Err(Kind::UnknownKind),
    })
}
