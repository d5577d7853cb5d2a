//! The client library: its settings, its log, its end.
//!
//! Invariant: messages of a partition are delivered in the order in which they were handed over, or not at all. A client
//! serves one write at a time: it packs messages of one partition into one request, which a broker takes or refuses as a
//! whole, and so never packs those of two writes together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureProducer;
use tidemill_core::SinkError;
use tokio::runtime::Handle;

use super::config::KafkaConfig;
use super::error::Problem;

/// What the client library says of itself.
#[derive(Clone, Default)]
pub(super) struct Watch {
    /// A broker has refused the login.
    login_refused: Arc<AtomicBool>,
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, about: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(about, "{text}");
            }
            _ => tracing::debug!(about, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, _: &str) {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)) {
            self.login_refused.store(true, Ordering::Relaxed);
        }
    }
}

pub(super) type Producer = FutureProducer<Watch>;

/// A client. When it is dropped, it withdraws what is still on the way.
pub(super) struct Client {
    /// There until it is dropped.
    producer: Option<Producer>,
    watch: Watch,
}

impl Client {
    /// The client library's handle. Nobody keeps it longer than this.
    pub(super) fn producer(&self) -> Option<&Producer> {
        self.producer.as_ref()
    }

    /// Whether a broker has refused the login.
    pub(super) fn is_login_refused(&self) -> bool {
        self.watch.login_refused.load(Ordering::Relaxed)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // On a thread where it may take its time.
        let producer = self.producer.take();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(producer))),
            Err(_) => drop(producer),
        }
    }
}

/// Settings that the sink's promises rest on, or that have a place of their own.
const OWN: [&str; 14] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "enable.idempotence",
    "acks",
    "request.required.acks",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "retries",
    "message.send.max.retries",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "transactional.id",
    "security.protocol",
    "ssl.ca.location",
];

/// A client with these settings. It connects by itself, in threads of its own. Reads files: call it where that may block.
///
/// # Errors
/// The settings are wrong.
pub(super) fn start(config: &KafkaConfig) -> Result<Client, SinkError> {
    let wrong = |problem: Problem| SinkError::misconfigured(problem);
    if config.brokers.is_empty() || config.brokers.iter().any(|broker| broker.contains("://") || broker.contains('@')) {
        return Err(wrong(Problem::BadBrokers));
    }
    if (config.tls || config.sasl.as_ref().is_some_and(|sasl| sasl.mechanism.starts_with("SCRAM")))
        && !cfg!(feature = "kafka-tls")
    {
        return Err(wrong(Problem::NoTls));
    }
    let brokers: Vec<&str> = config.brokers.iter().map(|broker| broker.as_str()).collect();
    let mut settings = ClientConfig::new();
    let propagation = config.timeout.as_millis() / 2;
    settings
        // As in clients in Java, so that both put a key into the same partition.
        .set("partitioner", "murmur2_random")
        // The engine gathers batches already.
        .set("linger.ms", "1")
        .set("client.id", "tidemill");
    let names = config.properties.keys().chain(config.secret_properties.keys());
    if let Some(name) = names.into_iter().find(|name| OWN.contains(&name.as_str()) || name.starts_with("sasl.")) {
        return Err(wrong(Problem::OwnProperty(name.clone())));
    }
    if let Some(name) = config.properties.secret_name() {
        return Err(wrong(Problem::SecretProperty(name.to_owned())));
    }
    for (name, value) in config.properties.iter() {
        settings.set(name, value);
    }
    for (name, secret) in &config.secret_properties {
        settings.set(name, secret.read().map_err(SinkError::misconfigured)?);
    }
    settings
        .set("bootstrap.servers", brokers.join(","))
        .set("enable.idempotence", "true")
        // A message that is given up alone leaves a gap, and those behind it would come before it. The sink gives up
        // all at once.
        .set("message.timeout.ms", "0")
        .set("topic.metadata.propagation.max.ms", propagation.to_string());
    let protocol = match (config.tls, &config.sasl) {
        (false, None) => "plaintext",
        (true, None) => "ssl",
        (false, Some(_)) => "sasl_plaintext",
        (true, Some(_)) => "sasl_ssl",
    };
    settings.set("security.protocol", protocol);
    if let Some(path) = &config.ca_file {
        settings.set("ssl.ca.location", path.to_string_lossy());
    }
    if let Some(sasl) = &config.sasl {
        let password = sasl.password.read().map_err(SinkError::misconfigured)?;
        settings.set("sasl.mechanism", &sasl.mechanism).set("sasl.username", &sasl.username);
        settings.set("sasl.password", password);
    }
    let watch = Watch::default();
    let producer = settings.create_with_context(watch.clone());
    let producer = producer.map_err(|error| wrong(Problem::BadProperties(what_is_wrong(error))))?;
    Ok(Client { producer: Some(producer), watch })
}

/// Not the value, which may be a secret.
fn what_is_wrong(error: KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, name, _) => format!("{name}: {why}"),
        KafkaError::ClientCreation(why) => why,
        other => other.to_string(),
    }
}
