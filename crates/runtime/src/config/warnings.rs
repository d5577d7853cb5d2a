//! Settings that are allowed and that an operator should know about. Nothing here stops a worker.

use std::time::Duration;

use tidemill_core::QoS;

use super::keys::dotted;
use super::validate::Report;
use super::{BrokerAddress, Config, ConfigProblem, IdentityMode, Overflow, PlatformConfig, RetryConfig};
use crate::profile;

/// What is worth a line in the log at start.
pub(super) fn all(config: &Config) -> Vec<ConfigProblem> {
    let Config { mqtt, dispatch, retry, drain, admin, .. } = config;
    let mut report = Report::default();
    report.refuse(
        mqtt.tls.insecure_skip_verify,
        "mqtt.tls.insecure_skip_verify",
        "the broker's certificate is not verified, so that whoever is on the path can read and change everything",
        "set mqtt.tls.ca_file instead",
    );
    let exposed = |broker: Result<BrokerAddress, _>| {
        broker.is_ok_and(|broker| !broker.transport.is_tls() && !broker.is_loopback())
    };
    let secrets = [&mqtt.password, &config.platform.token];
    let files = [&mqtt.password_file, &config.platform.token_file];
    let has_secret = secrets.iter().any(|secret| secret.is_some()) || files.iter().any(|file| file.is_some());
    for (key, exposed) in
        [("mqtt.url", exposed(mqtt.broker())), ("mqtt.fallback_urls", mqtt.brokers().skip(1).any(exposed))]
    {
        let why = "the password crosses the network unencrypted";
        report.refuse(exposed && has_secret, key, why, "use mqtts:// or wss://");
    }
    report.refuse(
        dispatch.qos0_overflow == Overflow::DropNewest && mqtt.qos != QoS::AtMostOnce,
        "dispatch.qos0_overflow",
        "it has no effect with mqtt.qos 1, where an event that overflows must not be lost",
        "leave it out, or set mqtt.qos to 0",
    );
    report.refuse(
        mqtt.keep_alive.is_zero(),
        "mqtt.keep_alive",
        "without pings a dead connection is found late, and its share of the events waits there",
        "set it to 30s",
    );
    report.refuse(
        retry.max_attempts == 0 && retry.max_elapsed.is_zero(),
        "retry.max_attempts",
        "without a limit an event that always fails blocks its key for ever",
        "set it, or retry.max_elapsed",
    );
    report.refuse(
        dispatch.timeout.is_some_and(|timeout| timeout > drain.deadline),
        "drain.deadline",
        "it is below dispatch.timeout, so that leaving cuts attempts that are within their time",
        "raise it or lower dispatch.timeout",
    );
    report.refuse(
        !dispatch.stall_after.is_zero() && dispatch.stall_after.saturating_mul(3) < longest_retries(retry),
        "retry.max_elapsed",
        "in a full window an event is dead-lettered after 3 x dispatch.stall_after, before its retries are over",
        "lower it or raise dispatch.stall_after",
    );
    for (name, sink) in &config.sinks {
        report.refuse(
            sink.write_timeout > drain.deadline,
            &dotted(&["sinks".into(), name.clone(), "write_timeout".into()]),
            "it is above drain.deadline, so that leaving cuts writes that are within their time",
            "lower it or raise drain.deadline",
        );
    }
    report.refuse(
        admin.enabled && !admin.listen.ip().is_loopback(),
        "admin.listen",
        "whoever reaches this address can read metrics and status",
        "restrict it with a network policy",
    );
    report.refuse(
        config.identity.mode != IdentityMode::Platform && config.platform != PlatformConfig::default(),
        "platform",
        "it has no effect without identity.mode = \"platform\"",
        "set the mode, or remove the section",
    );
    report.0.extend(profile::check::warning(config));
    report.0
}

/// For how long the attempts of one event may go on, by their waits alone. Zero where nothing bounds them, which has a
/// warning of its own.
fn longest_retries(retry: &RetryConfig) -> Duration {
    if retry.max_attempts == 0 {
        return retry.max_elapsed;
    }
    let (mut all, mut wait) = (Duration::ZERO, retry.min_delay.saturating_mul(2).max(Duration::from_millis(1)));
    for left in (1..retry.max_attempts).rev() {
        if wait >= retry.max_delay {
            all = all.saturating_add(retry.max_delay.saturating_mul(left));
            break;
        }
        all = all.saturating_add(wait);
        wait = wait.saturating_mul(2);
    }
    if retry.max_elapsed.is_zero() { all } else { all.min(retry.max_elapsed) }
}
