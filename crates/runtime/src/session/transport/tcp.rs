//! TCP. When a [stand-in](crate::session::stand_in) has the turn, the socket itself is asked whether it is ready.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::stand_in::stands_in;

pub(super) async fn connect(host: &str, port: u16, nodelay: bool) -> Result<Tcp, SessionError> {
    let stream = TcpStream::connect((host, port)).await.map_err(|error| {
        let text = format!("cannot reach the broker at {host}:{port}; check `mqtt.url` and that it is running");
        SessionError::new(SessionErrorKind::Connect, text).with_source(error)
    })?;
    if let Err(error) = stream.set_nodelay(nodelay) {
        tracing::debug!(error = %error, "TCP_NODELAY could not be set");
    }
    Ok(Tcp(stream))
}

/// A connection that works even while nobody drives its runtime.
#[derive(Debug)]
pub(super) struct Tcp(TcpStream);

/// What a call that does not block gave.
fn answered(result: rustix::io::Result<usize>) -> Poll<io::Result<usize>> {
    match result {
        // The runtime knows when to come back.
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Poll::Pending,
        other => Poll::Ready(other.map_err(io::Error::from)),
    }
}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.0).poll_read(cx, buf);
        if polled.is_ready() || !stands_in() {
            return polled;
        }
        let received = recv(&self.0, buf.initialize_unfilled(), RecvFlags::DONTWAIT).map(|(read, _)| read);
        answered(received).map_ok(|read| buf.advance(read))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.0).poll_write(cx, buf);
        if polled.is_ready() || !stands_in() {
            return polled;
        }
        answered(send(&self.0, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
