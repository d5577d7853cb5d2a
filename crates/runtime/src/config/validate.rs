//! The rules of the configuration. Each states the key, the reason and the way out; none stops at the first problem.
//!
//! Rules about a single key hold whoever sets the others, so loading checks them at once. Rules about several keys are
//! checked when code had its say.

use std::path::Path;
use std::time::Duration;

use tidemill_core::QoS;
use tidemill_core::topic::{ShareName, TopicError, TopicName};

use super::keys::dotted;
use super::{Config, ConfigProblem, IdentityMode, Instances, MqttVersion, Secret, address, elastic};
use crate::profile;

/// More connections than one process should hold, and more than most brokers let one client open in a burst.
pub(crate) const MAX_INSTANCES: u32 = 1024;
/// More threads than any machine needs for sockets.
pub(super) const MAX_IO_THREADS: u16 = 256;
/// Far above what is gained, and below what brokers take for a lost acknowledgement.
const MAX_ACK_LINGER: Duration = Duration::from_millis(100);
/// Keep-alive is two bytes of seconds `[MQTT-3.1.2.10]`.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(65_535);
/// Fixed header and the largest remaining length `[MQTT-2.1.4]`.
const MAX_PACKET_BYTES: u32 = 268_435_460;
const MIN_PACKET_BYTES: u32 = 1024;
/// Strings and binary data carry two bytes of length `[MQTT-1.5.4]`.
const MAX_STRING_BYTES: usize = 65_535;
const MAX_PREFIX_BYTES: usize = 128;
/// Sums of an instant and a longer duration may overflow.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// All rules.
pub(super) fn all(config: &Config) -> Vec<ConfigProblem> {
    let mut problems = single_keys(config);
    problems.append(&mut relations(config));
    problems
}

/// The rules about the settings of `mqtt` that a connection follows which only publishes.
pub(super) fn publishing(config: &Config) -> Vec<ConfigProblem> {
    let mut report = Report::default();
    counts(config, &mut report);
    durations(config, &mut report);
    connection(config, &mut report);
    names(config, &mut report);
    protocol(config, &mut report);
    credentials(config, &mut report);
    bounds(config, &mut report);
    report.0.into_iter().chain(files(config)).filter(|problem| problem.key().starts_with("mqtt.")).collect()
}

/// Collects broken rules.
#[derive(Debug, Default)]
pub(super) struct Report(pub(super) Vec<ConfigProblem>);

impl Report {
    pub(super) fn refuse(&mut self, when: bool, key: &str, why: &str, fix: &str) {
        if when {
            self.0.push(ConfigProblem::new(key, why, fix));
        }
    }

    fn topic<T>(&mut self, key: &str, result: Result<T, TopicError>, fix: &str) {
        if let Err(error) = result {
            self.0.push(ConfigProblem::new(key, error.to_string(), fix));
        }
    }

    /// A text that goes over the wire as an MQTT string.
    fn string(&mut self, key: &str, text: Option<&str>) {
        let text = text.unwrap_or_default();
        self.refuse(text.len() > MAX_STRING_BYTES, key, "it is longer than 65535 bytes", "shorten it");
        self.refuse(text.contains('\0'), key, "it contains the null character", "remove it");
    }
}

/// Rules about one key each.
pub(super) fn single_keys(config: &Config) -> Vec<ConfigProblem> {
    let mut report = Report::default();
    counts(config, &mut report);
    durations(config, &mut report);
    connection(config, &mut report);
    names(config, &mut report);
    report.0.extend(config.sinks.iter().flat_map(|(name, settings)| settings.check(name)));
    report.0
}

