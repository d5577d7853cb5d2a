//! Accepts TCP connections, and starts a task for every connection, whichever way it came in.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{Duration, sleep};

use super::connection;
use super::hub::Hub;
use super::shared::Shared;

/// Accepts until it is aborted.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Writes are batched here; the kernel need not wait for more.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                start(&shared, stream, &Handle::current());
            }
            Err(error) => {
                // Out of file descriptors, most likely; it passes when connections close.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Starts the task of a connection. A connection that is far beyond the limit is dropped.
pub(super) fn start<S>(shared: &Arc<Shared>, stream: S, runtime: &Handle)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(conn) = shared.with(Hub::register) else { return };
    let id = conn.id;
    let task = runtime.spawn(connection::serve(Arc::clone(shared), Arc::clone(&conn), stream));
    shared.with(|hub| hub.set_abort(id, task.abort_handle()));
}
