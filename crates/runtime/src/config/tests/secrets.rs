//! Secrets are usable and never shown `G12`.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::super::{Config, Secret};
use super::lines;

const SECRET: &str = "hunter2";

fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    fs::write(&path, content).unwrap();
    (directory, path)
}

fn with_password_file(path: PathBuf) -> Config {
    let mut config = Config::default();
    config.mqtt.password_file = Some(path);
    config
}

#[test]
fn a_secret_is_shown_by_expose_alone() {
    let config = Config::from_toml("[mqtt]\nusername = 'u'\npassword = 'hunter2'").unwrap();
    assert_eq!(config.mqtt.password.as_ref().unwrap().expose(), SECRET);
    let password = Secret::new(SECRET);
    let shown = [
        format!("{config:?}"),
        format!("{config:#?}"),
        toml::to_string(&config).unwrap(),
        serde_json::to_string(&config).unwrap(),
        format!("{password} {password:?}"),
    ];
    for text in shown {
        assert!(!text.contains(SECRET) && text.contains("***"), "{text}");
    }
}

#[test]
fn credentials_that_code_puts_into_a_url_are_shown_neither_before_it_is_refused_nor_by_that() {
    for (url, seen) in [
        ("mqtt://fleet:hunter2@broker:1883", "mqtt://***"),
        ("mqtts://hunter2@broker", "mqtts://***"),
        ("mqtt://fleet:hun/hunter2@broker", "mqtt://***"),
        ("mqtt://1:2/hunter2@broker", "mqtt://***"),
        ("mqtt://fleet:hun@hunter2", "mqtt://***"),
        ("wss://broker/mqtt?token=hunter2", "wss://***"),
        ("wss://broker/mqtt#hunter2", "wss://***"),
        ("fleet:hunter2@broker", "***"),
        ("fleet:hunter2://a@broker", "***"),
    ] {
        let mut config = Config::default();
        config.mqtt.url = url.to_owned();
        config.mqtt.fallback_urls = vec!["mqtt://broker".to_owned(), url.to_owned()];
        let sink = super::super::MqttSinkConfig::new(config.mqtt.clone(), "alerts");
        let shown = [
            format!("{config:?} {config:#?} {sink:?}"),
            toml::to_string(&config).unwrap(),
            serde_json::to_string(&sink).unwrap(),
            config.validate().unwrap_err().to_string(),
        ];
        for (at, text) in shown.iter().enumerate() {
            assert!(!text.contains(SECRET), "{url}: {text}");
            assert!(at == 3 || text.contains(&format!("{seen:?}")) && text.contains("mqtt://broker"), "{url}: {text}");
        }
    }
}

#[test]
fn a_url_that_can_be_used_is_shown_as_it_is() {
    for url in ["mqtt://broker:1883", "wss://broker/plant@7", "broker:1883"] {
        let mut config = Config::default();
        config.mqtt.url = url.to_owned();
        assert!(format!("{config:?}").contains(&format!("{url:?}")), "{config:?}");
        assert!(toml::to_string(&config).unwrap().contains(url));
    }
}

