//! The table is complete and sourced, what is not known is unsafe, and a configuration is checked against it.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use tidemill_core::QoS;

use super::facts::{Fate, Known, Sharing};
use super::{Advice, Profile, reference};
use crate::config::{Config, IdentityMode};

const MODES: [IdentityMode; 2] = [IdentityMode::Ephemeral, IdentityMode::Durable];

fn advice(profile: Profile, mode: IdentityMode) -> Advice {
    profile.facts().advice(mode, QoS::AtLeastOnce, 1024)
}

fn grouped(broker: Profile) -> Config {
    let mut config = Config::default();
    config.group.name = Some("g".into());
    config.mqtt.broker = broker;
    config
}

#[test]
fn the_page_in_docs_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/brokers.md");
    let generated = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == generated,
        "docs/brokers.md is out of date; run `UPDATE_DOCS=1 cargo test -p tidemill-runtime profile`"
    );
}

#[test]
fn every_row_is_its_own_and_says_where_it_is_known_from() {
    for profile in Profile::ALL {
        let facts = profile.facts();
        assert_eq!(facts.profile, profile);
        assert!(!facts.source.is_empty() && !facts.title.is_empty(), "{profile}");
        assert!(facts.note.ends_with('.'), "{profile}");
    }
}

#[test]
fn names_are_those_of_the_configuration() {
    for profile in Profile::ALL {
        assert_eq!(profile.name().parse::<Profile>().unwrap(), profile);
        let config = Config::from_toml(&format!("mqtt.broker = \"{profile}\"")).unwrap();
        assert_eq!(config.mqtt.broker, profile);
    }
    assert_eq!("AWS_IoT".parse::<Profile>().unwrap(), Profile::AwsIot);
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_one() {
    let said = "mosqitto".parse::<Profile>().unwrap_err().to_string();
    assert_eq!(said, "there is no broker profile \"mosqitto\", did you mean \"mosquitto\"?");
    assert!("zzz".parse::<Profile>().unwrap_err().to_string().contains("there are mosquitto, emqx"));
    let error = Config::from_toml("mqtt.broker = \"hivmq\"").unwrap_err().to_string();
    assert!(error.contains("did you mean \"hivemq\"?"), "{error}");
}

#[test]
fn what_is_not_known_is_never_called_safe() {
    for facts in Profile::ALL.map(Profile::facts) {
        let ephemeral = advice(facts.profile, IdentityMode::Ephemeral) == Advice::Safe;
        let durable = advice(facts.profile, IdentityMode::Durable) == Advice::Safe;
        let shares = facts.sharing == Sharing::Yes;
        assert_eq!(ephemeral, shares && facts.dead_member == Fate::Moved, "{}", facts.title);
        assert_eq!(durable, shares && facts.keeps_sessions == Known::Yes, "{}", facts.title);
    }
}

#[test]
fn mosquitto_is_safe_with_a_durable_identity_and_warned_of_without() {
    assert_eq!(advice(Profile::Mosquitto, IdentityMode::Durable), Advice::Safe);
    let said = advice(Profile::Mosquitto, IdentityMode::Ephemeral).to_string();
    assert!(said.contains("one window (1024 events)") && said.contains("durable"), "{said}");
    let warnings = grouped(Profile::Mosquitto).warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].key(), "mqtt.broker");
}

#[test]
fn a_group_is_refused_where_nothing_is_shared_and_a_single_instance_is_not() {
    for profile in [Profile::Rabbitmq, Profile::Nats, Profile::WatsonIot] {
        for mode in MODES {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                assert!(matches!(profile.facts().advice(mode, qos, 1), Advice::Refuse { .. }));
            }
        }
        let mut config = grouped(profile);
        let errors = config.validate().unwrap_err();
        assert_eq!(errors.problems().len(), 1, "{errors}");
        assert!(errors.to_string().contains("group.name"), "{errors}");
        config.group.name = None;
        config.validate().unwrap();
        assert_eq!(config.warnings(), []);
    }
}

#[test]
fn qos_2_is_refused_on_every_broker_and_said_once() {
    for profile in Profile::ALL {
        let advice = profile.facts().advice(IdentityMode::Durable, QoS::ExactlyOnce, 1);
        assert!(matches!(advice, Advice::Refuse { .. }), "{profile}");
    }
    let mut config = grouped(Profile::Mosquitto);
    config.mqtt.qos = QoS::ExactlyOnce;
    assert_eq!(config.validate().unwrap_err().problems().len(), 1);
}

#[test]
fn at_qos_0_there_is_nothing_to_warn_of() {
    assert_eq!(Profile::Nanomq.facts().advice(IdentityMode::Ephemeral, QoS::AtMostOnce, 1), Advice::Safe);
}

#[test]
fn what_a_broker_would_refuse_is_found_before_it_is_asked() {
    use super::check::limits;
    let filters = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let keys = |broker, id: &str, texts: &[&str]| {
        let problems = limits(&grouped(broker), id, &filters(texts));
        problems.iter().map(|problem| problem.key().to_owned()).collect::<Vec<_>>()
    };
    let long = "x".repeat(129);
    let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    assert_eq!(keys(Profile::AwsIot, &long, &["a"]), ["identity.prefix"]);
    assert_eq!(keys(Profile::Mosquitto, &long, &nine), [""; 0]);
    assert_eq!(keys(Profile::AwsIot, "id", &nine), [""; 0], "in two packets");
    let many: Vec<String> = (0..51).map(|filter| filter.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(keys(Profile::AwsIot, "id", &many), ["routes"]);
    assert_eq!(keys(Profile::WatsonIot, "id", &["a/#"]), ["routes"]);
    assert_eq!(keys(Profile::WatsonIot, "a$b", &["a/+"]), ["identity.prefix"]);
    assert_eq!(keys(Profile::Generic, "id", &["#"]), [""; 0]);
}
