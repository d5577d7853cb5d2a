//! HTTP requests to a server on a thread of its own that answers 200: bare, the same client without anything around it.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Client;
use serde::de::IgnoredAny;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Http, HttpBody, HttpConfig, Template};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::contest::Contest;
use crate::feed::Error;

/// A request per batch, or per record.
pub(super) fn contest(body: HttpBody) -> Result<Contest, Error> {
    let server = Server::start()?;
    let url = format!("http://{}/in", server.addr);
    let template = Template::new(&url).map_err(|source| Error::because("name the server", source))?;
    let means = if body == HttpBody::Record { "reqwest, a request per record" } else { "reqwest, a request per batch" };
    let bare = move || Bare { url: url.clone(), client: client(), whole: body != HttpBody::Record };
    let ours = move || Http::new(HttpConfig::new(template.clone()).body(body));
    Ok(Contest::new(means, ours, bare).with_server(server))
}

/// A client that does not wait for ever.
pub(super) fn client() -> Client {
    let client = Client::builder().timeout(Duration::from_secs(10)).connect_timeout(Duration::from_secs(5));
    client.build().unwrap_or_default()
}

/// Compressed as the sinks compress by default.
pub(super) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Posts a body, and wants a success.
pub(super) async fn post(
    client: &Client,
    url: String,
    encoding: Option<&'static str>,
    body: Vec<u8>,
) -> Result<(), SinkError> {
    let mut request = client.post(url).body(body);
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    let answer = request.send().await.map_err(SinkError::unavailable)?;
    let answer = answer.error_for_status().map_err(SinkError::unavailable)?;
    answer.bytes().await.map(drop).map_err(SinkError::unavailable)
}

struct Bare {
    url: String,
    client: Client,
    whole: bool,
}

impl Bare {
    async fn send(&self, body: bytes::Bytes) -> Result<(), SinkError> {
        let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
        let answer = request.send().await.map_err(SinkError::unavailable)?;
        let answer = answer.error_for_status().map_err(SinkError::unavailable)?;
        answer.bytes().await.map(drop).map_err(SinkError::unavailable)
    }
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        if self.whole {
            for record in batch {
                // One payload that is no JSON would spoil the lines of all. That it is text is looked at by itself: in
                // strings that it passes over serde_json does not.
                let payload = std::str::from_utf8(&record.payload).map_err(SinkError::batch_refused)?;
                serde_json::from_str::<IgnoredAny>(payload).map_err(SinkError::batch_refused)?;
            }
            return self.send(super::file::lines(batch)?.into()).await;
        }
        for record in batch {
            self.send(record.payload.clone()).await?;
        }
        Ok(())
    }
}

/// Ends when it is dropped.
struct Server {
    addr: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Server {
    fn start() -> Result<Self, Error> {
        let failed = |source| Error::because("start the HTTP server", source);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel::<()>();
        thread::spawn(move || {
            runtime.block_on(async move {
                let router = Router::new()
                    .route("/in", routing::post(|_: bytes::Bytes| async {}))
                    .layer(DefaultBodyLimit::disable());
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = axum::serve(listener, router).into_future() => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { addr, _stop: stop })
    }
}
