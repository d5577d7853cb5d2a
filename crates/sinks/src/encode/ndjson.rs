//! One record as one JSON object, see [`LineFormat::Ndjson`](crate::LineFormat::Ndjson).
//!
//! Written by hand instead of through `Serialize`, because a JSON payload is
//! copied as it is: its numbers and the order of its members stay what the device sent.

use std::io::{self, Write};
use std::str;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use tidemill_core::Record;

use super::json;
use crate::quote::push_string;
use crate::scan::is_portable;

/// Appends the object, without a line break at its end.
pub(super) fn push(line: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    line.push(b'{');
    if let Some(topic) = &record.topic {
        line.extend_from_slice(b"\"topic\":");
        push_string(line, topic.as_str());
        line.push(b',');
    }
    if let Some(key) = &record.key {
        line.extend_from_slice(b"\"key\":");
        match str::from_utf8(key) {
            Ok(text) => push_string(line, text),
            Err(_) => {
                push_base64(line, key)?;
                line.extend_from_slice(b",\"key_encoding\":\"base64\"");
            }
        }
        line.push(b',');
    }
    if let Some(key) = &record.idempotency_key {
        line.extend_from_slice(b"\"idempotency_key\":");
        push_string(line, key);
        line.push(b',');
    }
    if let Some(content_type) = &record.content_type {
        line.extend_from_slice(b"\"content_type\":");
        push_string(line, content_type);
        line.push(b',');
    }
    push_headers(line, &record.headers);
    push_payload(line, record)?;
    line.push(b'}');
    Ok(())
}

fn push_headers(line: &mut Vec<u8>, headers: &[(String, String)]) {
    let mut opening: &[u8] = b"\"headers\":[[";
    for (name, value) in headers {
        line.extend_from_slice(opening);
        push_string(line, name);
        line.push(b',');
        push_string(line, value);
        line.push(b']');
        opening = b",[";
    }
    if !headers.is_empty() {
        line.extend_from_slice(b"],");
    }
}

fn push_payload(line: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    let claims_json = record.content_type.as_deref().is_some_and(json::is_content_type);
    match str::from_utf8(&record.payload) {
        Ok(text) if claims_json && is_portable(text) => {
            line.extend_from_slice(b"\"payload\":");
            push_json(line, text);
            Ok(())
        }
        Ok(text) => {
            if claims_json {
                line.extend_from_slice(b"\"payload_encoding\":\"text\",");
            }
            line.extend_from_slice(b"\"payload\":");
            push_string(line, text);
            Ok(())
        }
        Err(_) => {
            line.extend_from_slice(b"\"payload_encoding\":\"base64\",\"payload\":");
            push_base64(line, &record.payload)
        }
    }
}

/// Copies valid JSON. A raw line break in it can only be white space between its tokens, so a blank says the same.
pub(super) fn push_json(line: &mut Vec<u8>, text: &str) {
    let start = line.len();
    line.extend_from_slice(text.as_bytes());
    let mut rest = &mut line[start..];
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        rest[at] = b' ';
        rest = &mut rest[at + 1..];
    }
}

fn push_base64(line: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    write!(line, "\"{}\"", Base64Display::new(bytes, &STANDARD))
}
