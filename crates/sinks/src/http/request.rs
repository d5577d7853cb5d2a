//! Records to requests.
//!
//! Invariant: the same records give the same idempotency key, and what a record says stays within a header's value or a
//! part of the URL.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Url};
use ring::hmac;
use tidemill_core::{Record, Rejection, SinkError};

use super::config::{HttpBody, HttpConfig, HttpMethod};
use super::error::misconfigured;
use super::setup::{Setup, header_name};
use crate::digest::{BatchKey, hex};
use crate::encode;
use crate::http_client::gzip;
use crate::{Escape, Fields};

/// A request for one record.
///
/// # Errors
/// The record does not fit: why.
pub(super) fn single(config: &HttpConfig, setup: &Setup, record: &Record) -> Result<Request, String> {
    let fields = Fields::new(record);
    let mut url = String::new();
    config.url.render_into(&mut url, &fields, Escape::UrlPathSegment).map_err(|error| error.to_string())?;
    let url = Url::parse(&url).map_err(|error| format!("the rendered URL is none: {error}"))?;
    let mut headers = HeaderMap::new();
    let content_type = match (config.envelope, &record.content_type) {
        (true, _) => "application/json",
        (false, Some(content_type)) => content_type,
        (false, None) => "application/octet-stream",
    };
    headers.insert(CONTENT_TYPE, value("content-type", content_type)?);
    for (name, template) in config.headers.iter() {
        let mut text = String::new();
        template.render_into(&mut text, &fields, Escape::None).map_err(|error| error.to_string())?;
        headers.insert(header_name(name).map_err(|error| error.to_string())?, value(name, &text)?);
    }
    let body = if config.envelope {
        let mut body = Vec::new();
        encode::push_envelope(&mut body, record)?;
        body.into()
    } else {
        record.payload.clone()
    };
    build(config, setup, url, headers, body, record.idempotency_key.clone())
}

/// One request for a batch, and the records that cannot be in it. No request when none can.
pub(super) fn batch(
    config: &HttpConfig,
    setup: &Setup,
    batch: &[Record],
) -> Result<(Option<Request>, Vec<Rejection>), SinkError> {
    let array = config.body == HttpBody::JsonArray;
    let mut rejections = Vec::new();
    let mut body = Vec::new();
    let mut keys = BatchKey::new();
    let mut any = false;
    for (index, record) in batch.iter().enumerate() {
        let whole = body.len();
        if array {
            body.push(if any { b',' } else { b'[' });
        }
        let pushed = match config.envelope {
            true => encode::push_envelope(&mut body, record),
            false => encode::push_json(&mut body, &record.payload),
        };
        if let Err(reason) = pushed {
            body.truncate(whole);
            rejections.push(Rejection { index, reason });
            continue;
        }
        any = true;
        if !array {
            body.push(b'\n');
        }
        keys.add(record);
    }
    if !any {
        return Ok((None, rejections));
    }
    if array {
        body.push(b']');
    }
    let url = Url::parse(config.url.literal_prefix()).map_err(misconfigured)?;
    let mut headers = HeaderMap::new();
    let content_type = if array { "application/json" } else { "application/x-ndjson" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, template) in config.headers.iter() {
        headers.insert(header_name(name)?, value(name, template.literal_prefix()).map_err(misconfigured)?);
    }
    let key = keys.finish();
    Ok((Some(build(config, setup, url, headers, body.into(), key).map_err(misconfigured)?), rejections))
}

fn build(
    config: &HttpConfig,
    setup: &Setup,
    url: Url,
    mut headers: HeaderMap,
    body: Bytes,
    idempotency_key: Option<String>,
) -> Result<Request, String> {
    headers.extend(setup.headers.clone());
    if let Some(key) = idempotency_key.filter(|_| !config.idempotency_header.is_empty()) {
        insert(&mut headers, &config.idempotency_header, &key)?;
    }
    if let (Some(signature), Some(key)) = (&config.signature, &setup.signing_key) {
        insert(&mut headers, &signature.header, &sign(key, &body, SystemTime::now()))?;
    }
    let body = if config.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        gzip(&body).map_err(|error| error.to_string())?.into()
    } else {
        body
    };
    let method = match config.method {
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
    };
    let mut request = Request::new(method, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    Ok(request)
}

fn insert(headers: &mut HeaderMap, name: &str, text: &str) -> Result<(), String> {
    headers.insert(header_name(name).map_err(|error| error.to_string())?, value(name, text)?);
    Ok(())
}

/// A value as UTF-8; line breaks and other control characters are refused.
fn value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .or_else(|_| HeaderValue::from_bytes(text.as_bytes()))
        .map_err(|_| format!("the value of header {name} has a character that HTTP does not allow"))
}

/// `t=<Unix time>,v1=<hex>`.
pub(super) fn sign(key: &hmac::Key, body: &[u8], now: SystemTime) -> String {
    let time = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{time}.").as_bytes());
    context.update(body);
    format!("t={time},v1={}", hex(context.sign().as_ref()))
}
