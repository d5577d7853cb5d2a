//! The known keys: a tree read from the schema, so that it cannot differ from what is deserialised.
//!
//! The schema is the source because the serialised defaults lack the keys that are unset.

use std::collections::BTreeMap;

use serde_json::Value;

/// What every environment variable of this configuration starts with.
pub(super) const PREFIX: &str = "TIDEMILL_";

/// Stands in paths for a name of the user's choice.
pub(super) const ANY_NAME: &str = "<name>";

/// What a value of a key is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Text,
    Flag,
    Integer,
    /// A number that need not be whole.
    Number,
    Duration,
    Bytes,
    /// A number, or a table of limits.
    NumberOrLimits,
    /// One of these, as TOML literals with what each means.
    Choice(Vec<(Value, String)>),
    /// Texts under names of the user's choice.
    Map,
}

/// A key that holds a value.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) path: Vec<String>,
    pub(super) kind: Kind,
    /// What a value looks like, as words.
    pub(super) shape: String,
    pub(super) meaning: String,
    /// Whether the value must not be repeated.
    pub(super) secret: bool,
}

impl Key {
    /// This key in the section that a variable of this name means, where it stands in sections of the user's choice.
    pub(super) fn named_by(&self, variable: &str) -> Option<Self> {
        let form = self.variable();
        let (before, after) = form.split_once(&ANY_NAME.to_ascii_uppercase())?;
        let name = variable.strip_prefix(before)?.strip_suffix(after)?;
        (!name.is_empty() && !name.contains("__")).then(|| {
            let mut key = self.clone();
            rename(&mut key.path, &name.to_ascii_lowercase());
            key
        })
    }

    /// `mqtt.keep_alive`.
    pub(super) fn name(&self) -> String {
        dotted(&self.path)
    }

    /// `TIDEMILL_MQTT__KEEP_ALIVE`.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.path.join("__").to_ascii_uppercase())
    }
}

/// A section: a table of keys and further sections.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) path: Vec<String>,
    pub(super) meaning: String,
    pub(super) children: BTreeMap<String, Node>,
    /// What sections under names of the user's choice look like, with [`ANY_NAME`] in their paths.
    pub(super) each: Option<Box<Section>>,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Key(Key),
    Section(Section),
}

impl Section {
    /// The tree that a schema describes. Subschemas must be inline.
    pub(super) fn from_schema(schema: &Value) -> Self {
        section(&[], schema, schema)
    }

    /// All keys, those of sections after those of their parent, each in the order of the alphabet.
    pub(super) fn keys(&self) -> Vec<&Key> {
        let own = self.children.values().filter_map(|node| match node {
            Node::Key(key) => Some(key),
            Node::Section(_) => None,
        });
        let below = self.children.values().flat_map(|node| match node {
            Node::Key(_) => Vec::new(),
            Node::Section(section) => section.keys(),
        });
        own.chain(below).chain(self.each.iter().flat_map(|each| each.keys())).collect()
    }

    /// The section of this name that has the form of this one, the form of all.
    pub(super) fn named(&self, name: &str) -> Self {
        let mut section = self.clone();
        section.rename(name);
        section
    }

    fn rename(&mut self, name: &str) {
        rename(&mut self.path, name);
        for node in self.children.values_mut() {
            match node {
                Node::Key(key) => rename(&mut key.path, name),
                Node::Section(section) => section.rename(name),
            }
        }
    }

    /// All sections, this one first.
    pub(super) fn sections(&self) -> Vec<&Section> {
        let below = self.children.values().flat_map(|node| match node {
            Node::Key(_) => Vec::new(),
            Node::Section(section) => section.sections(),
        });
        let each = self.each.iter().flat_map(|each| each.sections());
        std::iter::once(self).chain(below).chain(each).collect()
    }

    /// What to write instead of an unknown key of this section, or which keys there are.
    pub(super) fn suggest(&self, root: &Self, unknown: &str) -> String {
        let mut path = self.path.clone();
        path.push(unknown.to_owned());
        let written = dotted(&path);
        let own = || self.keys().into_iter().map(|key| &key.path);
        let names = || {
            own()
                .chain(root.keys().into_iter().map(|key| &key.path))
                .chain(root.sections().into_iter().map(|s| &s.path))
        };
        // A key under the wrong section is the likelier mistake: its name is right to the letter.
        let moved = names().find(|path| path.last().is_some_and(|last| last == unknown)).map(|path| dotted(path));
        match moved.or_else(|| nearest(&written, names().map(|path| dotted(path)))) {
            Some(name) => format!("did you mean {name}?"),
            None => {
                let known: Vec<_> = self.children.keys().map(String::as_str).collect();
                format!("remove it; the keys here are {}", known.join(", "))
            }
        }
    }
}