fn counts(config: &Config, report: &mut Report) {
    let mqtt = &config.mqtt;
    match config.instances {
        Instances::Fixed(number) => report.refuse(
            !(1..=MAX_INSTANCES).contains(&number),
            "instances",
            "a worker runs 1 to 1024 instances",
            "set a number in that range and run more replicas beyond it",
        ),
        Instances::Elastic { min, max } => report.refuse(
            !(1..=max).contains(&min) || max > MAX_INSTANCES,
            "instances",
            "limits are 1 <= min <= max <= 1024",
            "set min and max so, and run more replicas beyond it",
        ),
    }
    elastic::shares(&config.elastic, report);
    report.refuse(
        config.runtime.io_threads > MAX_IO_THREADS,
        "runtime.io_threads",
        "sessions run on at most 256 threads",
        "set a number in that range",
    );
    report.refuse(mqtt.window == 0, "mqtt.window", "without a window no event arrives", "set it to at least 1");
    report.refuse(
        !(MIN_PACKET_BYTES..=MAX_PACKET_BYTES).contains(&mqtt.max_packet_bytes),
        "mqtt.max_packet_bytes",
        "MQTT packets are bounded from 1KiB, which every CONNACK fits in, to 268435460 bytes",
        "set a size in that range",
    );
    report.refuse(
        !(0.0..=1.0).contains(&config.kill_switch.failure_ratio),
        "kill_switch.failure_ratio",
        "a share lies between 0 and 1",
        "set it to 0.5 for half of all attempts, or 0 to switch it off",
    );
    report.refuse(
        mqtt.max_unfinished_bytes == 0,
        "mqtt.max_unfinished_bytes",
        "without room no event can be read",
        "set it to at least mqtt.max_packet_bytes",
    );
}

fn durations(config: &Config, report: &mut Report) {
    let Config { mqtt, dispatch, retry, drain, elastic, kill_switch, .. } = config;
    let positive = [
        ("mqtt.connect_timeout", Some(mqtt.connect_timeout)),
        ("mqtt.ping_timeout", Some(mqtt.ping_timeout)),
        ("mqtt.reconnect.min", Some(mqtt.reconnect.min)),
        ("mqtt.reconnect.max", Some(mqtt.reconnect.max)),
        ("dispatch.timeout", dispatch.timeout),
        ("retry.min_delay", Some(retry.min_delay)),
        ("retry.max_delay", Some(retry.max_delay)),
        ("drain.deadline", Some(drain.deadline)),
        ("drain.force", Some(drain.force)),
        ("elastic.grow_after", Some(elastic.grow_after)),
        ("elastic.shrink_after", Some(elastic.shrink_after)),
        ("elastic.cool_down", Some(elastic.cool_down)),
        ("kill_switch.interval", Some(kill_switch.interval)),
        ("kill_switch.pause", Some(kill_switch.pause)),
    ];
    for (key, duration) in positive {
        let fix = match key {
            "dispatch.timeout" => "set a duration above 0s, or leave the key out for no limit",
            _ => "set a duration above 0s",
        };
        report.refuse(duration == Some(Duration::ZERO), key, "0s has no meaning here", fix);
    }
    let rest = [
        ("mqtt.session_expiry", Some(mqtt.session_expiry)),
        ("mqtt.max_connection_age", Some(mqtt.max_connection_age)),
        ("mqtt.startup_timeout", Some(mqtt.startup_timeout)),
        ("group.presence.every", Some(config.group.presence.every)),
        ("dispatch.stall_after", Some(dispatch.stall_after)),
        ("dispatch.max_age", dispatch.max_age),
        ("retry.max_elapsed", Some(retry.max_elapsed)),
        ("reload.every", Some(config.reload.every)),
        // With its own, lower limit.
        ("mqtt.keep_alive", Some(mqtt.keep_alive).filter(|duration| *duration <= MAX_KEEP_ALIVE)),
    ];
    for (key, duration) in positive.into_iter().chain(rest) {
        let too_long = duration.is_some_and(|duration| duration > MAX_DURATION);
        report.refuse(too_long, key, "it is longer than 365 days", "set a shorter duration");
    }
    report.refuse(
        mqtt.ack_linger > MAX_ACK_LINGER,
        "mqtt.ack_linger",
        "the broker would wait for longer than 100 ms",
        "set it to a few milliseconds, or to 0s to acknowledge at once",
    );
    let keep_alive = mqtt.keep_alive;
    report.refuse(
        keep_alive > MAX_KEEP_ALIVE || keep_alive.subsec_nanos() != 0,
        "mqtt.keep_alive",
        "MQTT has room for whole seconds up to 65535s",
        "set a whole number of seconds, or 0s to switch pings off",
    );
}

