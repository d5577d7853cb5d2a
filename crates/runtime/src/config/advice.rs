//! Words for a value that does not fit its key: what was given, and what to write instead.

use serde_json::Value as Json;
use toml::Value;

use super::keys::{Key, Kind, nearest};
use super::{ConfigProblem, Origin, units};

/// A value of the wrong type or form.
pub(super) fn misfit(key: &Key, value: &Value, origin: Option<Origin>) -> ConfigProblem {
    // An entry of a map may be a token.
    let hidden = key.secret || key.kind == Kind::Map;
    let why = format!("got {}", if hidden { type_name(value).to_owned() } else { describe(value) });
    let fix = if key.secret { "put it in quotes".to_owned() } else { fix(key, value, origin.as_ref()) };
    ConfigProblem::new(key.name(), why, fix).expecting(key.shape.clone()).at(origin)
}

/// A value where a section belongs. Its content is never repeated.
pub(super) fn not_a_section(name: &str, value: &Value, origin: Option<Origin>) -> ConfigProblem {
    let why = format!("got {}", type_name(value));
    ConfigProblem::new(name, why, format!("write the keys under [{name}]")).expecting("a section").at(origin)
}

/// An entry of a map that is no text. Its content is never repeated: it may be a token.
pub(super) fn not_a_text(name: &str, value: &Value, origin: Option<Origin>) -> ConfigProblem {
    ConfigProblem::new(name, format!("got {}", type_name(value)), "put it in quotes").expecting("a text").at(origin)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

fn describe(value: &Value) -> String {
    const SHOWN: usize = 80;
    match value {
        Value::String(text) => match text.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("the text {:?}...", &text[..at]),
            None => format!("the text {text:?}"),
        },
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(flag) => format!("{flag}"),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => type_name(value).to_owned(),
    }
}

/// The text of a value that is one word, as it would stand without quotes.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn fix(key: &Key, value: &Value, origin: Option<&Origin>) -> String {
    let Some(given) = scalar(value) else {
        return format!("write {} instead", key.shape);
    };
    // In a variable everything is text, and quotes would become a part of it.
    let quoted = |text: &str| match origin {
        Some(Origin::Variable(_)) => format!("write {text}"),
        _ => format!("write {text:?}"),
    };
    match &key.kind {
        Kind::Duration => match value {
            Value::Integer(0..) => quoted(&format!("{given}s")),
            Value::Float(number) if *number >= 0.0 => quoted(&format!("{given}s")),
            Value::Integer(_) | Value::Float(_) => "write a duration that is not negative".into(),
            _ => match units::parse_duration(&given) {
                Err(error) => error.fix,
                Ok(_) => quoted(&given),
            },
        },
        Kind::Bytes => match value {
            Value::Integer(0..) => "write a smaller number".into(),
            Value::String(_) => {
                units::parse_bytes(&given).map_or_else(|error| error.fix, |_| "write a smaller number".into())
            }
            _ => "write a whole number of bytes, or one with KiB, MiB or GiB".into(),
        },
        Kind::Choice(allowed) => choice(allowed, &given, quoted),
        Kind::Integer | Kind::NumberOrLimits => match (value, given.parse::<i64>()) {
            (Value::String(_), Ok(number)) => format!("write {number} without quotes"),
            (Value::Integer(_), _) => "write a number in that range".into(),
            _ => "write a whole number".into(),
        },
        Kind::Number => match given.parse::<f64>() {
            Ok(_) => format!("write {given} without quotes"),
            Err(_) => format!("write {}", key.shape),
        },
        Kind::Flag => match given.to_ascii_lowercase().as_str() {
            flag @ ("true" | "false") => format!("write {flag} in small letters and without quotes"),
            "yes" | "on" | "1" => "write true".into(),
            "no" | "off" | "0" => "write false".into(),
            _ => "write true or false".into(),
        },
        Kind::Text if matches!(value, Value::String(_)) => format!("write {}", key.shape),
        Kind::Text => quoted(&given),
        Kind::Map => format!("write {}", key.shape),
    }
}

fn choice(allowed: &[(Json, String)], given: &str, quoted: impl Fn(&str) -> String) -> String {
    let words: Vec<String> =
        allowed.iter().map(|(value, _)| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)).collect();
    let as_written = |at: usize| match &allowed[at].0 {
        Json::String(text) => quoted(text),
        number => format!("write {number} without quotes"),
    };
    let lower = given.to_lowercase().replace('-', "_");
    match words.iter().position(|word| *word == lower) {
        Some(at) => as_written(at),
        None => match nearest(&lower, words.iter().filter(|word| word.parse::<u8>().is_err()).cloned()) {
            Some(word) => format!("did you mean {word:?}?"),
            None => "write one of them".into(),
        },
    }
}
