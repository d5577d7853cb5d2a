//! What every sink must hold. Nothing can stand between the client and a broker, since brokers say themselves where they
//! are: cuts and silence are in the tests of reports.

use std::sync::Arc;

use async_trait::async_trait;
use rdkafka::types::RDKafkaRespErr;
use tidemill_core::{Record, Sink};
use tidemill_testkit::sink_conformance::{Misconfigured, Seen, Target};

use super::super::{KafkaConfig, KafkaSasl};
use super::cluster::{Cluster, TOPIC};
use crate::{Secret, Template};

#[async_trait]
impl Target for Cluster {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink(|_| {})
    }

    async fn read_all(&self) -> Vec<Seen> {
        let seen = self.read().await.into_iter();
        seen.map(|stored| Seen::new(stored.payload).with_key(stored.key.unwrap())).collect()
    }

    async fn outage(&self) {
        self.down().await;
    }

    async fn recover(&self) {
        self.up().await;
    }

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new("bad").with_key("key-1").with_header("word", "two.words"))
    }

    fn oversize_record(&self) -> Option<Record> {
        Some(Record::new(vec![b'x'; 2_000_000]).with_key("key-1"))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let says = |change: fn(&mut KafkaConfig), says| Misconfigured::new(self.sink(change), says);
        let mut mistakes = vec![
            says(|config| config.brokers.clear(), "each written as in host:9092"),
            says(|config| config.brokers = vec!["kafka://h".into()], "each written as in host:9092"),
            says(|config| config.topic = Template::new("a b").unwrap(), "name another one"),
            says(
                |config| drop(config.properties.insert("sasl.password".into(), "s3cret".into())),
                "it has a setting of its own",
            )
            .hides("s3cret"),
            says(
                |config| drop(config.properties.insert("ssl.key.password".into(), "s3cret".into())),
                "put it into secret_properties",
            )
            .hides("s3cret"),
            says(|config| drop(config.properties.insert("acks".into(), "0".into())), "no order would be kept"),
            says(|config| drop(config.properties.insert("no.such".into(), "s3cret".into())), "no.such").hides("s3cret"),
            says(
                |config| config.sasl = Some(KafkaSasl::new("PLAIN", "worker", Secret::Env("TIDEMILL_NOT_SET".into()))),
                "set it for the worker",
            ),
        ];
        if !cfg!(feature = "kafka-tls") {
            mistakes.push(says(|config| config.tls = true, "the feature kafka-tls"));
        }
        mistakes
    }
}

async fn start() -> Option<Cluster> {
    Some(Cluster::start().await)
}

mod real_server {
    tidemill_testkit::conformance!(super::start);
}

#[tokio::test]
async fn a_topic_that_is_not_there_or_forbidden_is_said_in_a_sentence() {
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    ] {
        let cluster = Cluster::start().await;
        cluster.topic_fails(error).await;
        let sink = cluster.sink(|config| config.topic = Template::new(TOPIC).unwrap());
        let error = sink.open().await.unwrap_err();
        assert_eq!(error.kind(), tidemill_core::SinkErrorKind::Misconfigured);
        assert!(tidemill_core::report(&error).contains("create it, and allow writing to it"));
    }
}