/// The candidate that `written` was probably meant to be.
pub(crate) fn nearest(written: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let limit = (written.chars().count() / 4).max(1);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(written, &candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A path as it is written in TOML; parts that no bare key allows are quoted.
pub(super) fn dotted(path: &[String]) -> String {
    let bare = |part: &str| {
        part == ANY_NAME
            || !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let parts: Vec<_> = path.iter().map(|part| if bare(part) { part.clone() } else { format!("{part:?}") }).collect();
    parts.join(".")
}

fn rename(path: &mut [String], name: &str) {
    for part in path.iter_mut().filter(|part| *part == ANY_NAME) {
        name.clone_into(part);
    }
}

fn section(path: &[String], field: &Value, schema: &Value) -> Section {
    let properties = schema["properties"].as_object();
    let children = properties.into_iter().flatten().map(|(name, field)| {
        let mut path = path.to_vec();
        path.push(name.clone());
        (name.clone(), node(&path, field))
    });
    let form = &schema["additionalProperties"];
    let each = form["properties"].is_object().then(|| {
        let mut path = path.to_vec();
        path.push(ANY_NAME.to_owned());
        Box::new(section(&path, form, form))
    });
    Section { path: path.to_vec(), meaning: meaning(field), children: children.collect(), each }
}

fn node(path: &[String], field: &Value) -> Node {
    // An optional value is the value or null.
    let variants = field["anyOf"].as_array().into_iter().flatten();
    let schema = variants.into_iter().find(|variant| variant["type"] != "null").unwrap_or(field);
    // What has a shape of its own is one value, even where that may be a table.
    let is_section = schema["properties"].is_object() || schema["additionalProperties"]["properties"].is_object();
    if is_section && schema["x-shape"].is_null() {
        return Node::Section(section(path, field, schema));
    }
    let kind = kind(schema);
    let shape = match (schema["x-shape"].as_str(), &kind) {
        (Some(shape), _) => shape.to_owned(),
        (None, kind) => shape(kind, schema),
    };
    let secret = schema["writeOnly"] == true;
    Node::Key(Key { path: path.to_vec(), kind, shape, meaning: meaning(field), secret })
}

fn kind(schema: &Value) -> Kind {
    let is = |name: &str| match &schema["type"] {
        Value::String(only) => only == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    };
    if let Some(variants) = schema["oneOf"].as_array() {
        return Kind::Choice(variants.iter().map(|variant| (variant["const"].clone(), meaning(variant))).collect());
    }
    if let Some(values) = schema["enum"].as_array() {
        return Kind::Choice(values.iter().map(|value| (value.clone(), String::new())).collect());
    }
    match schema["format"].as_str() {
        Some("duration-with-unit") => return Kind::Duration,
        Some("bytes") => return Kind::Bytes,
        Some("number-or-limits") => return Kind::NumberOrLimits,
        _ => {}
    }
    if is("boolean") {
        Kind::Flag
    } else if is("integer") {
        Kind::Integer
    } else if is("number") {
        Kind::Number
    } else if is("object") {
        Kind::Map
    } else {
        Kind::Text
    }
}

fn shape(kind: &Kind, schema: &Value) -> String {
    match kind {
        Kind::Flag => "true or false".into(),
        Kind::Number => "a number such as 0.5".into(),
        Kind::Integer => {
            let min = schema["minimum"].as_i64().unwrap_or_default();
            let max = schema["maximum"].as_i64().or(match schema["format"].as_str() {
                Some("uint32") => Some(i64::from(u32::MAX)),
                _ => None,
            });
            max.map_or_else(
                || format!("a whole number from {min}"),
                |max| format!("a whole number from {min} to {max}"),
            )
        }
        Kind::Choice(values) => {
            let mut values: Vec<_> = values.iter().map(|(value, _)| value.to_string()).collect();
            let last = values.pop().unwrap_or_default();
            if values.is_empty() { last } else { format!("{} or {last}", values.join(", ")) }
        }
        Kind::Map => r#"a table of texts such as { site = "hamburg" }"#.into(),
        Kind::Text if schema["type"] == "array" => r#"a list of texts such as ["one", "two"]"#.into(),
        Kind::Duration | Kind::Bytes | Kind::NumberOrLimits | Kind::Text => "a text".into(),
    }
}

fn meaning(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
