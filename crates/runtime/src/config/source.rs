//! What the user gave: one table merged from a file and the environment, in which every value fits its key.
//!
//! INVARIANT: a value stands in the table only after it was deserialised alone into the whole tree. So one wrong value
//! never hides another, and the merged table always deserialises.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::keys::{Key, Kind, Node, PREFIX, Section, dotted, nearest};
use super::{Config, ConfigProblem, Origin, advice};

type Lines = BTreeMap<Vec<String>, usize>;

/// Values that fit, where they came from, and what is wrong with the others.
#[derive(Debug)]
pub(super) struct Sources<'k> {
    keys: &'k Section,
    table: Table,
    pub(super) places: Places,
    pub(super) problems: Vec<ConfigProblem>,
}

/// Where values were given, by key.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<String, Origin>);

impl Places {
    /// Where the value of a key was given, or the nearest section around it.
    pub(super) fn of(&self, key: &str) -> Option<&Origin> {
        let mut name = key;
        loop {
            if let Some(origin) = self.0.get(name) {
                return Some(origin);
            }
            name = name.rsplit_once('.')?.0;
        }
    }
}

impl<'k> Sources<'k> {
    pub(super) fn new(keys: &'k Section) -> Self {
        Self { keys, table: Table::new(), places: Places::default(), problems: Vec::new() }
    }

    /// Takes TOML text in; `file` is where it was read from.
    pub(super) fn add_toml(&mut self, text: &str, file: Option<&Path>) {
        let (parsed, errors) = DeTable::parse_recoverable(text);
        let origin = |line| Origin::Line { file: file.map(Path::to_owned), line };
        for error in &errors {
            // The error's own `Display` repeats the line, which may hold a password; its message does not.
            let line = error.span().map(|span| line_of(text, span.start));
            let name = file.map_or_else(|| "TOML".to_owned(), |file| file.display().to_string());
            let place = line.map_or_else(String::new, |line| format!("line {line}: "));
            let why = format!("{place}{}", error.message().replace('\n', ", "));
            self.problems.push(ConfigProblem::new(name, why, "correct the syntax; see https://toml.io"));
        }
        let mut lines = Lines::new();
        collect_lines(text, parsed.get_ref(), &mut Vec::new(), &mut lines);
        if !errors.is_empty() {
            return;
        }
        let Ok(mut table) = text.parse::<Table>() else {
            self.problems.push(ConfigProblem::new("TOML", "it cannot be read", "correct the syntax"));
            return;
        };
        let keys = self.keys;
        Check { lines: &lines, origin: &origin, sources: self }.section(keys, &mut table);
        self.table = table;
    }

    /// Takes environment variables in. They override what is there.
    pub(super) fn add_variables(&mut self, variables: &[(String, OsString)]) {
        let keys: BTreeMap<String, &Key> = self.keys.keys().into_iter().map(|key| (key.variable(), key)).collect();
        for (name, value) in variables {
            let origin = Origin::Variable(name.clone());
            let named = || keys.values().find_map(|key| key.named_by(name));
            let Some(key) = keys.get(name).map(|key| (*key).clone()).or_else(named) else {
                if !is_service_link(name, &value.to_string_lossy()) {
                    self.problems.push(unknown_variable(name, &keys));
                }
                continue;
            };
            let Some(text) = value.to_str() else {
                let problem = ConfigProblem::new(key.name(), "it is not UTF-8", "write the value as UTF-8 text");
                self.problems.push(problem.at(Some(origin)));
                continue;
            };
            let value = from_text(&key, text);
            if fits(&key.path, &value) {
                let entries = format!("{}.", key.name());
                self.places.0.retain(|name, _| !name.starts_with(&entries));
                self.places.0.insert(key.name(), origin);
                insert(&mut self.table, &key.path, value);
            } else {
                self.problems.push(advice::misfit(&key, &value, Some(origin)));
            }
        }
    }

    /// The defaults with everything that was given and fits.
    pub(super) fn config(&mut self) -> Config {
        Config::deserialize(std::mem::take(&mut self.table)).unwrap_or_else(|_| {
            // Unreachable while the invariant above holds. No text of the cause: it may repeat a value.
            let why = "its values do not fit together";
            self.problems.push(ConfigProblem::new("configuration", why, "compare it with docs/configuration.md"));
            Config::default()
        })
    }
}

/// Walks a user's table along the known keys, takes out what does not fit and notes where the rest came from.
struct Check<'a, 'k> {
    lines: &'a Lines,
    origin: &'a dyn Fn(usize) -> Origin,
    sources: &'a mut Sources<'k>,
}

