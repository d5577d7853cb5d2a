//! Buffered bytes to and from the broker. Reading and writing are driven by one cancel-safe future, so that a peer that
//! does not read can never keep the session from reading, and the other way round.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::transport::{BoxStream, nagle};

/// What an idle connection reserves for reading.
const SMALL_READ: usize = 4 * 1024;
/// What a busy connection reserves: a burst of some hundred events per system call, and still small enough to come
/// from the allocator's cache.
const LARGE_READ: usize = 64 * 1024;

/// What [`Wire::drive`] got done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driven {
    /// New bytes are in the read buffer.
    Read,
    /// Everything in the write buffer is on its way.
    Flushed,
    /// The peer closed the connection.
    Eof,
}

/// How what is to be written leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Writing {
    /// Not now.
    #[default]
    Withheld,
    AtOnce,
    /// At the latest when the peer has confirmed what was written before: along with what TCP itself has to say then.
    AlongWithTcp,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: Writing,
    /// Come back as soon as the write buffer is empty.
    pub(crate) flush: bool,
}

/// A byte stream with its buffers.
pub(crate) struct Wire {
    stream: BoxStream,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
    read_size: usize,
    unflushed: bool,
}

impl Wire {
    pub(crate) fn new(stream: BoxStream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::with_capacity(SMALL_READ),
            read_size: SMALL_READ,
            unflushed: false,
        }
    }

    /// Writes what is due and reads what comes, until one thing of `interest` is done.
    ///
    /// Cancel-safe: bytes are either still in the buffers or with the stream.
    pub(crate) async fn drive(&mut self, interest: Interest) -> io::Result<Driven> {
        poll_fn(|cx| self.poll_drive(cx, interest)).await
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<Driven>> {
        let written = match interest.write {
            Writing::Withheld => Poll::Pending,
            Writing::AtOnce => self.poll_write_out(cx),
            Writing::AlongWithTcp => nagle::with(|| self.poll_write_out(cx)),
        };
        if interest.read {
            // A read that filled the buffer promises more: grow to the large size, and stay there.
            if self.input.capacity() - self.input.len() < self.read_size / 4 {
                self.input.reserve(self.read_size);
            }
            let before = self.input.capacity() - self.input.len();
            match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)? {
                Poll::Ready(0) => return Poll::Ready(Ok(Driven::Eof)),
                Poll::Ready(read) => {
                    if read == before && self.read_size < LARGE_READ {
                        self.read_size = LARGE_READ;
                    }
                    return Poll::Ready(Ok(Driven::Read));
                }
                Poll::Pending => {}
            }
        }
        match written {
            // Only now: what the peer said before it went is worth more than that it went.
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if interest.flush => Poll::Ready(Ok(Driven::Flushed)),
            _ => Poll::Pending,
        }
    }

    /// Ready when nothing is left to write.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
            // Keeps the allocation: everything in it has been written.
            self.output.clear();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes everything out and closes the sending direction.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_out(cx)).await?;
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await
    }

    /// The same, then reads and forgets what still comes until the peer closes too. A TCP socket that is closed with
    /// something unread resets the connection, and what was written last may not arrive then.
    pub(crate) async fn close_unread(mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_out(cx)).await?;
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        loop {
            self.input.clear();
            self.input.reserve(SMALL_READ);
            if poll_fn(|cx| poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)).await? == 0 {
                return Ok(());
            }
        }
    }
}
