//! How settings of a connection are shown that may have a credential in them by mistake.
//!
//! Invariant: neither `Debug` nor a serialised form shows who logs in with a URL, or its query; and `Debug` shows no value
//! of a user property, since some brokers take a token there (G12). Rules refuse such URLs only later, in `validate`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::{MqttConfig, Secret, address};

const HIDDEN: &str = "***";

/// A URL that can be used, or has nothing in it that could be a credential. Of others only the scheme is left: nobody
/// knows what was meant as a password.
fn shown(url: &str) -> Cow<'_, str> {
    if !url.contains(['@', '?', '#']) || address::parse("mqtt.url", url).is_ok() {
        return Cow::Borrowed(url);
    }
    let is_scheme = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let scheme = url.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme);
    scheme.map_or(Cow::Borrowed(HIDDEN), |scheme| Cow::Owned(format!("{scheme}://{HIDDEN}")))
}

pub(super) fn url<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(url))
}

pub(super) fn urls<S: Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    shown_all(urls).serialize(serializer)
}

fn shown_all(urls: &[String]) -> Vec<Cow<'_, str>> {
    urls.iter().map(|url| shown(url)).collect()
}

struct Names<'a>(&'a BTreeMap<String, String>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, Secret::default()))).finish()
    }
}

impl fmt::Debug for MqttConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that a new field cannot be forgotten.
        let Self {
            url,
            fallback_urls,
            broker,
            version,
            qos,
            username,
            password,
            password_file,
            keep_alive,
            connect_timeout,
            startup_timeout,
            ping_timeout,
            window,
            max_unfinished_bytes,
            max_packet_bytes,
            topic_alias_max,
            session_expiry,
            max_connection_age,
            user_properties,
            will,
            tls,
            reconnect,
            ack_linger,
            tcp_nodelay,
        } = self;
        f.debug_struct("MqttConfig")
            .field("url", &shown(url))
            .field("fallback_urls", &shown_all(fallback_urls))
            .field("broker", broker)
            .field("version", version)
            .field("qos", qos)
            .field("username", username)
            .field("password", password)
            .field("password_file", password_file)
            .field("keep_alive", keep_alive)
            .field("connect_timeout", connect_timeout)
            .field("startup_timeout", startup_timeout)
            .field("ping_timeout", ping_timeout)
            .field("window", window)
            .field("max_unfinished_bytes", max_unfinished_bytes)
            .field("max_packet_bytes", max_packet_bytes)
            .field("topic_alias_max", topic_alias_max)
            .field("session_expiry", session_expiry)
            .field("max_connection_age", max_connection_age)
            .field("user_properties", &Names(user_properties))
            .field("will", will)
            .field("tls", tls)
            .field("reconnect", reconnect)
            .field("ack_linger", ack_linger)
            .field("tcp_nodelay", tcp_nodelay)
            .finish()
    }
}