impl Check<'_, '_> {
    fn section(&mut self, section: &Section, table: &mut Table) {
        table.retain(|name, value| {
            let mut path = section.path.clone();
            path.push(name.to_owned());
            let origin = self.lines.get(&path).map(|line| (self.origin)(*line));
            let own = section.each.as_ref().map(|each| Node::Section(each.named(name)));
            match (section.children.get(name).or(own.as_ref()), value) {
                (None, _) => {
                    let fix = section.suggest(self.sources.keys, name);
                    self.sources.problems.push(ConfigProblem::new(dotted(&path), "unknown key", fix).at(origin));
                    false
                }
                (Some(Node::Section(section)), Value::Table(table)) => {
                    self.note(&path, origin);
                    self.section(section, table);
                    true
                }
                (Some(Node::Section(_)), value) => {
                    self.sources.problems.push(advice::not_a_section(&dotted(&path), value, origin));
                    false
                }
                (Some(Node::Key(Key { kind: Kind::Map, .. })), Value::Table(entries)) => {
                    self.entries(&path, entries);
                    true
                }
                (Some(Node::Key(key)), value) => {
                    let fits = fits(&path, value);
                    if fits {
                        self.note(&path, origin);
                    } else {
                        self.sources.problems.push(advice::misfit(key, value, origin));
                    }
                    fits
                }
            }
        });
    }

    fn entries(&mut self, map: &[String], entries: &mut Table) {
        entries.retain(|name, value| {
            let mut path = map.to_vec();
            path.push(name.to_owned());
            let origin = self.lines.get(&path).map(|line| (self.origin)(*line));
            let fits = value.is_str();
            if fits {
                self.note(&path, origin);
            } else {
                self.sources.problems.push(advice::not_a_text(&dotted(&path), value, origin));
            }
            fits
        });
    }

    fn note(&mut self, path: &[String], origin: Option<Origin>) {
        if let Some(origin) = origin {
            self.sources.places.0.insert(dotted(path), origin);
        }
    }
}

/// Whether a value alone can be deserialised into the tree.
fn fits(path: &[String], value: &Value) -> bool {
    let mut table = Table::new();
    insert(&mut table, path, value.clone());
    Config::deserialize(table).is_ok()
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    let Some((last, sections)) = path.split_last() else { return };
    let mut table = table;
    for section in sections {
        let entry = table.entry(section.as_str()).or_insert_with(|| Value::Table(Table::new()));
        // What is no table at the place of a section was taken out by the check.
        let Value::Table(below) = entry else { return };
        table = below;
    }
    table.insert(last.clone(), value);
}

/// The text of a variable as a value of the key's kind, or as text where it cannot be one.
fn from_text(key: &Key, text: &str) -> Value {
    let integer = || text.trim().parse().ok().map(Value::Integer);
    let table = || format!("it = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("it"));
    let value = match &key.kind {
        Kind::Integer | Kind::Bytes => integer(),
        Kind::Choice(allowed) if allowed.iter().all(|(value, _)| value.is_number()) => integer(),
        Kind::Number => text.trim().parse().ok().map(Value::Float),
        Kind::Flag => text.trim().parse().ok().map(Value::Boolean),
        Kind::Map => table(),
        Kind::NumberOrLimits => integer().or_else(table),
        Kind::Text | Kind::Duration | Kind::Choice(_) => None,
    };
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn unknown_variable(name: &str, keys: &BTreeMap<String, &Key>) -> ConfigProblem {
    let map = keys.iter().find(|(variable, key)| key.kind == Kind::Map && name.starts_with(&format!("{variable}__")));
    let fix = match map {
        Some((variable, _)) => format!("set {variable} to all entries, as in {{ site = \"hamburg\" }}"),
        None => match nearest(&name.to_ascii_uppercase(), keys.keys().cloned()) {
            Some(variable) => format!("did you mean {variable}?"),
            None => "unset it; docs/configuration.md lists the known ones".into(),
        },
    };
    ConfigProblem::new(dotted(&[name.to_owned()]), "unknown variable", fix).at(Some(Origin::Variable(name.to_owned())))
}

/// Whether Kubernetes set this variable: for a Service named `tidemill` or `tidemill-...` it gives every pod of the
/// namespace `TIDEMILL_SERVICE_HOST`, `TIDEMILL_PORT=tcp://...`, `TIDEMILL_PORT_9464_TCP_ADDR` and more.
fn is_service_link(name: &str, value: &str) -> bool {
    // The underscore in front lets the Service's own name be empty behind the prefix.
    let rest = name.strip_prefix(PREFIX).map_or_else(|| name.to_owned(), |rest| format!("_{rest}"));
    if rest.contains("__") {
        return false;
    }
    let numbered = rest.rsplit_once("_PORT_").is_some_and(|(_, port)| {
        let parts: Vec<_> = port.split('_').collect();
        parts[0].parse::<u16>().is_ok()
            && parts.get(1).is_some_and(|protocol| matches!(*protocol, "TCP" | "UDP" | "SCTP"))
            && parts.get(2).is_none_or(|what| matches!(*what, "PROTO" | "PORT" | "ADDR"))
            && parts.len() <= 3
    });
    numbered
        || rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || rest.ends_with("_PORT") && value.contains("://")
}

fn collect_lines(text: &str, table: &DeTable<'_>, path: &mut Vec<String>, lines: &mut Lines) {
    for (name, value) in table {
        path.push(name.get_ref().to_string());
        lines.insert(path.clone(), line_of(text, name.span().start));
        if let DeValue::Table(table) = value.get_ref() {
            collect_lines(text, table, path, lines);
        }
        path.pop();
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