fn connection(config: &Config, report: &mut Report) {
    let mqtt = &config.mqtt;
    for (at, broker) in mqtt.brokers().enumerate() {
        let key = if at == 0 { "mqtt.url" } else { "mqtt.fallback_urls" };
        let broker = match broker {
            Ok(broker) => broker,
            Err(problem) => {
                report.0.push(problem);
                continue;
            }
        };
        report.refuse(
            broker.transport.is_tls() && !cfg!(feature = "tls"),
            key,
            "this build has no TLS",
            "build with the feature `tls`, or use mqtt:// or ws://",
        );
        report.refuse(
            broker.transport.is_websocket() && !cfg!(feature = "websocket"),
            key,
            "this build has no WebSocket",
            "build with the feature `websocket`, or use mqtt:// or mqtts://",
        );
    }
    report.refuse(
        config.admin.enabled && !cfg!(feature = "admin"),
        "admin.enabled",
        "this build has no admin server",
        "build with the feature `admin`, or set it to false",
    );
    report.refuse(
        mqtt.qos == QoS::ExactlyOnce,
        "mqtt.qos",
        "an unfinished QoS 2 event sticks to the member that received it, so that no other can take it over",
        "set it to 1 and give records an idempotency key",
    );
    let server_name = mqtt.tls.server_name.as_deref();
    report.refuse(
        server_name.is_some_and(|name| !address::is_host(name)),
        "mqtt.tls.server_name",
        "it is neither a host name nor an IP address",
        "write the name in the server's certificate",
    );
}

fn names(config: &Config, report: &mut Report) {
    let Config { mqtt, group, identity, .. } = config;
    report.string("mqtt.username", mqtt.username.as_deref());
    report.refuse(
        mqtt.password.as_ref().is_some_and(|password| password.expose().len() > MAX_STRING_BYTES),
        "mqtt.password",
        "it is longer than 65535 bytes",
        "shorten it",
    );
    for (name, value) in &mqtt.user_properties {
        let key = dotted(&["mqtt".into(), "user_properties".into(), name.clone()]);
        report.string(&key, Some(name));
        report.string(&key, Some(value));
    }
    if let Some(will) = &mqtt.will {
        report.topic("mqtt.will.topic", TopicName::new(&will.topic), "set a topic name without wildcards");
        report.refuse(
            will.qos == QoS::ExactlyOnce,
            "mqtt.will.qos",
            "Tidemill does not use QoS 2, and many brokers refuse it",
            "set it to 1",
        );
        let too_long = will.payload.len() > MAX_STRING_BYTES;
        report.refuse(too_long, "mqtt.will.payload", "it is longer than 65535 bytes", "shorten it");
    }
    if let Some(name) = &group.name {
        report.topic("group.name", ShareName::new(name), "choose another name");
        report.refuse(name.len() > MAX_STRING_BYTES, "group.name", "it is longer than 65535 bytes", "shorten it");
    }
    let canary = TopicName::new(&group.verify_topic);
    report.topic("group.verify_topic", canary, "set a topic name without wildcards");
    presence(config, report);
    let parts = [("identity.prefix", Some(&identity.prefix)), ("identity.replica", identity.replica.as_ref())];
    for (key, part) in parts {
        report.refuse(
            part.is_some_and(|part| !is_part_of_id(part)),
            key,
            "brokers limit the length and the characters of client IDs, and access rules put them into topics",
            "use 1 to 128 printable ASCII characters without space, /, + and #",
        );
    }
}

fn presence(config: &Config, report: &mut Report) {
    const KEY: &str = "group.presence.topic";
    let group = &config.group;
    let Some(topic) = &group.presence.topic else { return };
    report.refuse(
        !topic.contains("{id}") && !topic.contains("{replica}"),
        KEY,
        "workers with the same topic would overwrite each other's message",
        "put {id} into it, as in tidemill/groups/{group}/{id}",
    );
    report.refuse(
        topic.contains("{group}") && group.name.is_none(),
        KEY,
        "it has {group}, and the worker has no group",
        "set group.name or leave {group} out",
    );
    if let Some(topic) = group.presence.topic_of(Some("g"), "r", "i") {
        report.topic(KEY, TopicName::new(&topic), "set a topic name without wildcards");
        let fix = "the names are {group}, {replica} and {id}";
        report.refuse(topic.contains(['{', '}']), KEY, "it has a name in braces that nothing is known about", fix);
    }
    let shortest = Duration::from_secs(1);
    report.refuse(
        group.presence.every < shortest,
        "group.presence.every",
        "messages expire after whole seconds",
        "set it to at least 1s",
    );
}

