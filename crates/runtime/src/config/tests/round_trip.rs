//! Writing and reading again gives the same, for values, units and the whole tree.

use std::time::Duration;

use proptest::prelude::*;

use super::super::units::{format_bytes, format_duration, parse_bytes, parse_duration};
use super::super::{Config, Instances, LogFormat, MqttVersion, Order, Overflow, WillConfig};
use super::lines;

#[test]
fn the_defaults_survive_toml() {
    let text = toml::to_string(&Config::default()).unwrap();
    assert_eq!(Config::from_toml(&text).unwrap(), Config::default());
}

#[test]
fn durations_are_read_with_their_unit() {
    for (text, nanos) in [
        ("0s", 0),
        ("1ns", 1),
        ("2us", 2_000),
        ("250ms", 250_000_000),
        ("1.5s", 1_500_000_000),
        (" 30s ", 30_000_000_000),
        ("2m", 120_000_000_000),
        ("2 min", 120_000_000_000),
        ("1h 30m", 5_400_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1d", 86_400_000_000_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
    }
}

#[test]
fn durations_without_a_clear_unit_are_refused_with_the_way_out() {
    for (text, fix) in [
        ("30", "add a unit, as in 30s or 30ms"),
        ("0", "add a unit, as in 0s or 0ms"),
        ("1.5", "add a unit, as in 1.5s or 1.5ms"),
        ("5M", "write minutes as m"),
        ("5M 3s", "write minutes as m"),
        ("", "write a number and one of the units"),
        ("s", "write a number and one of the units"),
        ("-5s", "write a number and one of the units"),
        ("5 parsecs", "write a number and one of the units"),
        ("99999999999999999999s", "write a smaller or a rounder number"),
        ("0.1ns", "write a smaller or a rounder number"),
        ("18446744073709551615s 1000ms", "write a smaller or a rounder number"),
        ("NaN", "write a number and one of the units"),
        ("inf", "write a number and one of the units"),
    ] {
        let error = parse_duration(text).unwrap_err();
        assert!(error.fix.starts_with(fix), "{text}: {error}");
    }
}

#[test]
fn sizes_are_read_with_and_without_unit() {
    for (text, bytes) in [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("64KiB", 65_536),
        ("64 kib", 65_536),
        ("64Ki", 65_536),
        ("1MiB", 1 << 20),
        ("3Gi", 3 << 30),
        ("18446744073709551615", u64::MAX),
    ] {
        assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
    }
}

#[test]
fn sizes_that_two_people_read_differently_are_refused_with_the_way_out() {
    for (text, fix) in [
        ("64KB", "write a whole number of bytes"),
        ("64k", "write a whole number of bytes"),
        ("1M", "write a whole number of bytes"),
        ("", "write a whole number of bytes"),
        ("KiB", "write a whole number of bytes"),
        ("-1", "write a whole number of bytes"),
        ("1.5MiB", "write a whole number, with a smaller unit"),
        ("18446744073709551616", "write a smaller number"),
        ("17179869184GiB", "write a smaller number"),
    ] {
        let error = parse_bytes(text).unwrap_err();
        assert!(error.fix.starts_with(fix), "{text}: {error}");
    }
}

#[test]
fn sizes_beyond_their_field_are_refused() {
    let found = lines(Config::from_toml("[mqtt]\nmax_packet_bytes = '4GiB'"));
    let expected = r#"mqtt.max_packet_bytes (line 2): expected a size such as "64KiB", got the text "4GiB": write a smaller number"#;
    assert_eq!(found, [expected]);
    let negative = lines(Config::from_toml("[mqtt]\nmax_packet_bytes = -1"));
    assert!(negative[0].ends_with("got the number -1: write a whole number of bytes, or one with KiB, MiB or GiB"));
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..100_000_000_000_u64, 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
        (0..100_000_u64).prop_map(Duration::from_millis),
        (0..100_000_u64).prop_map(Duration::from_secs),
        (0..10_000_u64).prop_map(|minutes| Duration::from_secs(minutes * 60)),
    ]
}

