//! The reference of all keys and the JSON schema, generated from the types: neither can drift from what is honoured.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::keys::{ANY_NAME, Key, Kind, Section, dotted};
use super::{Config, SinkSettings, WillConfig};

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from crates/runtime/src/config. To change it, change the comments there and run
     `UPDATE_DOCS=1 cargo test -p tidemill-runtime config`. -->

Every key has a default, so an empty file is a valid configuration. Sources override each other in this order:

1. the defaults on this page,
2. a TOML file: the one that the variable `TIDEMILL_CONFIG` names, or else `tidemill.toml` in the working directory if
   there is one,
3. environment variables,
4. the code of the worker.

```toml
instances = 4

[mqtt]
url = \"mqtts://broker.example:8883\"
username = \"plant-7\"
password_file = \"/run/secrets/mqtt\"

[group]
name = \"thermostats\"
```

- **Variables** are `TIDEMILL_` and the key in capitals, with `__` between the levels: `mqtt.tls.ca_file` is
  `TIDEMILL_MQTT__TLS__CA_FILE`. Values stand there without quotes. A table is written as in TOML:
  `TIDEMILL_MQTT__USER_PROPERTIES={ site = \"hamburg\" }`.
- **Durations** have a unit: `250ms`, `5s`, `10m`, `1h 30m`. The longest is 365 days.
- **Sizes** are a number of bytes or have a unit: `4096`, `64KiB`, `1MiB`, `2GiB`.
- **Secrets** appear in no log and no error. Each has a `_file` variant for secrets that are mounted as files.
- **Mistakes** are all reported at once. An unknown key or variable is a mistake; only the variables that Kubernetes
  sets for a Service named `tidemill` are left alone.
";

/// JSON schema of the configuration file, for editors and charts.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Config>().to_value()
}

/// The reference of all keys as Markdown: the content of `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let keys = Section::from_schema(&schema());
    let mut defaults = Config::default();
    // Its keys have defaults as soon as one of them is set.
    defaults.mqtt.will = Some(WillConfig::default());
    defaults.sinks.insert(ANY_NAME.to_owned(), SinkSettings::default());
    let defaults = toml::Value::try_from(defaults).ok();
    let mut page = INTRODUCTION.to_owned();
    for section in keys.sections() {
        let title =
            if section.path.is_empty() { "Top level".to_owned() } else { format!("`[{}]`", dotted(&section.path)) };
        let _ = write!(page, "\n## {title}\n\n");
        if !section.path.is_empty() {
            let _ = writeln!(page, "{}", section.meaning);
        }
        let own: Vec<_> = section.keys().into_iter().filter(|key| key.path.len() == section.path.len() + 1).collect();
        if own.is_empty() {
            continue;
        }
        if !section.path.is_empty() {
            page.push('\n');
        }
        page.push_str("| key | variable | value | default | meaning |\n|---|---|---|---|---|\n");
        for key in own {
            let _ = writeln!(
                page,
                "| `{}` | `{}` | {} | {} | {} |",
                key.name(),
                key.variable(),
                cell(&value_text(key)),
                default_text(key, defaults.as_ref()),
                cell(&meaning_text(key)),
            );
        }
    }
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn value_text(key: &Key) -> String {
    match &key.kind {
        Kind::Choice(values) => {
            let values: Vec<_> = values.iter().map(|(value, _)| format!("`{value}`")).collect();
            values.join(" or ")
        }
        _ if key.secret => format!("{}, secret", key.shape),
        _ => key.shape.clone(),
    }
}

fn meaning_text(key: &Key) -> String {
    let mut text = key.meaning.clone();
    if let Kind::Choice(values) = &key.kind {
        for (value, meaning) in values.iter().filter(|(_, meaning)| !meaning.is_empty()) {
            let _ = write!(text, " `{value}`: {meaning}");
        }
    }
    text
}

fn default_text(key: &Key, defaults: Option<&toml::Value>) -> String {
    let found = defaults.and_then(|defaults| key.path.iter().try_fold(defaults, |value, part| value.get(part)));
    found.map_or_else(|| "unset".to_owned(), |value| format!("`{value}`"))
}
