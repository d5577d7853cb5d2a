//! Settings that may have a secret in them by mistake, and how they are shown.
//!
//! Invariant: neither `Debug` nor serialized settings show who logs in with a URL, its query, or a value whose name tells
//! of a secret (G12). That such settings are also refused, with the place where the secret belongs, is each sink's part.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::{Deref, DerefMut};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};

const HIDDEN: &str = "***";

/// Where a server is, as text or as a template. Credentials do not belong there: sinks refuse a URL that has some, and
/// it does not show them.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ServerUrl<T = String>(T);

impl From<String> for ServerUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl From<&String> for ServerUrl {
    fn from(url: &String) -> Self {
        Self::from(url.clone())
    }
}

impl From<Cow<'_, str>> for ServerUrl {
    fn from(url: Cow<'_, str>) -> Self {
        Self::from(url.into_owned())
    }
}

impl From<&str> for ServerUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl From<crate::Template> for ServerUrl<crate::Template> {
    fn from(url: crate::Template) -> Self {
        Self(url)
    }
}

/// The whole of it. Do not log that.
impl<T> Deref for ServerUrl<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Display> fmt::Debug for ServerUrl<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&shown(&self.0.to_string()), f)
    }
}

impl<T: Display> Serialize for ServerUrl<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&shown(&self.0.to_string()))
    }
}

impl<T: JsonSchema> JsonSchema for ServerUrl<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A URL without who logs in, and without its query. Where an `@` stands elsewhere, nobody knows what was meant as a
/// password, and nothing but the scheme is left.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None if url.starts_with("//") => url.split_at(2),
        // A path is no URL.
        None if url.starts_with(['/', '.']) => return url.to_owned(),
        None => ("", url),
    };
    let (server, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if path.contains('@') {
        return format!("{scheme}{HIDDEN}");
    }
    let server = match server.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => server.to_owned(),
    };
    match path.find(['?', '#']) {
        Some(at) => format!("{scheme}{server}{}{HIDDEN}", &path[..=at]),
        None => format!("{scheme}{server}{path}"),
    }
}

/// Further settings of a sink's library or protocol by their names, without secrets: sinks refuse a name that tells of
/// one, and its value does not show. The others show as [`ServerUrl`] does, because libraries take a URL without its
/// scheme, too, such as `user:password@proxy:3128`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PlainValues<T = String>(BTreeMap<String, T>);

impl<T> PlainValues<T> {
    /// The first name that tells of a secret.
    #[must_use]
    pub fn secret_name(&self) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|name| tells_of_a_secret(name))
    }
}

impl<T> Default for PlainValues<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> From<BTreeMap<String, T>> for PlainValues<T> {
    fn from(values: BTreeMap<String, T>) -> Self {
        Self(values)
    }
}

impl<T> Deref for PlainValues<T> {
    type Target = BTreeMap<String, T>;

    fn deref(&self) -> &BTreeMap<String, T> {
        &self.0
    }
}

impl<T> DerefMut for PlainValues<T> {
    fn deref_mut(&mut self) -> &mut BTreeMap<String, T> {
        &mut self.0
    }
}

impl<T: Display> PlainValues<T> {
    fn shown(&self) -> impl Iterator<Item = (&String, String)> {
        self.0.iter().map(|(name, value)| {
            (name, if tells_of_a_secret(name) { HIDDEN.to_owned() } else { shown(&value.to_string()) })
        })
    }
}

impl<T: Display> fmt::Debug for PlainValues<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl<T: Display> Serialize for PlainValues<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

impl<T: JsonSchema> JsonSchema for PlainValues<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        BTreeMap::<String, T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

