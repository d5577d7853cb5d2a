//! What is refused and warned of before anything connects.

use tidemill_core::platform::PlatformSettings;
use tidemill_runtime::config::{PlatformRole, PlatformShape, WillConfig};
use tidemill_runtime::platform::PlatformRoutes;
use tidemill_runtime::{BuildError, Config, Publisher, Worker};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::Version;

use crate::support::{KEY, Kept, Member, Seen, config, config_of, device, platform, until};

fn build(config: Config, pattern: &str) -> Result<Worker, BuildError> {
    Worker::builder(config).route(pattern, Seen::default().handler()).sink("dead", Kept::default()).build()
}

const EVENTS: &str = "iot-2/type/{type}/id/{id}/evt/{event}/fmt/{format}";

#[track_caller]
fn refused(config: Config, pattern: &str, key: &str, word: &str) {
    let error = build(config, pattern).unwrap_err();
    let said = error.problems().iter().any(|problem| problem.key() == key && problem.to_string().contains(word));
    assert!(said, "{key}, {word}: {error}");
}

fn changed(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = config();
    change(&mut config);
    config
}

#[test]
fn each_mistake_is_named_with_its_key() {
    build(config(), EVENTS).unwrap();
    refused(changed(|c| c.platform.app = None), EVENTS, "platform.app", "group");
    refused(changed(|c| c.platform.app = Some("a b".into())), EVENTS, "platform.app", "36");
    refused(changed(|c| c.platform.api_key = Some("key".into())), EVENTS, "platform.api_key", "key");
    refused(changed(|c| c.platform.org = Some("xyz789".into())), EVENTS, "platform", "organization");
    refused(changed(|c| c.platform.token = None), EVENTS, "platform.token_file", "token");
    refused(changed(|c| c.group.name = Some("g".into())), EVENTS, "group.name", "platform.app");
    refused(changed(|c| c.mqtt.username = Some("u".into())), EVENTS, "mqtt.username", "API key");
    refused(changed(|c| c.platform.clean_session = false), EVENTS, "platform.clean_session", "scalable_instance");
    refused(changed(|c| c.mqtt.keep_alive = std::time::Duration::from_secs(3601)), EVENTS, "mqtt.keep_alive", "3600s");
    refused(changed(|c| c.dead_letters.sink = None), EVENTS, "dead_letters.sink", "276");
    let host = "mqtts://xyz789.messaging.example.com:8883";
    refused(changed(|c| c.mqtt.url = host.into()), EVENTS, "mqtt.url", "organization");
    let mut several = config_of(PlatformShape::Application);
    several.instances = 2.into();
    refused(several, EVENTS, "instances", "288");
}

#[test]
fn names_of_instances_are_measured_as_they_will_be() {
    let longest = "tidemill-".len();
    let replica = |length: usize| Some("r".repeat(length));
    let mut stable = config_of(PlatformShape::ScalableInstance);
    stable.platform.clean_session = false;
    // The publishing connection adds "-out", more than "-0".
    stable.identity.replica = replica(36 - longest - 4);
    build(stable.clone(), EVENTS).unwrap();
    stable.identity.replica = replica(36 - longest - 3);
    refused(stable, EVENTS, "identity.prefix", "36 characters");
    let mut generated = config_of(PlatformShape::ScalableInstance);
    generated.identity.replica = replica(36);
    build(generated.clone(), EVENTS).unwrap();
    generated.identity.prefix = "p".repeat(22);
    refused(generated, EVENTS, "identity.prefix", "36 characters");
}

#[tokio::test]
async fn a_publishing_connection_under_a_name_that_is_none_is_refused() {
    let config = config_of(PlatformShape::ScalableInstance);
    let error = Publisher::start_with(&config, "two words").unwrap_err();
    assert!(error.to_string().contains("' ' is not allowed"), "{error}");
}

#[test]
fn filters_that_would_close_the_connection_are_refused_with_their_sentence() {
    refused(config(), "iot-2/type/{type}/id/{id}/#", "routes", "#");
    refused(config(), "plant/{line}", "routes", "platform");
    refused(config(), "iot-2/evt/+/fmt/+", "routes", "platform");
}

#[test]
fn a_role_that_receives_no_commands_has_no_route_for_them() {
    let config = changed(|c| c.platform.role = PlatformRole::Operations);
    refused(config, "iot-2/type/+/id/+/cmd/+/fmt/+", "routes", "role");
}

#[test]
fn quickstart_refuses_what_it_does_not_offer() {
    let quickstart = |shape, url: &str| {
        let mut config = config_of(shape);
        config.platform.org = Some("quickstart".into());
        config.platform.api_key = None;
        config.platform.token = None;
        config.mqtt.url = url.into();
        config
    };
    let (plain, tls) = ("mqtt://127.0.0.1:1883", "mqtts://127.0.0.1:8883");
    let one = "iot-2/type/+/id/dev/evt/+/fmt/+";
    build(quickstart(PlatformShape::Application, plain), one).unwrap();
    refused(quickstart(PlatformShape::Scalable, plain), one, "platform", "scalable");
    refused(quickstart(PlatformShape::Application, tls), one, "platform", "TLS");
    refused(quickstart(PlatformShape::Application, plain), EVENTS, "routes", "device ID");
    refused(quickstart(PlatformShape::Application, plain), "iot-2/type/+/id/d/cmd/+/fmt/+", "routes", "commands");
    refused(quickstart(PlatformShape::Application, plain), "iot-2/app/+/mon", "routes", "application");
}