fn is_part_of_id(part: &str) -> bool {
    (1..=MAX_PREFIX_BYTES).contains(&part.len())
        && part.bytes().all(|byte| byte.is_ascii_graphic())
        && !part.contains(['/', '+', '#'])
}

/// Rules about several keys.
fn relations(config: &Config) -> Vec<ConfigProblem> {
    let mut report = Report::default();
    membership(config, &mut report);
    protocol(config, &mut report);
    credentials(config, &mut report);
    bounds(config, &mut report);
    report.0
}

fn membership(config: &Config, report: &mut Report) {
    let grouped = config.group_label().is_some();
    report.refuse(
        config.instances.max() > 1 && !grouped && !config.broadcast && config.identity.mode != IdentityMode::Platform,
        "instances",
        "without a group every instance would get every event",
        "set group.name to share the events, or broadcast = true if that is meant",
    );
    report.refuse(
        config.broadcast && matches!(config.instances, Instances::Elastic { .. }),
        "instances",
        "in a broadcast every instance gets every event, so that more of them lighten no load",
        "set a number, or share the events with group.name",
    );
    let (judges, holds) = (config.kill_switch.failure_ratio > 0.0, config.kill_switch.sink_breakers);
    report.refuse(
        !grouped && (judges || holds),
        if judges { "kill_switch.failure_ratio" } else { "kill_switch.sink_breakers" },
        "without a group nobody takes over the events of a route that is paused, so that they would be lost",
        "set group.name, or switch it off",
    );
    report.refuse(
        config.broadcast && config.group.name.is_some(),
        "broadcast",
        "a group gives each event to one instance, a broadcast to all",
        "remove group.name or set broadcast = false",
    );
    report.refuse(
        config.identity.mode == IdentityMode::Ephemeral && !config.mqtt.session_expiry.is_zero(),
        "mqtt.session_expiry",
        "a generated client ID never returns to its session: every restart would leave a ghost member that goes on \
         being given its share of the events until the session expires",
        "set it to 0s",
    );
    let durable = config.identity.mode == IdentityMode::Durable;
    report.refuse(
        durable && config.identity.replica.is_none(),
        "identity.replica",
        "a durable client ID needs a name that is the same after a restart and different on every replica",
        "set it, in Kubernetes to the name of the StatefulSet's pod (TIDEMILL_IDENTITY__REPLICA from metadata.name)",
    );
    report.refuse(
        !durable && config.identity.state_dir.is_some(),
        "identity.state_dir",
        "sessions of generated client IDs end with their connections, so that there is nothing to write down",
        "remove it, or set identity.mode = \"durable\"",
    );
    report.refuse(
        durable && config.mqtt.session_expiry.is_zero(),
        "mqtt.session_expiry",
        "a durable session must outlive a restart",
        "set it above what a restart or a rescheduled pod takes, such as 10m",
    );
    report.0.extend(profile::check::refusal(config));
    platform(config, report);
}

/// The rules of the platform need its dialect, which not every build has.
fn platform(config: &Config, report: &mut Report) {
    if config.identity.mode != IdentityMode::Platform {
        return;
    }
    #[cfg(feature = "platform")]
    report.0.extend(crate::platform::rules(config));
    report.refuse(
        !cfg!(feature = "platform"),
        "identity.mode",
        "this build does not know the platform",
        "build with the feature `platform`, or choose another mode",
    );
}

