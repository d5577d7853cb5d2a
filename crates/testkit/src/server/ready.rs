//! Seeing that a server is ready.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Place;

/// One question may take this long: a server that is starting may accept and then say nothing.
const QUESTION: Duration = Duration::from_secs(2);

/// A question that is asked again and again until the answer is yes.
type Probe = dyn Fn(Place) -> BoxFuture<'static, bool> + Send + Sync;

/// How one sees that a server is ready.
#[derive(Clone)]
#[non_exhaustive]
pub enum Ready {
    /// All its ports accept connections.
    Listens,
    /// It answers this path on its port of that number with a status of 200 to 299.
    Http {
        /// Which of the server's ports, from 0.
        port: usize,
        /// With the slash at its beginning.
        path: &'static str,
    },
    /// It has logged this text since it was started.
    Logs(&'static str),
    /// Something else, see [`Ready::asks`].
    Asks(Arc<Probe>),
}

impl Ready {
    /// Asks in a way of its own.
    pub fn asks<F>(probe: impl Fn(Place) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        Self::Asks(Arc::new(move |place| Box::pin(probe(place))))
    }

    pub(super) async fn is_reached(&self, place: &Place) -> bool {
        let question = async {
            match self {
                Self::Listens => {
                    for port in 0..place.port_count() {
                        if TcpStream::connect(place.addr(port)).await.is_err() {
                            return false;
                        }
                    }
                    true
                }
                Self::Http { port, path } => http_ok(place.addr(*port), path).await.unwrap_or(false),
                Self::Logs(text) => place.log_of_start().contains(text),
                Self::Asks(probe) => probe(place.clone()).await,
            }
        };
        timeout(QUESTION, question).await.unwrap_or(false)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listens => f.write_str("Listens"),
            Self::Http { port, path } => f.debug_struct("Http").field("port", port).field("path", path).finish(),
            Self::Logs(text) => f.debug_tuple("Logs").field(text).finish(),
            Self::Asks(_) => f.write_str("Asks"),
        }
    }
}

async fn http_ok(addr: SocketAddr, path: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status.starts_with(b"HTTP/1.") && status[9] == b'2')
}