prop_compose! {
    fn config()(
        (instances, broadcast, window, concurrency) in any::<(u32, bool, u16, u32)>(),
        (packet, unfinished) in any::<(u32, u64)>(),
        durations in prop::collection::vec(duration(), 8),
        timeout in prop::option::of(duration()),
        (username, name) in any::<(Option<String>, Option<String>)>(),
        properties in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        will in prop::option::of(any::<(String, String, bool)>()),
        ca_file in prop::option::of("[a-z/ \"]{1,9}"),
        port in any::<u16>(),
        [version, order, overflow, text_log] in any::<[bool; 4]>(),
    ) -> Config {
        let mut config = Config::default();
        config.instances = match broadcast {
            true => instances.into(),
            false => Instances::Elastic { min: instances, max: u32::from(window) },
        };
        config.broadcast = broadcast;
        config.mqtt.version = if version { MqttVersion::V5 } else { MqttVersion::V3_1_1 };
        config.mqtt.window = window;
        config.mqtt.max_packet_bytes = packet;
        config.mqtt.max_unfinished_bytes = unfinished;
        config.mqtt.keep_alive = durations[0];
        config.mqtt.connect_timeout = durations[1];
        config.mqtt.ping_timeout = durations[2];
        config.mqtt.session_expiry = durations[3];
        config.mqtt.reconnect.min = durations[4];
        config.mqtt.username = username;
        config.mqtt.user_properties = properties;
        config.mqtt.will =
            will.map(|(topic, payload, retain)| WillConfig { topic, payload, retain, ..WillConfig::default() });
        config.mqtt.tls.ca_file = ca_file.map(Into::into);
        config.group.name = name;
        config.dispatch.concurrency = concurrency;
        config.dispatch.order = if order { Order::Keyed } else { Order::Unordered };
        config.dispatch.qos0_overflow = if overflow { Overflow::Block } else { Overflow::DropNewest };
        config.dispatch.timeout = timeout;
        config.retry.max_elapsed = durations[5];
        config.retry.max_delay = durations[6];
        config.drain.deadline = durations[7];
        config.admin.listen.set_port(port);
        config.log.format = if text_log { LogFormat::Text } else { LogFormat::Auto };
        config
    }
}

proptest! {
    #[test]
    fn durations_survive_their_text(duration in duration()) {
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    #[test]
    fn sizes_survive_their_text(bytes in any::<u64>(), unit in 0_u32..4) {
        let rounded = (bytes >> (10 * unit)) << (10 * unit);
        for bytes in [bytes, rounded, bytes % 5000] {
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn no_text_makes_the_parsers_of_units_panic(text in "[0-9smhdMyGKiB. ]{0,40}|\\PC{0,20}") {
        let _ = parse_duration(&text);
        let _ = parse_bytes(&text);
    }

    #[test]
    fn any_tree_survives_toml_and_json(config in config()) {
        let text = toml::to_string(&config).unwrap();
        prop_assert_eq!(&toml::from_str::<Config>(&text).unwrap(), &config);
        let text = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Config>(&text).unwrap(), &config);
    }

    #[test]
    fn a_tree_that_follows_the_rules_about_single_keys_is_loaded_from_its_text(config in config()) {
        let text = toml::to_string(&config).unwrap();
        match Config::from_toml(&text) {
            Ok(loaded) => prop_assert_eq!(loaded, config),
            Err(loading) => {
                let broken = config.validate().unwrap_err();
                for problem in loading.problems() {
                    prop_assert!(problem.expected().is_none(), "every value fits its key: {}", problem);
                    prop_assert!(broken.problems().iter().any(|rule| rule.key() == problem.key()), "{}", problem);
                }
            }
        }
    }

    #[test]
    fn loading_never_panics_and_always_explains(text in "\\PC{0,60}|(mqtt\\.|admin\\.)?[a-z_]{1,9} = [0-9\"'a-z\\[{}]{1,9}") {
        if let Err(errors) = Config::from_toml(&text) {
            prop_assert!(!errors.problems().is_empty());
            prop_assert_eq!(errors.to_string().lines().count(), errors.problems().len());
        }
    }
}
