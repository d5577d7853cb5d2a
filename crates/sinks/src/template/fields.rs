//! The payload as JSON. Invariant: it is gone through at most once per record, however many fields are asked for, and only
//! members that are asked for become values: most of what a device sends is not.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde_json::Value;
use tidemill_core::Record;

use crate::scan;

/// A record whose payload is read as JSON when a field is first asked for.
#[derive(Debug)]
pub struct Fields<'r> {
    record: &'r Record,
    /// `None` inside when the payload is no JSON object.
    members: OnceLock<Option<Vec<Member<'r>>>>,
    /// `None` inside when the payload is no JSON.
    payload: OnceLock<Option<Value>>,
}

/// Whether a text is a JSON pointer as [`Fields::get`] takes it: empty, or begun with a slash.
pub(crate) fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// A member of the payload's object.
#[derive(Debug)]
struct Member<'r> {
    name: Cow<'r, str>,
    text: &'r str,
    /// `None` inside when it is more than a value can hold: a number out of range, half a surrogate pair, too deep.
    value: OnceLock<Option<Value>>,
}

impl<'r> Fields<'r> {
    /// A view of this record. Parses nothing yet.
    #[must_use]
    pub fn new(record: &'r Record) -> Self {
        Self { record, members: OnceLock::new(), payload: OnceLock::new() }
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &'r Record {
        self.record
    }

    /// The payload as JSON; `None` when it is none.
    #[must_use]
    pub fn payload(&self) -> Option<&Value> {
        self.payload.get_or_init(|| serde_json::from_slice(&self.record.payload).ok()).as_ref()
    }

    /// The value at this JSON pointer (RFC 6901; the empty pointer is the whole payload). The outer `None` says that the
    /// payload is not JSON, or nested deeper than 120 levels, the inner one that it has no such value.
    #[must_use]
    pub fn get(&self, pointer: &str) -> Option<Option<&Value>> {
        let (Some(members), Some(path)) = (self.members(), pointer.strip_prefix('/')) else {
            return self.payload().map(|payload| payload.pointer(pointer));
        };
        let (name, _) = path.split_once('/').unwrap_or((path, ""));
        let rest = &path[name.len()..];
        let name = match name.contains('~') {
            true => Cow::Owned(name.replace("~1", "/").replace("~0", "~")),
            false => Cow::Borrowed(name),
        };
        // Of a name that comes twice the last one counts.
        let Some(member) = members.iter().rev().find(|member| member.name == name) else { return Some(None) };
        let value = member.value.get_or_init(|| serde_json::from_str(member.text).ok());
        value.as_ref().map(|value| value.pointer(rest))
    }

    fn members(&self) -> Option<&[Member<'r>]> {
        let read = || {
            let text = std::str::from_utf8(&self.record.payload).ok()?;
            let mut members = Vec::with_capacity(8);
            scan::members(text, |name, text| {
                let name = match name.contains('\\') {
                    true => Cow::Owned(serde_json::from_str(name).ok()?),
                    false => Cow::Borrowed(&name[1..name.len() - 1]),
                };
                members.push(Member { name, text, value: OnceLock::new() });
                Some(())
            })?;
            Some(members)
        };
        self.members.get_or_init(read).as_deref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a/~\"\\\\é]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a01/~\"é]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn only_what_begins_with_a_slash_or_is_empty_points_anywhere() {
        let record = Record::new(r#"{"a":1}"#);
        let fields = Fields::new(&record);
        for (text, found) in [("", true), ("/a", true), ("a", false), ("a/a", false), (" /a", false), ("#/a", false)] {
            assert_eq!(is_pointer(text), found, "{text:?}");
            assert_eq!(fields.get(text).unwrap().is_some(), found, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_field_is_what_the_parsed_payload_has_at_its_pointer(
            payload in json(), pointers in prop::collection::vec("(/([a01é]|~0|~1|\"){0,2}){0,3}|[a/]{0,2}", 1..6),
        ) {
            let record = Record::new(payload.to_string());
            let fields = Fields::new(&record);
            for pointer in pointers {
                prop_assert_eq!(fields.get(&pointer), Some(payload.pointer(&pointer)), "{} in {}", pointer, payload);
            }
        }
    }

    #[test]
    fn of_a_name_that_comes_twice_the_last_one_counts() {
        let record = Record::new(r#"{"a":{"b":1},"a":2}"#);
        let fields = Fields::new(&record);
        assert_eq!(fields.get("/a"), Some(Some(&json!(2))));
        assert_eq!(fields.get("/a/b"), Some(None));
    }

    #[test]
    fn what_is_no_json_has_no_fields() {
        for payload in [&b"text"[..], b"{\"a\":1", b"{\"a\":1}x", b"{\"a\":1,}", b"{\"a\":1,\"b\":\"\xff\"}", b""] {
            assert_eq!(Fields::new(&Record::new(payload)).get("/a"), None, "{payload:?}");
        }
        assert_eq!(Fields::new(&Record::new(r#"{"a":1e999,"b":1}"#)).get("/a"), None);
    }
}
