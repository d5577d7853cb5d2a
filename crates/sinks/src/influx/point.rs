//! A record to a line.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::Value;
use tidemill_core::Record;

use super::config::{InfluxConfig, InfluxField, InfluxTime};
use super::line::{self, Unfit};
use crate::{Escape, Fields, Template};

/// Appends the line of a record, with its line break.
///
/// # Errors
/// Why the record is no point, without its content; what was appended then is to be cut off.
pub(super) fn push(config: &InfluxConfig, lines: &mut String, record: &Record) -> Result<(), String> {
    let fields = Fields::new(record);
    let mut text = String::new();
    render(&config.measurement, &mut text, &fields, "measurement")?;
    line::push_measurement(lines, &text).map_err(|unfit| because("measurement", unfit))?;
    for (name, template) in &config.tags {
        text.clear();
        render(template, &mut text, &fields, name)?;
        if text.is_empty() {
            continue;
        }
        lines.push(',');
        line::push_name(lines, name).map_err(|unfit| because(name, unfit))?;
        lines.push('=');
        line::push_name(lines, &text).map_err(|unfit| because(name, unfit))?;
    }
    let mut before = ' ';
    for (name, field) in &config.fields {
        let start = lines.len();
        lines.push(before);
        line::push_name(lines, name).map_err(|unfit| because(name, unfit))?;
        lines.push('=');
        if push_value(lines, field, &fields, name)? {
            before = ',';
        } else {
            lines.truncate(start);
        }
    }
    if before == ' ' {
        return Err("the record has a value for none of the fields".to_owned());
    }
    let time = time(&config.time, &fields)?.as_nanosecond().div_euclid(config.precision.nanoseconds());
    // Writing to a text does not fail.
    _ = writeln!(lines, " {time}");
    Ok(())
}

fn because(name: &str, unfit: Unfit) -> String {
    format!("{name} {}", unfit.reason())
}

fn render(template: &Template, text: &mut String, fields: &Fields<'_>, name: &str) -> Result<(), String> {
    template.render_into(text, fields, Escape::None).map_err(|error| format!("{name}: {error}"))
}

/// The value at a pointer; `None` when there is none.
fn at<'f>(fields: &'f Fields<'_>, pointer: &str, name: &str) -> Result<Option<&'f Value>, String> {
    let found = fields.get(pointer).ok_or_else(|| format!("{name}: payload is not JSON"))?;
    Ok(found.filter(|value| !value.is_null()))
}

/// Appends the value as line protocol writes it; `false` when there is none.
fn push_value(lines: &mut String, field: &InfluxField, fields: &Fields<'_>, name: &str) -> Result<bool, String> {
    // Writing to a text does not fail.
    match field {
        InfluxField::Field(pointer) => match at(fields, pointer, name)? {
            None => return Ok(false),
            Some(Value::Number(number)) => _ = write!(lines, "{number}"),
            Some(Value::Bool(truth)) => _ = write!(lines, "{truth}"),
            Some(Value::String(string)) => line::push_text(lines, string),
            Some(_) => return Err(format!("{name}: an array or object is no value of a field")),
        },
        InfluxField::Integer(pointer) => match at(fields, pointer, name)? {
            None => return Ok(false),
            Some(value) => {
                let number = value.as_i64().ok_or_else(|| format!("{name}: no whole number of 64 bits"))?;
                _ = write!(lines, "{number}i");
            }
        },
        InfluxField::Text(template) => {
            let mut rendered = String::new();
            render(template, &mut rendered, fields, name)?;
            line::push_text(lines, &rendered);
        }
        InfluxField::Payload => {
            let payload = std::str::from_utf8(&fields.record().payload);
            line::push_text(lines, payload.map_err(|_| format!("{name}: payload is not UTF-8"))?);
        }
    }
    Ok(true)
}

fn time(source: &InfluxTime, fields: &Fields<'_>) -> Result<Timestamp, String> {
    let pointed = |pointer: &str| {
        at(fields, pointer, "time")?.ok_or_else(|| format!("time: the payload has nothing at {pointer}"))
    };
    let number = |pointer: &str| {
        let whole = pointed(pointer)?.as_i64();
        whole.ok_or_else(|| format!("time: what the payload has at {pointer} is no whole number"))
    };
    let out_of_range = |_| "time is out of range".to_owned();
    let time = match source {
        InfluxTime::Record => {
            let time = fields.record().time.ok_or("the record has no time")?;
            Timestamp::try_from(time).map_err(out_of_range)?
        }
        InfluxTime::Rfc3339(pointer) => {
            let text = pointed(pointer)?.as_str().and_then(|text| text.parse().ok());
            text.ok_or_else(|| format!("time: what the payload has at {pointer} is no time with its zone"))?
        }
        InfluxTime::Seconds(pointer) => Timestamp::from_second(number(pointer)?).map_err(out_of_range)?,
        InfluxTime::Milliseconds(pointer) => Timestamp::from_millisecond(number(pointer)?).map_err(out_of_range)?,
    };
    // Servers count nanoseconds in 64 bits.
    i64::try_from(time.as_nanosecond()).map_err(|_| "time is out of range".to_owned())?;
    Ok(time)
}
