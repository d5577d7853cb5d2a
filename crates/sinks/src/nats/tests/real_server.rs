//! What every sink must hold, for JetStream; the core, streams and logins by themselves.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use async_trait::async_trait;
use futures_util::StreamExt;
use tidemill_core::{Record, Sink, SinkErrorKind, report};
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::nats::{NatsConfig as ServerConfig, NatsServer};
use tidemill_testkit::sink_conformance::{Misconfigured, Seen, Target};
use tokio::sync::Mutex;

use super::super::{Nats, NatsConfig, NatsMode};
use crate::{Secret, Template};

struct Server {
    server: Mutex<NatsServer>,
    proxy: FaultProxy,
}

impl Server {
    async fn start() -> Option<Self> {
        let login = Some(("worker".to_owned(), "s3cret".to_owned()));
        let config = ServerConfig { login, extra: "max_payload: 64KB".to_owned() };
        let server = NatsServer::start_or_skip(config).await?;
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        Some(Self { server: Mutex::new(server), proxy })
    }

    fn config(&self) -> NatsConfig {
        let subject = Template::new("out.{header:word|all}").unwrap();
        let config = NatsConfig::new(format!("nats://{}", self.proxy.addr()), subject, NatsMode::create("OUT"));
        let mut config = config.login("worker", Secret::Text("s3cret".into()));
        config.timeout = Duration::from_secs(2);
        config
    }

    fn with(&self, change: impl FnOnce(&mut NatsConfig)) -> Arc<dyn Sink> {
        let mut config = self.config();
        change(&mut config);
        Arc::new(Nats::new(config))
    }

    async fn client(&self) -> async_nats::Client {
        let addr = self.server.lock().await.addr();
        let options = async_nats::ConnectOptions::with_user_and_password("worker".into(), "s3cret".into());
        options.connect(format!("nats://{addr}")).await.unwrap()
    }
}

#[async_trait]
impl Target for Server {
    fn sink(&self) -> Arc<dyn Sink> {
        self.with(|_| {})
    }

    async fn read_all(&self) -> Vec<Seen> {
        let context = jetstream::new(self.client().await);
        let Ok(mut stream) = context.get_stream("OUT").await else { return Vec::new() };
        let count = usize::try_from(stream.info().await.unwrap().state.messages).unwrap();
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < count {
            let message = messages.next().await.unwrap().unwrap();
            let key = message.headers.as_ref().unwrap().get("tidemill-key").unwrap();
            seen.push(Seen::new(message.payload.clone()).with_key(key.as_str().to_owned()));
        }
        seen
    }

    async fn outage(&self) {
        self.server.lock().await.kill().await.unwrap();
    }

    async fn recover(&self) {
        self.server.lock().await.restart().await.unwrap();
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new("bad").with_key("key-1").with_header("word", "two.words"))
    }

    fn oversize_record(&self) -> Option<Record> {
        Some(Record::new(vec![b'x'; 65 * 1024]).with_key("key-1"))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let says = |change: fn(&mut NatsConfig), says| Misconfigured::new(self.with(change), says);
        vec![
            says(|config| config.password = Some(Secret::Text("wr0ng".into())), "set the right username and password")
                .hides("wr0ng"),
            says(|config| config.servers = vec!["nats://worker:s3cret@h".into()], "put them into username")
                .hides("s3cret"),
            says(|config| config.servers.clear(), "written as in nats://"),
            says(|config| config.mode = NatsMode::stream("NONE"), "set create = true"),
            says(|config| config.subject = Template::new("a.>").unwrap(), "words between dots without wildcards"),
            says(|config| config.subject = Template::new("{key}").unwrap(), "begin it with a word"),
            says(|config| config.credentials = Some(Secret::Text("x".into())), "name the .creds file"),
        ]
    }
}

tidemill_testkit::conformance!(Server::start);

#[tokio::test]
async fn a_subject_of_another_stream_is_refused() {
    let Some(server) = Server::start().await else { return };
    let context = jetstream::new(server.client().await);
    let make = async |name: &str, subject: &str| {
        let config = stream::Config { name: name.into(), subjects: vec![subject.into()], ..Default::default() };
        context.create_stream(config).await.unwrap();
    };
    make("ONE", "out.one").await;
    make("TWO", "out.two").await;
    let sink = server.with(|config| config.mode = NatsMode::stream("ONE"));
    sink.open().await.unwrap();
    let record = |word: &str| Record::new("x").with_header("word", word);
    let error = sink.write(&[record("two"), record("one"), record("three")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Rejected, "{}", report(&error));
    let refused: Vec<usize> = error.rejections().iter().map(|rejection| rejection.index).collect();
    assert_eq!(refused, [0, 2], "{:?}", error.rejections());
    let mut stream = context.get_stream("ONE").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);

    let sink = server.with(|config| {
        config.mode = NatsMode::stream("ONE");
        config.subject = Template::new("out.two").unwrap();
    });
    let error = sink.open().await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Misconfigured);
    assert!(report(&error).contains("add it to the stream's subjects"), "{}", report(&error));
}

#[tokio::test]
async fn a_full_stream_is_waited_for() {
    let Some(server) = Server::start().await else { return };
    let context = jetstream::new(server.client().await);
    let discard = stream::DiscardPolicy::New;
    let subjects = vec!["out.>".to_owned()];
    let config = stream::Config { name: "OUT".into(), subjects, max_messages: 1, discard, ..Default::default() };
    let stream = context.create_stream(config).await.unwrap();
    let sink = server.sink();
    sink.write(&[Record::new("1")]).await.unwrap();
    let error = sink.write(&[Record::new("2")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error));
    stream.purge().await.unwrap();
    sink.write(&[Record::new("2")]).await.unwrap();
}

#[tokio::test]
async fn the_core_hands_messages_to_who_listens() {
    let Some(server) = Server::start().await else { return };
    let mut listener = server.client().await.subscribe("out.>").await.unwrap();
    let sink = server.with(|config| config.mode = NatsMode::Core);
    assert!(!sink.traits().idempotent);
    sink.open().await.unwrap();
    // With what the protocol puts around its headers it is larger than the server takes.
    let large = Record::new(vec![b'x'; 64 * 1024 - 8]).with_header("a", "b");
    let batch = [Record::new("1").with_header("unit", "C").with_idempotency_key("i"), large, Record::new("2")];
    let error = sink.write(&batch).await.unwrap_err();
    assert_eq!(error.rejections().len(), 1);
    assert_eq!(error.rejections()[0].index, 1);
    let first = listener.next().await.unwrap();
    assert_eq!((&*first.payload, first.subject.as_str()), (&b"1"[..], "out.all"));
    assert_eq!(first.headers.unwrap().get("unit").unwrap().as_str(), "C");
    assert_eq!(&*listener.next().await.unwrap().payload, b"2");
}
