//! HTTP requests to a server on a thread of its own that answers 200: bare, the same client without anything around it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use reqwest::Client;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Http, HttpBody, HttpConfig, Template};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::contest::Contest;
use crate::feed::Error;

/// A request per batch, and a request per record.
pub(super) fn contests() -> Result<[Contest; 2], Error> {
    // The client wants one although nothing is encrypted here. Another part of the process may have been faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Arc::new(Server::start()?);
    let url = format!("http://{}/in", server.addr);
    let template = Template::new(&url).map_err(|source| Error::because("name the server", source))?;
    let contest = |name, means, body| {
        let (url, template) = (url.clone(), template.clone());
        let bare = move || Bare { url: url.clone(), client: Client::new(), whole: body == HttpBody::Ndjson };
        let ours = move || Http::new(HttpConfig::new(template.clone()).body(body));
        Contest::new(name, means, ours, bare).with_server(Arc::clone(&server))
    };
    Ok([
        contest("http-batch", "reqwest, a request per batch", HttpBody::Ndjson),
        contest("http-record", "reqwest, a request per record", HttpBody::Record),
    ])
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
            return self.send(super::file::lines(batch).into()).await;
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
                let router =
                    Router::new().route("/in", post(|_: bytes::Bytes| async {})).layer(DefaultBodyLimit::disable());
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
