//! Messages of a real NATS server: bare, a batch sent and then all of its answers, or a flush without JetStream.

use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::Config as StreamConfig;
use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Nats, NatsConfig, NatsMode, Template};
use tidemill_testkit::nats::NatsServer;
use tokio::sync::OnceCell;

use super::contest::Contest;
use crate::feed::Error;

const STREAM: &str = "OUT";
const SUBJECT: &str = "out.all";
/// So many messages are kept.
const KEPT: i64 = 100_000;

/// `None` where there is no NATS.
pub(super) async fn contest(stored: bool) -> Result<Option<Contest>, Error> {
    let Some(server) = NatsServer::start_or_skip(Default::default()).await else { return Ok(None) };
    let failed = |source| Error::because("create a stream", source);
    let url = format!("nats://{}", server.addr());
    if stored {
        let client = async_nats::connect(&url).await.map_err(|source| Error::because("connect to NATS", source))?;
        let stream = StreamConfig {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            max_messages: KEPT,
            ..StreamConfig::default()
        };
        async_nats::jetstream::new(client).create_stream(stream).await.map_err(failed)?;
    }
    let subject = Template::new(SUBJECT).map_err(|source| Error::because("name the subject", source))?;
    let target = url.clone();
    let ours = move || {
        let mode = if stored { NatsMode::stream(STREAM) } else { NatsMode::Core };
        Nats::new(NatsConfig::new(url.clone(), subject.clone(), mode))
    };
    let bare = move || Bare { url: target.clone(), stored, connection: OnceCell::new() };
    let means = if stored { "async-nats, a batch sent, all answers" } else { "async-nats, a batch sent, a flush" };
    Ok(Some(Contest::new(means, ours, bare).with_server(server)))
}

struct Bare {
    url: String,
    stored: bool,
    connection: OnceCell<(Client, Context)>,
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let connect = || async {
            let client = async_nats::connect(&self.url).await?;
            Ok::<_, async_nats::ConnectError>((client.clone(), async_nats::jetstream::new(client)))
        };
        let (client, jetstream) = self.connection.get_or_try_init(connect).await.map_err(SinkError::unavailable)?;
        let mut answers = Vec::with_capacity(batch.len());
        for record in batch {
            let mut headers = HeaderMap::new();
            let topic = record.topic.as_ref().map_or("", |topic| topic.as_str());
            let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
            if self.stored {
                headers.insert("Nats-Expected-Stream", STREAM);
            }
            headers.insert("tidemill-key", key);
            headers.insert("tidemill-topic", topic);
            let payload = record.payload.clone();
            if self.stored {
                let sent = jetstream.publish_with_headers(SUBJECT, headers, payload).await;
                answers.push(sent.map_err(SinkError::unavailable)?);
            } else {
                client.publish_with_headers(SUBJECT, headers, payload).await.map_err(SinkError::unavailable)?;
            }
        }
        for answer in answers {
            answer.await.map_err(SinkError::unavailable)?;
        }
        if !self.stored {
            client.flush().await.map_err(SinkError::unavailable)?;
        }
        Ok(())
    }
}