#[test]
fn user_properties_are_shown_by_their_names() {
    let config = Config::from_toml("mqtt.user_properties.token = 'hunter2'").unwrap();
    let shown = format!("{config:?}");
    assert!(shown.contains(r#"{"token": ***}"#) && !shown.contains(SECRET), "{shown}");
}

#[test]
fn a_loader_does_not_show_what_it_was_given() {
    let loader = Config::loader().text("[mqtt]\npassword = 'hunter2'").env(&[("TIDEMILL_MQTT__PASSWORD", SECRET)]);
    let shown = format!("{loader:?}");
    assert!(!shown.contains(SECRET) && shown.contains("TIDEMILL_MQTT__PASSWORD"), "{shown}");
}

#[test]
fn secrets_are_compared_as_a_whole() {
    let secret = Secret::new(SECRET);
    assert!(secret.matches(b"hunter2"));
    for wrong in ["", "hunter", "hunter3", "hunter22", "hunter2\0", "Hunter2"] {
        assert!(!secret.matches(wrong.as_bytes()), "{wrong}");
    }
    assert!(Secret::default().matches(b""));
    assert!(!Secret::default().matches(b"\0"));
}

#[test]
fn a_secret_file_is_read_without_its_last_line_break_alone() {
    for (content, secret) in [
        ("hunter2", "hunter2"),
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        ("hunter2\n\n", "hunter2\n"),
        (" hunter2 \n", " hunter2 "),
        ("a\nb\r", "a\nb\r"),
    ] {
        let (_directory, path) = file(content.as_bytes());
        let password = with_password_file(path).mqtt.read_password().unwrap().unwrap();
        assert_eq!(password.expose(), secret);
    }
}

#[test]
fn a_rotated_secret_file_is_seen_by_the_next_read() {
    let (_directory, path) = file(b"old\n");
    let config = with_password_file(path.clone());
    assert_eq!(config.mqtt.read_password().unwrap(), Some("old".into()));
    fs::write(path, "new\n").unwrap();
    assert_eq!(config.mqtt.read_password().unwrap(), Some("new".into()));
}

#[test]
fn a_secret_file_that_cannot_be_used_is_named_without_its_content() {
    let mut large = SECRET.repeat(20_000).into_bytes();
    large.truncate(64 * 1024 + 1);
    for (content, why) in [
        (&b"\n"[..], "is empty"),
        (b"", "is empty"),
        (b"hunter2\xff", "is not UTF-8"),
        (&large, "is larger than 64KiB"),
    ] {
        let (_directory, path) = file(content);
        let mut config = with_password_file(path.clone());
        config.admin.token_file = Some(path.clone());
        let errors = config.check_files().unwrap_err().to_string();
        assert!(!errors.contains(SECRET), "{errors}");
        let lines: Vec<_> = errors.lines().collect();
        assert_eq!(lines.len(), 2, "{errors}");
        for (line, key) in lines.into_iter().zip(["admin.token_file", "mqtt.password_file"]) {
            assert!(line.starts_with(&format!("{key}: file {} {why}", path.display())), "{line}");
        }
    }
}

#[test]
fn missing_files_are_all_reported() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = with_password_file(directory.path().to_owned());
    config.mqtt.tls.ca_file = Some(directory.path().to_owned());
    config.mqtt.tls.cert_file = Some(directory.path().join("cert"));
    config.mqtt.tls.key_file = Some(directory.path().join("key"));
    config.admin.token_file = Some(directory.path().join("token"));
    let errors = config.check_files().unwrap_err();
    let keys: Vec<_> = errors.problems().iter().map(super::super::ConfigProblem::key).collect();
    assert_eq!(
        keys,
        ["admin.token_file", "mqtt.password_file", "mqtt.tls.ca_file", "mqtt.tls.cert_file", "mqtt.tls.key_file"]
    );
}

#[test]
fn files_that_can_be_read_pass() {
    let (_directory, path) = file(b"content");
    let mut config = with_password_file(path.clone());
    config.mqtt.tls.ca_file = Some(path.clone());
    config.admin.token_file = Some(path);
    config.check_files().unwrap();
    assert_eq!(config.admin.read_token().unwrap(), Some("content".into()));
}

#[test]
fn a_wrong_value_is_not_repeated_where_it_may_be_a_secret() {
    for text in [
        "mqtt.password = 1234567",
        "mqtt.password = [1234567]",
        "mqtt.password = { a = 1234567 }",
        "mqtt.user_properties = 'hunter2'",
        "mqtt.user_properties.token = 1234567",
        "mqtt = 'hunter2'",
        "mqtt.passwrod = 'hunter2'",
        "mqtt.url = 'mqtt://u:hunter2@broker'",
        "mqtt.url = 'wss://broker/?token=hunter2'",
    ] {
        let found = lines(Config::from_toml(text)).join("\n");
        assert!(!found.is_empty() && !found.contains(SECRET) && !found.contains("1234567"), "{found}");
    }
    let found = lines(Config::loader().env(&[("TIDEMILL_MQTT__USER_PROPERTIES", "{ token = hunter2")]).load());
    assert!(!found.is_empty() && !found.concat().contains(SECRET), "{found:?}");
}

proptest! {
    #[test]
    fn no_syntax_error_repeats_the_secret_beside_it(
        before in "[a-z=\\[\\]{}\"'.# \n]{0,12}",
        opening in "[\"']{0,3}",
        closing in "[\"'\\]}, \n]{0,4}",
        after in "[a-z=\\[\\]{}\"'.# \n]{0,12}",
    ) {
        let text = format!("{before}\npassword = {opening}Xy7Zq{closing}\n{after}");
        let found = lines(Config::from_toml(&format!("[mqtt]\n{text}"))).join("\n");
        prop_assert!(!found.contains("Xy7Zq"), "{}\n{}", text, found);
    }
}
