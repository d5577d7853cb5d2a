//! Entries of a stream in a real Redis: bare, a pipeline of the same commands per batch.

use async_trait::async_trait;
use redis::Client;
use redis::aio::MultiplexedConnection;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Redis, RedisConfig, RedisInto, Template};
use tidemill_testkit::redis::RedisServer;
use tokio::sync::OnceCell;

use super::contest::Contest;
use crate::feed::Error;

/// About so many entries are kept.
const KEPT: u64 = 100_000;

/// `None` where there is no Redis.
pub(super) async fn contest() -> Result<Option<Contest>, Error> {
    let Some(server) = RedisServer::start_or_skip(Default::default()).await else { return Ok(None) };
    let url = server.url();
    let key = Template::new("tidemill").map_err(|source| Error::because("name the stream", source))?;
    let client = Client::open(url.clone()).map_err(|source| Error::because("name the server", source))?;
    let ours = move || Redis::new(RedisConfig::new(url.clone(), key.clone()).into(RedisInto::Stream { max_len: KEPT }));
    let bare = move || Bare { client: client.clone(), connection: OnceCell::new() };
    Ok(Some(Contest::new("redis, a pipeline of XADD per batch", ours, bare).with_server(server)))
}

struct Bare {
    client: Client,
    connection: OnceCell<MultiplexedConnection>,
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let connect = || self.client.get_multiplexed_async_connection();
        let mut connection = self.connection.get_or_try_init(connect).await.map_err(SinkError::unavailable)?.clone();
        let mut pipeline = redis::pipe();
        for record in batch {
            let topic = record.topic.as_ref().map_or("", |topic| topic.as_str());
            pipeline.cmd("XADD").arg("bare").arg("MAXLEN").arg("~").arg(KEPT).arg("*");
            pipeline.arg("payload").arg(&record.payload[..]);
            pipeline.arg("key").arg(record.key.as_deref().unwrap_or_default()).arg("topic").arg(topic).ignore();
        }
        pipeline.query_async::<()>(&mut connection).await.map_err(SinkError::unavailable)
    }
}
