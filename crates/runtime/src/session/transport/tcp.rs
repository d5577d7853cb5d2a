//! TCP. When a [stand-in](crate::session::stand_in) has the turn, the socket itself is asked whether it is ready.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::nagle;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::stand_in::stands_in;

/// One in so many writes with Nagle's algorithm is made in two pieces: one call more, which costs little where nothing
/// leaves.
const TWO_PIECES: u32 = 8;
/// How many bytes the second piece has.
const SECOND_PIECE: usize = 2;

pub(super) async fn connect(host: &str, port: u16, nodelay: bool) -> Result<Tcp, SessionError> {
    let stream = TcpStream::connect((host, port)).await.map_err(|error| {
        let text = format!("cannot reach the broker at {host}:{port}; check `mqtt.url` and that it is running");
        SessionError::new(SessionErrorKind::Connect, text).with_source(error)
    })?;
    set_nodelay(&stream, nodelay);
    Ok(Tcp { stream, nodelay, set: nodelay, stays: 0 })
}

fn set_nodelay(stream: &TcpStream, nodelay: bool) {
    if let Err(error) = stream.set_nodelay(nodelay) {
        tracing::debug!(error = %error, "TCP_NODELAY could not be set");
    }
}

/// A connection that works even while nobody drives its runtime.
#[derive(Debug)]
pub(super) struct Tcp {
    stream: TcpStream,
    /// What is to be set unless a write wants it otherwise.
    nodelay: bool,
    /// What is set.
    set: bool,
    /// How many writes with Nagle's algorithm there were since one in two pieces.
    stays: u32,
}

impl Tcp {
    /// Sets what a write of so many bytes wants, and says how many it is to write.
    ///
    /// Nagle's algorithm keeps something small only while something else that is small is unconfirmed. So now and then
    /// something is written in two pieces: the second one stays, each later one finds that before it unconfirmed and stays
    /// too, until the peer confirms one out of turn.
    fn prepare(&mut self, bytes: usize) -> usize {
        let wanted = nagle::is_wanted();
        let nodelay = self.nodelay && !wanted;
        if nodelay != self.set {
            // Whatever the kernel still has leaves when it is switched off.
            set_nodelay(&self.stream, nodelay);
            self.set = nodelay;
        }
        if !wanted || bytes <= SECOND_PIECE {
            return bytes;
        }
        self.stays = (self.stays + 1) % TWO_PIECES;
        if self.stays == 0 { bytes - SECOND_PIECE } else { bytes }
    }
}

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
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() || !stands_in() {
            return polled;
        }
        let received = recv(&self.stream, buf.initialize_unfilled(), RecvFlags::DONTWAIT).map(|(read, _)| read);
        answered(received).map_ok(|read| buf.advance(read))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let buf = &buf[..self.prepare(buf.len())];
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if polled.is_ready() || !stands_in() {
            return polled;
        }
        answered(send(&self.stream, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A connection, and the peer's end of it.
    async fn connected(nodelay: bool) -> (Tcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tcp, accepted) = tokio::join!(connect("127.0.0.1", port, nodelay), listener.accept());
        (tcp.unwrap(), accepted.unwrap().0)
    }

    /// Writes with Nagle's algorithm, in as many calls as it takes; their lengths.
    async fn write_with_nagle(tcp: &mut Tcp, mut bytes: &[u8]) -> Vec<usize> {
        let mut calls = Vec::new();
        while !bytes.is_empty() {
            let written = std::future::poll_fn(|cx| nagle::with(|| Pin::new(&mut *tcp).poll_write(cx, bytes)));
            calls.push(written.await.unwrap());
            bytes = &bytes[*calls.last().unwrap()..];
        }
        calls
    }

    #[tokio::test]
    async fn nagles_algorithm_is_on_for_the_writes_that_want_it_alone() {
        let (mut tcp, _peer) = connected(true).await;
        assert!(tcp.stream.nodelay().unwrap());
        write_with_nagle(&mut tcp, b"ack1").await;
        assert!(!tcp.stream.nodelay().unwrap());
        tcp.write_all(b"ping").await.unwrap();
        assert!(tcp.stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn nagles_algorithm_stays_on_where_the_configuration_says_so() {
        let (mut tcp, _peer) = connected(false).await;
        write_with_nagle(&mut tcp, b"ack1").await;
        tcp.write_all(b"ping").await.unwrap();
        assert!(!tcp.stream.nodelay().unwrap());
    }

    /// The second piece finds the first one unconfirmed; else nothing would ever be kept.
    #[tokio::test]
    async fn one_write_in_some_is_made_in_two_pieces_and_nothing_is_lost() {
        let (mut tcp, mut peer) = connected(true).await;
        let mut calls = Vec::new();
        for _ in 0..2 * TWO_PIECES {
            calls.extend(write_with_nagle(&mut tcp, b"ack.").await);
        }
        assert_eq!(calls.iter().filter(|written| **written == SECOND_PIECE).count(), 4);
        // This one takes along whatever was kept.
        tcp.write_all(b"end").await.unwrap();
        let mut read = vec![0; 8 * TWO_PIECES as usize + 3];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(read, [&b"ack.".repeat(2 * TWO_PIECES as usize)[..], b"end"].concat());
    }

    #[tokio::test]
    async fn what_was_kept_arrives_when_the_connection_is_closed() {
        let (mut tcp, mut peer) = connected(true).await;
        for _ in 0..TWO_PIECES {
            write_with_nagle(&mut tcp, b"ack.").await;
        }
        drop(tcp);
        let mut read = Vec::new();
        peer.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"ack.".repeat(TWO_PIECES as usize));
    }
}
