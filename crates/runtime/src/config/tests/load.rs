//! Sources, their precedence, and what is said about values that do not fit.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::super::{Config, ConfigErrors, MqttVersion, Order, Origin, Overflow, Secret};
use super::{from_env, lines};

fn write(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn an_empty_text_gives_the_defaults() {
    assert_eq!(Config::from_toml("").unwrap(), Config::default());
    assert_eq!(Config::loader().load().unwrap(), Config::default());
}

#[test]
fn environment_overrides_file_overrides_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "a.toml", "instances = 3\n[mqtt]\nwindow = 7\nkeep_alive = '5s'\n");
    let config = Config::loader().file(path).env(&[("TIDEMILL_MQTT__WINDOW", "9")]).load().unwrap();
    assert_eq!((config.instances, config.mqtt.window), (3.into(), 9));
    assert_eq!(config.mqtt.keep_alive, Duration::from_secs(5));
    assert_eq!(config.mqtt.topic_alias_max, Config::default().mqtt.topic_alias_max);
}

#[test]
fn a_file_named_by_the_variable_comes_before_the_default_file_and_after_an_explicit_one() {
    let directory = tempfile::tempdir().unwrap();
    let [explicit, named, default] = [("a", 2), ("b", 3), ("c", 4)]
        .map(|(name, instances)| write(directory.path(), name, &format!("instances = {instances}")));
    let variable = [("TIDEMILL_CONFIG", named.to_str().unwrap())];
    let loader = || Config::loader().default_file(&default);
    assert_eq!(loader().load().unwrap().instances, 4);
    assert_eq!(loader().env(&variable).load().unwrap().instances, 3);
    assert_eq!(loader().env(&variable).file(&explicit).load().unwrap().instances, 2);
}

#[test]
fn a_named_file_must_exist_and_a_default_file_need_not() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.toml");
    assert!(Config::loader().default_file(&missing).load().is_ok());
    let shown = missing.display();
    let named = lines(Config::loader().env(&[("TIDEMILL_CONFIG", missing.to_str().unwrap())]).load());
    assert!(named[0].starts_with(&format!("TIDEMILL_CONFIG: {shown} cannot be read, ")), "{named:?}");
    let explicit = lines(Config::loader().file(&missing).load());
    assert!(explicit[0].starts_with(&format!("configuration file: {shown} cannot be read, ")), "{explicit:?}");
    let empty = lines(from_env([("TIDEMILL_CONFIG", "")]));
    assert_eq!(empty, ["TIDEMILL_CONFIG: it is empty: name a file or unset the variable"]);
}

