//! Building a worker: every mistake is reported at once, with its key and the way out.

use std::sync::atomic::{AtomicU32, Ordering};

use tidemill_core::{Record, Sink, SinkError, SinkTraits, async_trait};
use tidemill_runtime::{BuildError, Config, Route, Worker, WorkerBuilder};

use crate::support::*;

fn refused(config: Config, assemble: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> BuildError {
    assemble(Worker::builder(config)).build().expect_err("there are mistakes in it")
}

fn keys(error: &BuildError) -> Vec<&str> {
    error.problems().iter().map(tidemill_runtime::ConfigProblem::key).collect()
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_keys() {
    let mut config = config();
    config.mqtt.url = "tcp://broker".to_owned();
    config.mqtt.window = 0;
    config.instances = 0.into();
    config.group.name = Some("a/b".to_owned());
    config.mqtt.password_file = Some("/no/such/file".into());
    config.dead_letters.sink = Some("letters".to_owned());
    let error = refused(config, |worker| {
        worker
            .route("a/{x}/#", Fine)
            .route("bad/#/filter", Fine)
            .add_route(Route::new("c/d", Fine).named("same"))
            .add_route(Route::new("c/e", Fine).named("same"))
            .sink("out", Recording::new())
            .sink("out", Recording::new())
            .sink("", Recording::new())
            .sink("dead_letters", Recording::new())
    });
    let keys = keys(&error);
    for key in [
        "mqtt.url",
        "mqtt.window",
        "instances",
        "group.name",
        "mqtt.password_file",
        "dead_letters.sink",
        "routes",
        "sinks",
    ] {
        assert!(keys.contains(&key), "{key} is missing in {keys:?}");
    }
    assert_eq!(keys.iter().filter(|key| **key == "routes").count(), 2, "{error}");
    assert_eq!(keys.iter().filter(|key| **key == "sinks").count(), 3, "{error}");
    assert!(error.problems().iter().all(|problem| !problem.fix().is_empty()));
    assert_eq!(error.to_string().lines().count(), error.problems().len());
    assert_eq!(error.exit_code(), 64);
}

#[test]
fn a_worker_without_routes_is_refused() {
    let error = refused(config(), |worker| worker);
    assert_eq!(keys(&error), ["routes"]);
}

#[test]
fn routes_that_share_topics_without_one_covering_the_other_are_refused() {
    let error = refused(config(), |worker| worker.route("a/+/c", Fine).route("a/b/+", Fine));
    let text = error.to_string();
    assert!(keys(&error).contains(&"routes") && text.contains("a/+/c") && text.contains("a/b/+"), "{text}");
}

#[test]
fn routes_that_match_the_same_topics_are_refused() {
    let error = refused(config(), |worker| worker.route("a/{x}", Fine).route("a/{y}", Fine));
    assert!(error.to_string().contains("same topics"), "{error}");
}

#[test]
fn dead_letters_that_would_come_back_are_refused() {
    let error = refused(config(), |worker| worker.route("#", Fine));
    assert_eq!(keys(&error), ["dead_letters.topic_prefix"]);
    assert!(error.to_string().contains("come back"), "{error}");
    // With a sink for them there is no such topic.
    let mut config = config();
    config.dead_letters.sink = Some("letters".to_owned());
    assert!(Worker::builder(config).route("#", Fine).sink("letters", Recording::new()).build().is_ok());
}

#[test]
fn two_workers_on_one_registry_are_refused() {
    let registry = prometheus::Registry::new();
    let build = || Worker::builder(config()).route("t/#", Fine).registry(registry.clone()).build();
    let first = build().unwrap();
    let error = build().unwrap_err();
    assert_eq!(keys(&error), ["registry"]);
    drop(first);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| Some(directory.path().join(name));
    let mut config = config();
    config.mqtt.url = "mqtts://localhost".to_owned();
    config.mqtt.tls.ca_file = path("ca");
    config.mqtt.tls.cert_file = path("cert");
    config.mqtt.tls.key_file = path("key");
    let error = refused(config.clone(), |worker| worker.route("t/#", Fine));
    assert_eq!(keys(&error), ["mqtt.tls.ca_file", "mqtt.tls.cert_file", "mqtt.tls.key_file"]);
    // Files that are there and hold something else.
    for name in ["ca", "cert", "key"] {
        std::fs::write(directory.path().join(name), "not PEM").unwrap();
    }
    let error = refused(config, |worker| worker.route("t/#", Fine));
    assert!(error.to_string().contains("mqtt.tls.ca_file"), "{error}");
}

#[test]
fn a_build_that_fails_connects_to_nothing_and_leaves_the_registry_as_it_was() {
    let registry = prometheus::Registry::new();
    let mut wrong = config();
    wrong.mqtt.window = 0;
    assert!(Worker::builder(wrong).route("t/#", Fine).registry(registry.clone()).build().is_err());
    assert!(registry.gather().is_empty());
    assert!(Worker::builder(config()).route("t/#", Fine).registry(registry).build().is_ok());
}

/// Says so many times what it promises, and then panics.
struct Unsure(AtomicU32);

#[async_trait]
impl Sink for Unsure {
    fn traits(&self) -> SinkTraits {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(left.is_ok(), "nobody knows");
        SinkTraits::default()
    }

    async fn write(&self, _: &[Record]) -> Result<(), SinkError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_sink_that_panics_when_asked_what_it_promises_is_named_and_is_asked_once() {
    let error = refused(config(), |worker| worker.route("a/b", Fine).sink("out", Unsure(0.into())));
    assert_eq!(error.to_string(), "sinks.out: the sink panicked: nobody knows: mend its `traits`");
    let worker = Worker::builder(config()).route("a/b", Fine).sink("out", Unsure(1.into())).build().unwrap();
    let ended = worker.run_until(std::future::ready(())).await;
    assert!(ended.is_ok(), "{ended:?}");
}
