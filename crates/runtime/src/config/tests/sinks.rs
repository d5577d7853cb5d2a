//! Sections under names of the user's choice, and the rules about what stands in them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Config, SinkSettings, SinkStart};
use super::lines;

fn load(text: &str) -> SinkSettings {
    Config::from_toml(text).unwrap().sinks.remove("alerts").unwrap()
}

#[test]
fn a_section_sets_what_it_names_and_leaves_the_rest_at_the_defaults() {
    let settings = load("[sinks.alerts]\nlinger = \"20ms\"\nin_flight = 4\nstart = \"wait\"");
    let mut expected = SinkSettings::default();
    expected.linger = Duration::from_millis(20);
    expected.in_flight = 4;
    expected.start = SinkStart::Wait;
    assert_eq!(settings, expected);
}

#[test]
fn variables_reach_into_sections_and_make_them() {
    let variables = [("TIDEMILL_SINKS__ALERTS__LINGER", "5ms"), ("TIDEMILL_SINKS__RAW_DATA__IN_FLIGHT", "2")];
    let text = "[sinks.alerts]\nlinger = \"20ms\"\nin_flight = 4";
    let config = Config::loader().text(text).env(&variables).load().unwrap();
    let alerts = &config.sinks["alerts"];
    assert_eq!((alerts.linger, alerts.in_flight), (Duration::from_millis(5), 4));
    assert_eq!(config.sinks["raw_data"].in_flight, 2);
}

#[test]
fn mistakes_inside_a_section_are_named_with_its_name() {
    let text = "[sinks.alerts]\nlingr = \"20ms\"\nin_flight = \"many\"\nbreaker_after = \"2\"";
    assert_eq!(
        lines(Config::from_toml(text)),
        [
            "sinks.alerts.breaker_after (line 4): expected a duration such as \"30s\", got the text \"2\": add a unit, \
             as in 2s or 2ms",
            "sinks.alerts.in_flight (line 3): expected a whole number from 1 to 256, got the text \"many\": write a \
             whole number",
            "sinks.alerts.lingr (line 2): unknown key: did you mean sinks.alerts.linger?",
        ]
    );
    let text = "[sinks]\nalerts = 3";
    let expected = "sinks.alerts (line 2): expected a section, got a number: write the keys under [sinks.alerts]";
    assert_eq!(lines(Config::from_toml(text)), [expected]);
    let unknown = BTreeMap::from([("TIDEMILL_SINKS__ALERTS__LINGR".to_owned(), "5ms".to_owned())]);
    assert!(lines(Config::loader().env(&unknown).load())[0].starts_with("TIDEMILL_SINKS__ALERTS__LINGR: unknown"));
}

#[test]
fn every_broken_rule_is_reported_at_once() {
    let mut settings = SinkSettings::default();
    settings.max_batch_records = 0;
    settings.max_batch_bytes = 0;
    settings.queue_records = 0;
    settings.queue_bytes = u64::MAX;
    settings.in_flight = 257;
    settings.min_delay = Duration::from_secs(20);
    settings.probe_interval = Duration::ZERO;
    settings.burst = 5;
    settings.linger = Duration::from_secs(30);
    settings.write_timeout = Duration::MAX;
    let mut config = Config::default();
    config.sinks.insert("alerts".into(), settings);
    let errors = config.validate().unwrap_err();
    let found: Vec<_> = errors.problems().iter().map(super::super::ConfigProblem::key).collect();
    let broken = [
        "burst",
        "in_flight",
        "linger",
        "max_batch_bytes",
        "max_batch_records",
        "min_delay",
        "probe_interval",
        "queue_bytes",
        "queue_records",
        "write_timeout",
    ];
    assert_eq!(found, broken.map(|field| format!("sinks.alerts.{field}")));
}