#[test]
fn an_unreadable_file_does_not_hide_mistakes_in_the_environment() {
    let found = lines(Config::loader().file("/nowhere/at/all.toml").env(&[("TIDEMILL_INSTANCES", "x")]).load());
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn variables_are_read_as_what_their_key_is() {
    let config = from_env([
        ("TIDEMILL_INSTANCES", "4"),
        ("TIDEMILL_BROADCAST", "true"),
        ("TIDEMILL_MQTT__URL", "mqtt://broker.example"),
        ("TIDEMILL_MQTT__VERSION", "5"),
        ("TIDEMILL_MQTT__QOS", "0"),
        ("TIDEMILL_MQTT__USERNAME", "12345"),
        ("TIDEMILL_MQTT__PASSWORD", "true"),
        ("TIDEMILL_MQTT__KEEP_ALIVE", "1m"),
        ("TIDEMILL_MQTT__MAX_PACKET_BYTES", "4096"),
        ("TIDEMILL_MQTT__MAX_UNFINISHED_BYTES", "2MiB"),
        ("TIDEMILL_MQTT__USER_PROPERTIES", "{ site = \"hamburg\", Line-4 = \"a=b\" }"),
        ("TIDEMILL_MQTT__WILL__TOPIC", "plant/lost"),
        ("TIDEMILL_MQTT__TLS__CA_FILE", "/etc/ca.pem"),
        ("TIDEMILL_MQTT__RECONNECT__MAX", "1m"),
        ("TIDEMILL_GROUP__NAME", "42"),
        ("TIDEMILL_DISPATCH__ORDER", "unordered"),
        ("TIDEMILL_DISPATCH__QOS0_OVERFLOW", "drop_newest"),
        ("TIDEMILL_DISPATCH__TIMEOUT", "1500ms"),
        ("TIDEMILL_ADMIN__LISTEN", "[::1]:80"),
    ])
    .unwrap();
    let mut expected = Config::default();
    expected.instances = 4.into();
    expected.broadcast = true;
    expected.mqtt.url = "mqtt://broker.example".into();
    expected.mqtt.version = MqttVersion::V5;
    expected.mqtt.qos = tidemill_core::QoS::AtMostOnce;
    expected.mqtt.username = Some("12345".into());
    expected.mqtt.password = Some(Secret::new("true"));
    expected.mqtt.keep_alive = Duration::from_secs(60);
    expected.mqtt.max_packet_bytes = 4096;
    expected.mqtt.max_unfinished_bytes = 2 << 20;
    expected.mqtt.user_properties =
        BTreeMap::from([("site".into(), "hamburg".into()), ("Line-4".into(), "a=b".into())]);
    expected.mqtt.will = Some(super::super::WillConfig { topic: "plant/lost".into(), ..Default::default() });
    expected.mqtt.tls.ca_file = Some("/etc/ca.pem".into());
    expected.mqtt.reconnect.max = Duration::from_secs(60);
    expected.group.name = Some("42".into());
    expected.dispatch.order = Order::Unordered;
    expected.dispatch.qos0_overflow = Overflow::DropNewest;
    expected.dispatch.timeout = Some(Duration::from_millis(1500));
    expected.admin.listen = "[::1]:80".parse().unwrap();
    assert_eq!(config, expected);
}

#[test]
fn every_key_can_be_set_by_its_variable_and_by_its_name() {
    let keys = super::super::keys::Section::from_schema(&super::super::schema());
    let names: Vec<_> = keys.keys().into_iter().map(|key| (key.name(), key.variable())).collect();
    assert!(names.len() > 40, "{names:?}");
    for (name, variable) in names {
        let (name, variable) = (name.replace("<name>", "alerts"), variable.replace("<NAME>", "ALERTS"));
        // A list fits no key: the answer must be about the value, never that the key is unknown.
        let file = lines(Config::from_toml(&format!("{name} = [1]")));
        assert!(file[0].starts_with(&format!("{name} (line 1): expected ")), "{file:?}");
        let variables = BTreeMap::from([(variable, "\n[".to_owned())]);
        let found = lines(Config::loader().env(&variables).load()).join("\n");
        assert!(!found.contains("unknown"), "{found}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_with_key_place_shape_and_way_out() {
    let text = r#"
instances = "four"
broadcast = "yes"
admin = true
[mqtt]
ulr = "mqtt://broker"
keep_alive = 30
connect_timeout = "10"
ping_timeout = "5M"
version = 5
qos = 3
window = 70000
max_packet_bytes = "64KB"
topic_alias_max = "16"
tls.ca_flie = "x"
[mqtt.user_properties]
site = 5
[dispatch]
order = "keyd"
[log]
format = "JSON"
[retry]
url = "x"
"#;
    let found = lines(Config::loader().text(text).env(&[("TIDEMILL_DRAIN__DEADLINE", "30")]).load());
    let expected = [
        "admin (line 4): expected a section, got true or false: write the keys under [admin]",
        r#"broadcast (line 3): expected true or false, got the text "yes": write true"#,
        r#"dispatch.order (line 19): expected "keyed" or "unordered", got the text "keyd": did you mean "keyed"?"#,
        r#"drain.deadline (TIDEMILL_DRAIN__DEADLINE): expected a duration such as "30s", got the text "30": add a unit, as in 30s or 30ms"#,
        r#"instances (line 2): expected a whole number from 1 to 1024 or limits such as { min = 2, max = 8 }, got the text "four": write a whole number"#,
        r#"log.format (line 21): expected "auto", "text" or "json", got the text "JSON": write "json""#,
        r#"mqtt.connect_timeout (line 8): expected a duration such as "30s", got the text "10": add a unit, as in 10s or 10ms"#,
        r#"mqtt.keep_alive (line 7): expected a duration such as "30s", got the number 30: write "30s""#,
        r#"mqtt.max_packet_bytes (line 13): expected a size such as "64KiB", got the text "64KB": write a whole number of bytes, or one with KiB, MiB or GiB"#,
        r#"mqtt.ping_timeout (line 9): expected a duration such as "30s", got the text "5M": write minutes as m"#,
        "mqtt.qos (line 11): expected 0 or 1, got the number 3: write one of them",
        "mqtt.tls.ca_flie (line 15): unknown key: did you mean mqtt.tls.ca_file?",
        r#"mqtt.topic_alias_max (line 14): expected a whole number from 0 to 65535, got the text "16": write 16 without quotes"#,
        "mqtt.ulr (line 6): unknown key: did you mean mqtt.url?",
        "mqtt.user_properties.site (line 17): expected a text, got a number: put it in quotes",
        r#"mqtt.version (line 10): expected "5" or "3.1.1", got the number 5: write "5""#,
        "mqtt.window (line 12): expected a whole number from 1 to 65535, got the number 70000: write a number in that range",
        "retry.url (line 23): unknown key: did you mean mqtt.url?",
    ];
    assert_eq!(found, expected);
}

#[test]
fn rules_about_one_key_are_reported_together_with_values_that_do_not_fit() {
    let found = lines(Config::from_toml("instances = 0\n[mqtt]\nqos = 2\nwindow = 'x'\n[mqtt.will]\nretain = true"));
    let keys: Vec<_> = found.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["instances (line 1)", "mqtt.qos (line 3)", "mqtt.will.topic (line 5)", "mqtt.window (line 4)"]);
}

#[test]
fn rules_about_several_keys_wait_for_the_code() {
    let mut config = Config::from_toml("instances = 4").unwrap();
    assert!(config.validate().is_err());
    config.group.name = Some("thermostats".into());
    config.validate().unwrap();
}

#[test]
fn a_wrong_value_in_the_file_is_reported_even_if_the_environment_overrides_it() {
    let found = lines(Config::loader().text("instances = 'x'").env(&[("TIDEMILL_INSTANCES", "2")]).load());
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn the_place_is_where_the_winning_value_stands() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "mill.toml", "\n\ninstances = 0");
    let from_file = Config::loader().file(&path).load().unwrap_err();
    assert_eq!(from_file.problems()[0].origin(), Some(&Origin::Line { file: Some(path.clone()), line: 3 }));
    let both = Config::loader().file(&path).env(&[("TIDEMILL_INSTANCES", "2000")]).load().unwrap_err();
    assert_eq!(both.problems()[0].origin(), Some(&Origin::Variable("TIDEMILL_INSTANCES".into())));
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_known_one() {
    for (name, fix) in [
        ("TIDEMILL_MQTT__ULR", "did you mean TIDEMILL_MQTT__URL?"),
        ("TIDEMILL_MQTT_URL", "did you mean TIDEMILL_MQTT__URL?"),
        ("TIDEMILL_mqtt__url", "did you mean TIDEMILL_MQTT__URL?"),
        ("TIDEMILL_FLUX_CAPACITOR", "unset it; docs/configuration.md lists the known ones"),
        (
            "TIDEMILL_MQTT__USER_PROPERTIES__SITE",
            "set TIDEMILL_MQTT__USER_PROPERTIES to all entries, as in { site = \"hamburg\" }",
        ),
    ] {
        assert_eq!(lines(from_env([(name, "x")])), [format!("{name}: unknown variable: {fix}")]);
    }
}

#[test]
fn an_unknown_key_without_a_near_one_lists_the_keys_of_its_section() {
    let found = lines(Config::from_toml("[drain]\nflux_capacitor = 1"));
    assert_eq!(found, ["drain.flux_capacitor (line 2): unknown key: remove it; the keys here are deadline, force"]);
}

#[test]
fn a_misspelt_section_is_one_problem() {
    let found = lines(Config::from_toml("[mqtt.tsl]\nca_file = 'a'\ncert_file = 'b'"));
    assert_eq!(found, ["mqtt.tsl (line 1): unknown key: did you mean mqtt.tls?"]);
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_left_alone() {
    let config = from_env([
        ("TIDEMILL_SERVICE_HOST", "10.0.0.7"),
        ("TIDEMILL_SERVICE_PORT", "9464"),
        ("TIDEMILL_SERVICE_PORT_METRICS", "9464"),
        ("TIDEMILL_PORT", "tcp://10.0.0.7:9464"),
        ("TIDEMILL_PORT_9464_TCP", "tcp://10.0.0.7:9464"),
        ("TIDEMILL_PORT_9464_TCP_PROTO", "tcp"),
        ("TIDEMILL_PORT_9464_TCP_PORT", "9464"),
        ("TIDEMILL_PORT_9464_TCP_ADDR", "10.0.0.7"),
        ("TIDEMILL_METRICS_SERVICE_HOST", "10.0.0.7"),
        ("TIDEMILL_METRICS_PORT", "tcp://10.0.0.7:9464"),
        ("TIDEMILL_METRICS_PORT_9464_TCP_ADDR", "10.0.0.7"),
    ]);
    assert_eq!(config.unwrap(), Config::default());
    for name in ["TIDEMILL_MQTT_PORT", "TIDEMILL_MQTT__PORT", "TIDEMILL_PORT_X_TCP", "TIDEMILL_ADMIN__SERVICE_HOST"] {
        assert_eq!(lines(from_env([(name, "1883")])).len(), 1, "{name}");
    }
}

#[test]
fn variables_of_others_can_be_left_alone() {
    let loader = Config::loader().env(&[("TIDEMILL_SIM_SEED", "7")]);
    assert_eq!(lines(loader.clone().load()).len(), 1);
    loader.ignore_variable("TIDEMILL_SIM_SEED").load().unwrap();
}

#[test]
fn variables_without_the_prefix_are_never_read() {
    from_env([("TIDEMILLER", "x"), ("INSTANCES", "x"), ("tidemill_instances", "x")]).unwrap();
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_a_problem_of_its_key() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    struct Broken;
    impl super::super::Lookup for Broken {
        fn variables(&self, _: &str) -> Vec<(String, OsString)> {
            vec![("TIDEMILL_GROUP__NAME".into(), OsString::from_vec(vec![b'a', 0xff]))]
        }
    }
    let found = lines(Config::loader().env(&Broken).load());
    assert_eq!(found, ["group.name (TIDEMILL_GROUP__NAME): it is not UTF-8: write the value as UTF-8 text"]);
}

#[test]
fn an_environment_table_replaces_that_of_the_file() {
    let loader = Config::loader().text("[mqtt.user_properties]\nsite = 'a'\nline = 'b'");
    let config = loader.env(&[("TIDEMILL_MQTT__USER_PROPERTIES", "{ site = 'c' }")]).load().unwrap();
    assert_eq!(config.mqtt.user_properties, BTreeMap::from([("site".into(), "c".into())]));
}

#[test]
fn every_syntax_error_names_its_line() {
    let found = lines(Config::from_toml("instances = \n[mqtt]\nurl = mqtt://broker\n"));
    assert!(found.len() >= 2, "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("TOML: line 1: ")), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("TOML: line 3: ")), "{found:?}");
}

#[test]
fn keys_of_the_user_are_quoted_where_toml_would_quote_them() {
    let found = lines(Config::from_toml("\"a\\nb\" = 1\n[mqtt.user_properties]\n\"x.y\" = 1"));
    assert!(found[0].starts_with(r#""a\nb" (line 1): unknown key"#), "{found:?}");
    assert!(found[1].starts_with(r#"mqtt.user_properties."x.y" (line 3): expected a text"#), "{found:?}");
}

#[test]
fn values_in_variables_are_not_told_to_be_quoted() {
    let found = lines(from_env([("TIDEMILL_MQTT__VERSION", "v5"), ("TIDEMILL_LOG__FORMAT", "Json")]));
    assert_eq!(
        found,
        [
            r#"log.format (TIDEMILL_LOG__FORMAT): expected "auto", "text" or "json", got the text "Json": write json"#,
            r#"mqtt.version (TIDEMILL_MQTT__VERSION): expected "5" or "3.1.1", got the text "v5": write one of them"#,
        ]
    );
}

#[test]
fn the_environment_of_the_process_is_filtered_by_prefix() {
    let variables = super::super::Lookup::variables(&super::super::ProcessEnv, "CARGO_MANIFEST_");
    assert!(variables.iter().any(|(name, value)| name == "CARGO_MANIFEST_DIR" && value == env!("CARGO_MANIFEST_DIR")));
    assert!(variables.iter().all(|(name, _)| name.starts_with("CARGO_MANIFEST_")));
}

#[test]
fn numbers_that_are_not_whole_are_read_from_a_file_and_from_the_environment() {
    let config = Config::loader().text("[elastic]\ngrow_at = 1\n[kill_switch]\nfailure_ratio = 0.25");
    let config = config.env(&[("TIDEMILL_ELASTIC__MAX_CPU", "0.75")]).load().unwrap();
    let found = (config.elastic.grow_at, config.kill_switch.failure_ratio, config.elastic.max_cpu);
    assert!(found == (1.0, 0.25, 0.75), "{found:?}");
    let found = lines(Config::from_toml("[elastic]\ngrow_at = '0.5'\nmax_cpu = 'much'"));
    assert!(found[0].ends_with("write 0.5 without quotes"), "{found:?}");
    assert!(found[1].contains("expected a number such as 0.5"), "{found:?}");
}

#[test]
fn a_rule_about_several_keys_names_the_line_unless_code_has_changed_the_value() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mill.toml");
    std::fs::write(&path, "instances = 2\n\n[mqtt]\nsession_expiry = '10m'\n\n[identity]\nmode = 'ephemeral'\n")
        .unwrap();
    let mut config = Config::loader().file(&path).load().unwrap();
    assert_eq!(config.file(), Some(&*path));
    config.instances = 3.into();
    let errors = config.validate().unwrap_err();
    let origin = |key: &str| errors.problems().iter().find(|problem| problem.key() == key).unwrap().origin();
    assert_eq!(origin("mqtt.session_expiry"), Some(&Origin::Line { file: Some(path), line: 4 }));
    assert_eq!(origin("instances"), None);
}

#[test]
fn what_variables_alone_have_given_is_named_by_the_variable_in_every_problem_and_warning() {
    let config = from_env([
        ("TIDEMILL_INSTANCES", "4"),
        ("TIDEMILL_MQTT__SESSION_EXPIRY", "10m"),
        ("TIDEMILL_MQTT__TLS__CA_FILE", "/nowhere/ca.pem"),
        ("TIDEMILL_MQTT__TLS__INSECURE_SKIP_VERIFY", "true"),
        ("TIDEMILL_MQTT__URL", "mqtts://broker.example"),
    ])
    .unwrap();
    let problems = [config.validate().unwrap_err(), config.check_files().unwrap_err()];
    let problems = problems.into_iter().flat_map(ConfigErrors::into_problems).chain(config.warnings());
    let mut named = Vec::new();
    for problem in problems {
        let variable = format!("TIDEMILL_{}", problem.key().to_uppercase().replace('.', "__"));
        let is_given = problem.origin().is_some();
        if is_given {
            assert_eq!(problem.origin(), Some(&Origin::Variable(variable.clone())), "{problem}");
            assert!(problem.to_string().contains(&format!(" ({variable}): ")), "{problem}");
        }
        named.push((problem.key().to_owned(), is_given));
    }
    for key in ["instances", "mqtt.session_expiry", "mqtt.tls.ca_file", "mqtt.tls.insecure_skip_verify"] {
        assert!(named.contains(&(key.to_owned(), true)), "{key}: {named:?}");
    }
}

#[test]
fn what_code_has_given_names_no_place() {
    let mut config = from_env([("TIDEMILL_MQTT__SESSION_EXPIRY", "10m")]).unwrap();
    config.mqtt.session_expiry = Duration::from_secs(1);
    config.instances = 2.into();
    for problem in config.validate().unwrap_err().problems() {
        assert_eq!(problem.origin(), None, "{problem}");
    }
}
