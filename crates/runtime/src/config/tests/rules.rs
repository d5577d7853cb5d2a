//! Every rule: what it refuses, what it lets pass, and that it names a key and a way out.

use std::time::Duration;

use tidemill_core::QoS;

use super::super::keys::Section;
use super::super::{Config, MqttVersion, Overflow, WillConfig, schema};

type Change = fn(&mut Config);

fn changed(change: Change) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// The keys of the problems, and that nothing about them is left unsaid.
fn refused(config: &Config) -> Vec<String> {
    let Err(errors) = config.validate() else { return Vec::new() };
    let known = Section::from_schema(&schema());
    let known: Vec<_> = known.keys().into_iter().map(super::super::keys::Key::name).collect();
    for problem in errors.problems() {
        let root = problem.key().split(".user_properties.").next().unwrap();
        assert!(known.iter().any(|key| key == root) || root == "mqtt", "{problem}");
        assert!(!problem.why().is_empty() && !problem.fix().is_empty(), "{problem}");
        assert!(!problem.to_string().ends_with('.'), "{problem}");
    }
    errors.problems().iter().map(|problem| problem.key().to_owned()).collect()
}

fn with_tls(config: &mut Config) {
    config.mqtt.url = "mqtts://broker".into();
}

#[test]
fn the_defaults_are_valid_and_need_no_warning() {
    Config::default().validate().unwrap();
    Config::default().check_files().unwrap();
    assert_eq!(Config::default().warnings(), []);
}

