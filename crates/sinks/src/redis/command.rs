//! A record as a command.
//!
//! Invariant: a record with an idempotency key is written and remembered in one step, or neither.

use std::time::Duration;

use redis::Cmd;
use tidemill_core::Record;

use super::config::{RedisConfig, RedisInto};
use crate::Escape;

/// Writes unless the key is remembered. A script runs alone and is persisted as a whole; a write that fails is not
/// remembered, also where the script itself does: it has no room for a command of many thousand words.
const ONCE: &str = "if not redis.call('SET',KEYS[1],1,'NX','PX',ARGV[1]) then return false end \
                    local ran,r=pcall(function() return redis.pcall(unpack(ARGV,2)) end) \
                    if not ran then r=redis.error_reply('ERR '..tostring(r)) end \
                    if type(r)=='table' and r.err then redis.call('DEL',KEYS[1]) end \
                    return r";

/// Words of a command, as a rule at most, and the bytes in them that are not the record's: they are asked for at once.
const WORDS: usize = 16;
const OTHER_BYTES: usize = 192;

/// The server adds it to its clock, and refuses what does not fit: a century is for ever. What is left of a millisecond
/// counts as one.
fn millis(lifetime: Duration) -> u64 {
    const CENTURY: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
    u64::try_from(lifetime.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).min(CENTURY)
}

/// # Errors
/// The record does not fit the key's template: why.
pub(super) fn of(config: &RedisConfig, record: &Record) -> Result<Cmd, String> {
    let key = config.key.render(record, Escape::None).map_err(|error| error.to_string())?;
    let remember = millis(config.remember);
    let mut command = Cmd::with_capacity(WORDS, record.size_bytes() + OTHER_BYTES);
    if let (Some(id), 1..) = (&record.idempotency_key, remember) {
        command.arg("EVAL").arg(ONCE).arg(2).arg(remembered(config, &key, id)).arg(&*key).arg(remember);
    }
    push_words(&mut command, config, key.as_bytes(), record);
    Ok(command)
}

/// The key that remembers: the same idempotency key in two streams is two records. With the length of the first part, so
/// that no two pairs read the same.
fn remembered(config: &RedisConfig, key: &str, id: &str) -> String {
    format!("{}{}:{key}:{id}", config.remember_prefix, key.len())
}

fn push_words(command: &mut Cmd, config: &RedisConfig, key: &[u8], record: &Record) {
    let mut push = |word: &[u8]| {
        command.arg(word);
    };
    match config.into {
        RedisInto::Stream { max_len } => {
            push(b"XADD");
            push(key);
            if max_len > 0 {
                push(b"MAXLEN");
                push(b"~");
                push(max_len.to_string().as_bytes());
            }
            push(b"*");
            push(b"payload");
            push(&record.payload);
            let topic = record.topic.as_ref().map(|topic| topic.as_str().as_bytes());
            let content_type = record.content_type.as_deref().map(str::as_bytes);
            let fields = [("key", record.key.as_deref()), ("topic", topic), ("content_type", content_type)];
            for (name, value) in fields {
                if let Some(value) = value {
                    push(name.as_bytes());
                    push(value);
                }
            }
            for (name, value) in &record.headers {
                push(format!("header:{name}").as_bytes());
                push(value.as_bytes());
            }
        }
        RedisInto::List => [b"RPUSH", key, &record.payload].into_iter().for_each(push),
        RedisInto::Channel => [b"PUBLISH", key, &record.payload].into_iter().for_each(push),
        RedisInto::Value { expires } => {
            [b"SET", key, &record.payload].into_iter().for_each(&mut push);
            if !expires.is_zero() {
                push(b"PX");
                push(millis(expires).to_string().as_bytes());
            }
        }
    }
}