#[test]
fn quickstart_with_an_api_key_is_refused() {
    let both = |c: &mut Config| {
        c.platform.org = Some("quickstart".into());
        c.platform.shape = PlatformShape::Application;
        c.mqtt.url = "mqtt://127.0.0.1:1883".into();
    };
    let one = "iot-2/type/+/id/dev/evt/+/fmt/+";
    refused(changed(both), one, "platform.api_key", "quickstart knows no API keys");
    let token = |c: &mut Config| {
        both(c);
        c.platform.api_key = None;
    };
    refused(changed(token), one, "platform.api_key", "quickstart knows no API keys");
}

#[test]
fn a_will_is_judged_like_a_publication() {
    let with = |role, topic: &str| {
        changed(|c| {
            c.platform.role = role;
            let mut will = WillConfig::default();
            (will.topic, will.payload) = (topic.into(), "gone".into());
            c.mqtt.will = Some(will);
        })
    };
    let (event, command) = ("iot-2/type/T/id/I/evt/gone/fmt/json", "iot-2/type/T/id/I/cmd/halt/fmt/json");
    build(with(PlatformRole::Operations, command), EVENTS).unwrap();
    refused(with(PlatformRole::Operations, event), EVENTS, "mqtt.will", "role");
    refused(with(PlatformRole::Visualization, command), EVENTS, "mqtt.will", "role");
    refused(with(PlatformRole::Standard, "plant/1"), EVENTS, "mqtt.will.topic", "events and commands only");
}

#[test]
fn a_token_in_the_place_of_the_key_is_not_shown() {
    let error = build(changed(|c| c.platform.api_key = Some("MP$08VKz!8rXwnR-Q*".into())), EVENTS).unwrap_err();
    assert!(error.to_string().contains("platform.api_key"), "{error}");
    assert!(!format!("{error} {error:?}").contains("08VKz"), "{error}");
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let warned = |config, pattern: &str, word: &str| {
        let worker = build(config, pattern).unwrap();
        assert!(worker.warnings().iter().any(|problem| problem.to_string().contains(word)), "{:?}", worker.warnings());
    };
    warned(config(), "iot-2/type/+/id/+/mon", "split monitoring");
    warned(config_of(PlatformShape::ScalableInstance), "iot-2/type/+/id/+/mon", "retained connection states");
    warned(config_of(PlatformShape::ScalableInstance), EVENTS, "different groups");
}

#[tokio::test(start_paused = true)]
async fn routes_by_parts_are_those_of_the_topics() {
    let platform = platform().await;
    let seen = [(); 4].map(|()| Seen::default());
    let [readings, commands, devices, apps] = seen.each_ref().map(Seen::handler);
    let member = Member::start(&platform, config(), |builder| {
        builder
            .on_event("T", "+", "temperature", "json", readings)
            .on_command("+", "I", "+", "json", commands)
            .on_device_status("T", "+", devices)
            .on_app_status("other", apps)
    });
    member.handle.ready().await;
    let mut device = device(&platform, "I").await;
    device.publish_acked("iot-2/evt/temperature/fmt/json", "reading").await;
    device.publish_acked("iot-2/evt/humidity/fmt/json", "for no route").await;
    let mut other = RawClient::with_version(platform.connect(), Version::V4);
    other.connect(ConnectOptions::new("a:abc123:other").login(KEY, "secret")).await;
    other.publish_acked("iot-2/type/T/id/I/cmd/run/fmt/json", "command").await;
    other.publish_acked("iot-2/type/T/id/J/cmd/run/fmt/json", "for no route").await;
    until(|| seen.iter().all(|seen| seen.count() > 0)).await;
    assert_eq!(member.leave().await.handled, 4);
    assert_eq!(seen[0].texts(), ["reading"]);
    assert_eq!(seen[1].texts(), ["command"]);
    assert!(seen[2].texts()[0].contains("d:abc123:T:I"), "{:?}", seen[2]);
    assert!(seen[3].texts()[0].contains("a:abc123:other"), "{:?}", seen[3]);
}

#[test]
fn parts_that_make_no_topic_are_refused() {
    let wrong = Worker::builder(config()).on_event("a/b", "+", "+", "+", Seen::default().handler());
    assert!(wrong.sink("dead", Kept::default()).build().is_err());
}

#[test]
fn settings_of_an_sdk_make_the_same_member() {
    let settings = PlatformSettings::from_env([
        ("WIOTP_IDENTITY_APPID", "counter"),
        ("WIOTP_AUTH_KEY", "a-abc123-k3y"),
        ("WIOTP_AUTH_TOKEN", "secret"),
        ("WIOTP_OPTIONS_DOMAIN", "iot.example.com"),
        ("WIOTP_OPTIONS_MQTT_SHAREDSUBSCRIPTION", "true"),
    ])
    .unwrap();
    let mut config = Config::default().with_platform(&settings).unwrap();
    assert_eq!(config.mqtt.url, "mqtts://abc123.messaging.iot.example.com:8883");
    assert_eq!((config.platform.shape, config.platform.clean_session), (PlatformShape::Scalable, true));
    config.dead_letters.sink = Some("dead".into());
    config.validate().unwrap();
    assert!(!format!("{config:?}").contains("secret"));
}