#[test]
fn what_cannot_work_is_refused_under_its_key() {
    let cases: &[(&str, Change)] = &[
        ("instances", |c| c.instances = 0.into()),
        ("instances", |c| {
            c.group.name = Some("g".into());
            c.instances = 1025.into();
        }),
        ("instances", |c| c.instances = 2.into()),
        ("kill_switch.failure_ratio", |c| c.kill_switch.failure_ratio = 0.5),
        ("kill_switch.sink_breakers", |c| c.kill_switch.sink_breakers = true),
        ("broadcast", |c| {
            c.group.name = Some("g".into());
            c.broadcast = true;
        }),
        ("mqtt.url", |c| c.mqtt.url = "broker:1883".into()),
        ("mqtt.qos", |c| c.mqtt.qos = QoS::ExactlyOnce),
        ("mqtt.username", |c| c.mqtt.username = Some("a\0b".into())),
        ("mqtt.username", |c| c.mqtt.username = Some("x".repeat(65_536))),
        ("mqtt.username", |c| {
            c.mqtt.version = MqttVersion::V3_1_1;
            c.mqtt.password = Some("p".into());
        }),
        ("mqtt.password", |c| c.mqtt.password = Some("x".repeat(65_536).into())),
        ("mqtt.password_file", |c| {
            c.mqtt.password = Some("p".into());
            c.mqtt.password_file = Some("/p".into());
        }),
        ("mqtt.ack_linger", |c| c.mqtt.ack_linger = Duration::from_millis(101)),
        ("mqtt.keep_alive", |c| c.mqtt.keep_alive = Duration::from_millis(1500)),
        ("mqtt.keep_alive", |c| c.mqtt.keep_alive = Duration::from_secs(65_536)),
        ("mqtt.connect_timeout", |c| c.mqtt.connect_timeout = Duration::ZERO),
        ("mqtt.ping_timeout", |c| c.mqtt.ping_timeout = Duration::ZERO),
        ("mqtt.window", |c| c.mqtt.window = 0),
        ("mqtt.max_packet_bytes", |c| c.mqtt.max_packet_bytes = 1023),
        ("mqtt.max_packet_bytes", |c| {
            c.mqtt.max_packet_bytes = 268_435_461;
            c.mqtt.max_unfinished_bytes = u64::MAX;
        }),
        ("mqtt.max_unfinished_bytes", |c| c.mqtt.max_unfinished_bytes = u64::from(c.mqtt.max_packet_bytes) - 1),
        ("mqtt.session_expiry", |c| c.mqtt.session_expiry = Duration::from_secs(1)),
        ("mqtt.user_properties", |c| {
            c.mqtt.version = MqttVersion::V3_1_1;
            c.mqtt.user_properties.insert("site".into(), "hamburg".into());
        }),
        ("mqtt.user_properties.site", |c| {
            c.mqtt.user_properties.insert("site".into(), "x".repeat(65_536));
        }),
        ("mqtt.will.topic", |c| c.mqtt.will = Some(WillConfig::default())),
        ("mqtt.will.topic", |c| c.mqtt.will = Some(WillConfig { topic: "a/+".into(), ..WillConfig::default() })),
        ("mqtt.will.qos", |c| {
            c.mqtt.will = Some(WillConfig { topic: "a".into(), qos: QoS::ExactlyOnce, ..WillConfig::default() });
        }),
        ("mqtt.will.payload", |c| {
            c.mqtt.will = Some(WillConfig { topic: "a".into(), payload: "x".repeat(65_536), ..WillConfig::default() });
        }),
        ("mqtt.tls.ca_file", |c| c.mqtt.tls.ca_file = Some("/ca".into())),
        ("mqtt.tls.server_name", |c| c.mqtt.tls.server_name = Some("broker".into())),
        ("mqtt.tls.insecure_skip_verify", |c| c.mqtt.tls.insecure_skip_verify = true),
        ("mqtt.reconnect.min", |c| c.mqtt.reconnect.min = Duration::ZERO),
        ("mqtt.reconnect.min", |c| c.mqtt.reconnect.min = Duration::from_secs(31)),
        ("group.name", |c| c.group.name = Some(String::new())),
        ("group.name", |c| c.group.name = Some("a/b".into())),
        ("group.name", |c| c.group.name = Some("x".repeat(65_536))),
        ("identity.prefix", |c| c.identity.prefix = String::new()),
        ("identity.prefix", |c| c.identity.prefix = "x".repeat(129)),
        ("identity.prefix", |c| c.identity.prefix = "plant/7".into()),
        ("identity.prefix", |c| c.identity.prefix = "plant 7".into()),
        ("identity.prefix", |c| c.identity.prefix = "mühle".into()),
        ("dispatch.timeout", |c| c.dispatch.timeout = Some(Duration::ZERO)),
        ("dispatch.timeout", |c| c.dispatch.timeout = Some(Duration::MAX)),
        ("retry.min_delay", |c| c.retry.min_delay = Duration::ZERO),
        ("retry.min_delay", |c| c.retry.min_delay = Duration::from_secs(31)),
        ("retry.max_delay", |c| c.retry.max_delay = Duration::MAX),
        ("retry.max_elapsed", |c| c.retry.max_elapsed = Duration::MAX),
        ("drain.deadline", |c| c.drain.deadline = Duration::ZERO),
        ("drain.deadline", |c| c.drain.deadline = Duration::from_secs(366 * 86_400)),
        ("runtime.io_threads", |c| c.runtime.io_threads = 257),
    ];
    for (at, (key, change)) in cases.iter().enumerate() {
        assert_eq!(refused(&changed(*change)), [*key], "case {at}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_options_that_cannot_work_are_refused_under_their_key() {
    let cases: &[(&str, Change)] = &[
        ("mqtt.tls.server_name", |c| {
            with_tls(c);
            c.mqtt.tls.server_name = Some("a b".into());
        }),
        ("mqtt.tls.key_file", |c| {
            with_tls(c);
            c.mqtt.tls.cert_file = Some("/cert".into());
        }),
        ("mqtt.tls.cert_file", |c| {
            with_tls(c);
            c.mqtt.tls.key_file = Some("/key".into());
        }),
    ];
    for (key, change) in cases {
        assert_eq!(refused(&changed(*change)), [*key]);
    }
    let complete = changed(|c| {
        with_tls(c);
        c.mqtt.tls.ca_file = Some("/ca".into());
        c.mqtt.tls.cert_file = Some("/cert".into());
        c.mqtt.tls.key_file = Some("/key".into());
        c.mqtt.tls.server_name = Some("10.0.0.7".into());
    });
    complete.validate().unwrap();
}

#[test]
fn what_can_work_passes() {
    let cases: &[Change] = &[
        |c| {
            c.instances = 1024.into();
            c.group.name = Some("thermostats".into());
        },
        |c| {
            c.instances = 3.into();
            c.broadcast = true;
        },
        |c| {
            c.mqtt.version = MqttVersion::V3_1_1;
            c.mqtt.username = Some("u".into());
            c.mqtt.password = Some("p".into());
        },
        |c| c.mqtt.password = Some("a token without a name, as MQTT 5 allows".into()),
        |c| c.mqtt.keep_alive = Duration::ZERO,
        |c| c.mqtt.keep_alive = Duration::from_secs(65_535),
        |c| c.mqtt.topic_alias_max = 0,
        |c| c.mqtt.max_unfinished_bytes = u64::from(c.mqtt.max_packet_bytes),
        |c| c.mqtt.reconnect.min = c.mqtt.reconnect.max,
        |c| c.retry.max_elapsed = Duration::ZERO,
        |c| c.mqtt.will = Some(WillConfig { topic: "plant/lost".into(), ..WillConfig::default() }),
        |c| c.identity.prefix = "x".repeat(128),
    ];
    for (at, change) in cases.iter().enumerate() {
        assert_eq!(refused(&changed(*change)), Vec::<String>::new(), "case {at}");
    }
}

#[test]
fn all_broken_rules_are_reported_at_once() {
    let config = changed(|c| {
        c.instances = 5000.into();
        c.mqtt.url = "broker".into();
        c.mqtt.qos = QoS::ExactlyOnce;
        c.mqtt.session_expiry = Duration::from_secs(60);
        c.drain.deadline = Duration::ZERO;
    });
    assert_eq!(
        refused(&config),
        ["drain.deadline", "instances", "instances", "mqtt.qos", "mqtt.session_expiry", "mqtt.url"]
    );
}

#[test]
fn the_reasons_that_matter_most_are_said_in_words() {
    let reason = |change: Change| changed(change).validate().unwrap_err().to_string();
    assert_eq!(
        reason(|c| c.instances = 2.into()),
        "instances: without a group every instance would get every event: \
         set group.name to share the events, or broadcast = true if that is meant"
    );
    assert!(reason(|c| c.mqtt.session_expiry = Duration::from_secs(9)).contains("ghost member"));
    assert!(reason(|c| c.mqtt.qos = QoS::ExactlyOnce).contains("sticks to the member"));
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_refuses_an_encrypted_url() {
    assert_eq!(refused(&changed(with_tls)), ["mqtt.url"]);
}

#[cfg(not(feature = "websocket"))]
#[test]
fn a_build_without_websocket_refuses_its_url() {
    assert_eq!(refused(&changed(|c| c.mqtt.url = "ws://broker".into())), ["mqtt.url"]);
}

#[cfg(not(feature = "admin"))]
#[test]
fn a_build_without_the_admin_server_refuses_to_enable_it() {
    assert_eq!(refused(&changed(|c| c.admin.enabled = true)), ["admin.enabled"]);
}

#[test]
fn what_is_allowed_but_doubtful_is_warned_about() {
    let cases: &[(&str, Change)] = &[
        ("mqtt.tls.insecure_skip_verify", |c| {
            with_tls(c);
            c.mqtt.tls.insecure_skip_verify = true;
        }),
        ("mqtt.url", |c| {
            c.mqtt.url = "mqtt://broker".into();
            c.mqtt.password = Some("p".into());
        }),
        ("mqtt.fallback_urls", |c| {
            c.mqtt.url = "mqtts://broker".into();
            c.mqtt.fallback_urls = vec!["mqtt://127.0.0.1".into(), "mqtt://other".into()];
            c.mqtt.password_file = Some("/run/secrets/p".into());
        }),
        ("dispatch.qos0_overflow", |c| c.dispatch.qos0_overflow = Overflow::DropNewest),
        ("retry.max_elapsed", |c| {
            // Waits of up to 2 s and 4 s.
            (c.retry.min_delay, c.retry.max_delay) = (Duration::from_secs(1), Duration::from_secs(60));
            (c.retry.max_attempts, c.dispatch.stall_after) = (3, Duration::from_millis(1900));
        }),
        ("mqtt.keep_alive", |c| c.mqtt.keep_alive = Duration::ZERO),
        ("retry.max_attempts", |c| {
            c.retry.max_attempts = 0;
            c.retry.max_elapsed = Duration::ZERO;
        }),
        ("retry.max_elapsed", |c| c.retry.max_attempts = 0),
        ("retry.max_elapsed", |c| c.retry.max_attempts = 20),
        ("sinks.out.write_timeout", |c| {
            let sink = c.sinks.entry("out".to_owned()).or_default();
            sink.write_timeout = c.drain.deadline + Duration::from_secs(1);
        }),
        ("drain.deadline", |c| c.dispatch.timeout = Some(c.drain.deadline + Duration::from_secs(1))),
        ("admin.listen", |c| {
            c.admin.enabled = true;
            c.admin.listen = ([0, 0, 0, 0], 9464).into();
        }),
    ];
    for (key, change) in cases {
        let warnings = changed(*change).warnings();
        let keys: Vec<_> = warnings.iter().map(super::super::ConfigProblem::key).collect();
        assert_eq!(keys, [*key]);
    }
    let silent: &[Change] = &[
        |c| c.mqtt.password = Some("on the loopback".into()),
        |c| {
            c.dispatch.qos0_overflow = Overflow::DropNewest;
            c.mqtt.qos = QoS::AtMostOnce;
        },
        |c| {
            with_tls(c);
            c.mqtt.password = Some("encrypted".into());
        },
        |c| {
            c.retry.max_attempts = 0;
            c.dispatch.stall_after = Duration::from_secs(100);
        },
        |c| {
            c.sinks.entry("out".to_owned()).or_default();
        },
        |c| c.admin.listen = ([0, 0, 0, 0], 9464).into(),
    ];
    for change in silent {
        assert_eq!(changed(*change).warnings(), []);
    }
}
