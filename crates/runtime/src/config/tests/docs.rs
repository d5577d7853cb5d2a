//! The reference and the schema say what the code honours.

use std::path::Path;

use super::super::keys::{Kind, Section};
use super::super::{Config, reference, schema};

#[test]
fn the_reference_in_docs_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let generated = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == generated,
        "docs/configuration.md is out of date; run `UPDATE_DOCS=1 cargo test -p tidemill-runtime config`"
    );
}

#[test]
fn every_key_and_section_says_what_it_means() {
    let keys = Section::from_schema(&schema());
    for key in keys.keys() {
        assert!(key.meaning.ends_with('.'), "{} has no comment", key.name());
        assert!(!key.meaning.contains("[`"), "{}: links of rustdoc do not work in the reference", key.name());
        assert!(reference().contains(&format!("| `{}` | `{}` |", key.name(), key.variable())));
    }
    for section in keys.sections() {
        assert!(!section.meaning.is_empty(), "{:?} has no comment", section.path);
    }
}

#[test]
fn every_setting_of_a_sink_is_in_the_page_about_sinks() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sinks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let keys = Section::from_schema(&schema());
    for key in keys.keys().into_iter().filter(|key| key.path[0] == "sinks") {
        assert!(page.contains(&format!("`{}`", key.path[2])), "{}", key.name());
    }
}

#[test]
fn every_row_of_the_reference_has_five_cells() {
    let page = reference();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 60);
    for row in rows {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn the_example_in_the_reference_is_valid() {
    let page = reference();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    Config::from_toml(example).unwrap().validate().unwrap();
}

#[test]
fn keys_that_hold_secrets_are_known_as_such() {
    let keys = Section::from_schema(&schema());
    let secret: Vec<_> = keys.keys().into_iter().filter(|key| key.secret).map(super::super::keys::Key::name).collect();
    assert_eq!(secret, ["mqtt.password", "platform.token"]);
}

#[test]
fn every_key_of_the_serialised_defaults_is_in_the_schema() {
    fn walk(value: &toml::Table, section: &Section) {
        for (name, value) in value {
            match (&section.children[name], value) {
                (super::super::keys::Node::Section(section), toml::Value::Table(table)) => walk(table, section),
                (super::super::keys::Node::Key(key), toml::Value::Table(_)) => assert_eq!(key.kind, Kind::Map),
                (super::super::keys::Node::Key(_), _) => {}
                (super::super::keys::Node::Section(_), value) => panic!("{name} is a section, not {value}"),
            }
        }
    }
    walk(&toml::Table::try_from(Config::default()).unwrap(), &Section::from_schema(&schema()));
}

#[test]
fn the_schema_refuses_unknown_keys_everywhere() {
    fn walk(schema: &serde_json::Value) {
        if schema["properties"].is_object() {
            assert_eq!(schema["additionalProperties"], false, "{schema}");
        }
        match schema {
            serde_json::Value::Object(fields) => fields.values().for_each(walk),
            serde_json::Value::Array(items) => items.iter().for_each(walk),
            _ => {}
        }
    }
    let schema = schema();
    assert!(schema["properties"]["mqtt"]["properties"]["url"].is_object());
    walk(&schema);
}