/// Whether what has this name must not show. A file that holds a secret, and what tells which key it is, may.
fn tells_of_a_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["authorization", "cookie", "password", "passwd", "secret", "token", "apikey", "key_pem", "sas_key"];
    const KEYS: [&str; 7] = ["api", "access", "account", "auth", "customer", "master", "private"];
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    let is_key = |of: &&str| name.contains(&format!("{of}_key"));
    let tells = WORDS.iter().any(|word| name.contains(word)) || KEYS.iter().any(is_key);
    tells && !["_file", "_id", "_location"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_neither_who_logs_in_nor_its_query() {
        for (url, seen) in [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://u:s3cret@h:6379/0", "redis://***@h:6379/0"),
            ("redis://s3cret@h", "redis://***@h"),
            ("amqp://u:s3@cret@h/%2f", "amqp://***@h/%2f"),
            ("amqp://u:s3/cret@h", "amqp://***"),
            ("amqp://u:s3?cret@h", "amqp://***"),
            ("amqp://u:s3#cret@h", "amqp://***"),
            ("u:s3cret@h:5432", "***@h:5432"),
            ("//u:s3cret@h:5432", "//***@h:5432"),
            ("u:s3/cret@h:5432", "***"),
            ("http:/u:s3cret@h", "***"),
            ("http://h/x?token=s3cret&a=b", "http://h/x?***"),
            ("http://h#s3cret", "http://h#***"),
            ("http://h/x?mail=s3cret@h", "http://***"),
            ("h:9092", "h:9092"),
            ("/var/lake/a@b", "/var/lake/a@b"),
            ("", ""),
        ] {
            let url = ServerUrl::from(url);
            assert_eq!(format!("{url:?}"), format!("{seen:?}"));
            assert_eq!(serde_json::to_value(&url).unwrap(), seen);
        }
    }

    #[test]
    fn a_value_whose_name_tells_of_a_secret_does_not_show() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "set-cookie",
            "X-Api-Key",
            "x-auth-token",
            "sasl.password",
            "ssl.key.pem",
            "aws_secret_access_key",
            "aws_sse_customer_key_base64",
            "azure_storage_account_key",
            "azure_storage_sas_key",
        ] {
            let values = PlainValues::from(BTreeMap::from([(name.to_owned(), "s3cret".to_owned())]));
            assert_eq!(values.secret_name(), Some(name));
            assert!(!format!("{values:?} {}", serde_json::to_string(&values).unwrap()).contains("s3cret"), "{name}");
        }
        for name in [
            "content-type",
            "idempotency-key",
            "x-key",
            "aws_access_key_id",
            "aws_sse_kms_key_id",
            "aws_web_identity_token_file",
            "ssl.key.location",
            "google_application_credentials",
        ] {
            let values = PlainValues::from(BTreeMap::from([(name.to_owned(), "seen".to_owned())]));
            assert_eq!(values.secret_name(), None);
            assert!(format!("{values:?}").contains("seen"), "{name}");
        }
    }

    #[test]
    fn a_value_shows_as_a_url_does_with_and_without_its_scheme() {
        for (value, seen) in [
            ("http://u:s3cret@proxy:3128", "http://***@proxy:3128"),
            ("u:s3cret@proxy:3128", "***@proxy:3128"),
            ("s3cret@proxy", "***@proxy"),
            ("//u:s3cret@proxy:3128/", "//***@proxy:3128/"),
            ("proxy:3128?token=s3cret", "proxy:3128?***"),
            ("proxy:3128", "proxy:3128"),
            ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
            ("eu-west-1", "eu-west-1"),
            ("/run/secrets/a@b", "/run/secrets/a@b"),
        ] {
            let values = PlainValues::from(BTreeMap::from([("proxy_url".to_owned(), value.to_owned())]));
            assert_eq!(format!("{values:?}"), format!("{{\"proxy_url\": {seen:?}}}"));
            assert_eq!(serde_json::to_value(&values).unwrap(), serde_json::json!({ "proxy_url": seen }));
        }
    }

    #[cfg(all(
        feature = "amqp",
        feature = "clickhouse",
        feature = "http",
        feature = "influx",
        feature = "kafka",
        feature = "nats",
        feature = "object-store",
        feature = "postgres",
        feature = "redis"
    ))]
    #[test]
    fn settings_of_sinks_show_no_credentials_that_stand_in_the_wrong_place() {
        use crate::*;

        fn shown(config: impl fmt::Debug + Serialize) -> String {
            format!("{config:?} {}", serde_json::to_string(&config).unwrap())
        }
        let template = |text: &str| Template::new(text).unwrap();
        let (name, text) = (Identifier::new("t").unwrap(), template("t"));
        let api = InfluxApi::V2 { org: "o".into(), bucket: "b".into() };
        for url in ["x://user:s3cret@h/?token=s3cret", "user:s3cret@h:1", "//user:s3cret@h:1"] {
            let http = HttpConfig::new(template(url)).header("authorization", template("Bearer s3cret"));
            for (sink, shown) in [
                ("amqp", shown(AmqpConfig::new(url, text.clone(), text.clone()))),
                ("clickhouse", shown(ClickhouseConfig::new(url, name.clone()))),
                ("http", shown(http)),
                ("influx", shown(InfluxConfig::new(url, api.clone(), text.clone()))),
                ("kafka", shown(KafkaConfig::new(url, text.clone()).property("sasl.password", "s3cret"))),
                ("nats", shown(NatsConfig::new(url, text.clone(), NatsMode::Core))),
                (
                    "object-store",
                    shown(
                        ObjectStoreConfig::new(url).option("aws_secret_access_key", "s3cret").option("proxy_url", url),
                    ),
                ),
                ("object-store", format!("{:?}", ObjectStore::new(ObjectStoreConfig::new(url)))),
                ("postgres", shown(PostgresConfig::new(url, "d", "u", name.clone()))),
                ("redis", shown(RedisConfig::new(url, text.clone()))),
            ] {
                assert!(shown.contains("***@h"), "{sink}: {shown}");
                assert!(!shown.contains("s3cret"), "{sink}: {shown}");
            }
        }
    }
}