fn protocol(config: &Config, report: &mut Report) {
    let mqtt = &config.mqtt;
    if mqtt.version == MqttVersion::V3_1_1 {
        report.refuse(
            !mqtt.user_properties.is_empty(),
            "mqtt.user_properties",
            "MQTT 3.1.1 has no user properties",
            "remove them or set mqtt.version to \"5\"",
        );
        report.refuse(
            mqtt.username.is_none() && (mqtt.password.is_some() || mqtt.password_file.is_some()),
            "mqtt.username",
            "MQTT 3.1.1 allows no password without a user name [MQTT-3.1.2-22]",
            "set it, or set mqtt.version to \"5\"",
        );
    }
    let tls = &mqtt.tls;
    let plain = mqtt.broker().is_ok_and(|broker| !broker.transport.is_tls());
    let given = [
        ("mqtt.tls.ca_file", tls.ca_file.is_some()),
        ("mqtt.tls.cert_file", tls.cert_file.is_some()),
        ("mqtt.tls.key_file", tls.key_file.is_some()),
        ("mqtt.tls.server_name", tls.server_name.is_some()),
        ("mqtt.tls.insecure_skip_verify", tls.insecure_skip_verify),
    ];
    for (key, given) in given {
        let fix = format!("use mqtts:// or wss:// in mqtt.url, which encrypt, or leave {key} out");
        report.refuse(plain && given, key, "the connection is not encrypted, as mqtt.url has no TLS", &fix);
    }
}

fn credentials(config: &Config, report: &mut Report) {
    let mqtt = &config.mqtt;
    report.refuse(
        mqtt.password.is_some() && mqtt.password_file.is_some(),
        "mqtt.password_file",
        "mqtt.password is set as well",
        "remove one of the two",
    );
    let (cert, key) = (mqtt.tls.cert_file.is_some(), mqtt.tls.key_file.is_some());
    let missing = "certificate and key of the client go together";
    report.refuse(key && !cert, "mqtt.tls.cert_file", missing, "set it as well, or remove mqtt.tls.key_file");
    report.refuse(cert && !key, "mqtt.tls.key_file", missing, "set it as well, or remove mqtt.tls.cert_file");
}

fn bounds(config: &Config, report: &mut Report) {
    let Config { mqtt, retry, .. } = config;
    for (name, settings) in &config.sinks {
        report.refuse(
            settings.linger >= config.drain.deadline,
            &dotted(&["sinks".into(), name.clone(), "linger".into()]),
            "it is not below drain.deadline, so that a worker could leave before its last batch is written",
            "lower it or raise drain.deadline",
        );
    }
    elastic::marks(&config.elastic, report);
    report.refuse(
        u64::from(mqtt.max_packet_bytes) > mqtt.max_unfinished_bytes,
        "mqtt.max_unfinished_bytes",
        "it is below mqtt.max_packet_bytes, so that one allowed packet would exceed it",
        "raise it or lower mqtt.max_packet_bytes",
    );
    report.refuse(
        mqtt.reconnect.min > mqtt.reconnect.max,
        "mqtt.reconnect.min",
        "it is above mqtt.reconnect.max",
        "lower it or raise mqtt.reconnect.max",
    );
    report.refuse(
        retry.min_delay > retry.max_delay,
        "retry.min_delay",
        "it is above retry.max_delay",
        "lower it or raise retry.max_delay",
    );
}

/// Files that cannot be used.
pub(super) fn files(config: &Config) -> Vec<ConfigProblem> {
    let tls = &config.mqtt.tls;
    let readable = |key: &str, path: &Path| {
        // Opening a directory succeeds on Unix, reading one does not.
        std::fs::read(path).err().map(|error| {
            let why = format!("file {} cannot be read, {error}", path.display());
            ConfigProblem::new(key, why, "name a file that this process may read")
        })
    };
    let named = [
        ("mqtt.tls.ca_file", &tls.ca_file),
        ("mqtt.tls.cert_file", &tls.cert_file),
        ("mqtt.tls.key_file", &tls.key_file),
    ];
    let token = config.platform.token_file.as_deref();
    let token = token.and_then(|path| Secret::read("platform.token_file", path).err());
    let plain = named.into_iter().filter_map(|(key, path)| readable(key, path.as_deref()?));
    let secrets = [config.mqtt.read_password().err(), config.admin.read_token().err(), token];
    plain.chain(secrets.into_iter().flatten()).collect()
}
