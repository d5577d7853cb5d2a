//! One end of a connection, played packet by packet: what [`RawClient`](crate::client::RawClient) and
//! [`ScriptedBroker`](crate::script::ScriptedBroker) have in common.
//!
//! Everything that is expected and does not come panics, with what came instead: these are assertions of tests.

use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::wire::{self, Version, v5};

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The largest packet that a peer reads.
const MAX_PACKET: usize = 256 << 20;

pub(crate) struct Peer {
    io: Option<Box<dyn Io>>,
    read: BytesMut,
    pub(crate) version: Version,
    pub(crate) patience: Duration,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("version", &self.version).field("cut", &self.io.is_none()).finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) fn new(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, version: Version) -> Self {
        Self { io: Some(Box::new(io)), read: BytesMut::new(), version, patience: Duration::from_secs(5) }
    }

    pub(crate) async fn send(&mut self, packet: v5::Packet) {
        let mut bytes = BytesMut::new();
        if let Err(error) = wire::write(self.version, packet, &mut bytes) {
            fail(&format!("cannot be sent: {error}"));
        }
        self.send_raw(&bytes).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let Some(io) = &mut self.io else { fail("the connection was cut") };
        if let Err(error) = io.write_all(bytes).await {
            fail(&format!("the peer is gone: {error}"));
        }
    }

    /// Sends bytes unless the peer is gone.
    pub(crate) async fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        match &mut self.io {
            Some(io) => io.write_all(bytes).await.is_ok(),
            None => false,
        }
    }

    /// The next packet; `None` when the peer closed the connection.
    pub(crate) async fn next(&mut self) -> Option<v5::Packet> {
        match timeout(self.patience, self.read_packet()).await {
            Ok(packet) => packet,
            Err(_) => fail(&format!("no packet within {:?}", self.patience)),
        }
    }

    pub(crate) async fn recv(&mut self) -> v5::Packet {
        match self.next().await {
            Some(packet) => packet,
            None => fail("the peer closed the connection where a packet was expected"),
        }
    }

    /// Nothing may come for that long.
    pub(crate) async fn expect_quiet(&mut self, duration: Duration) {
        match timeout(duration, self.read_packet()).await {
            Err(_) => {}
            Ok(Some(packet)) => fail(&format!("nothing was expected, but came {packet:?}")),
            Ok(None) => fail("the peer closed the connection where nothing was expected"),
        }
    }

    pub(crate) async fn expect_closed(&mut self) {
        if let Some(packet) = self.next().await {
            fail(&format!("the end of the connection was expected, but came {packet:?}"));
        }
    }

    pub(crate) fn cut(&mut self) {
        self.io = None;
    }

    /// The bytes of the first packet, as soon as they are whole.
    pub(crate) async fn peek_first(&mut self) -> BytesMut {
        let whole = async {
            loop {
                match wire::peek(&self.read, MAX_PACKET) {
                    Ok(Some(_)) => return true,
                    Ok(None) => {}
                    Err(error) => fail(&format!("bytes that are no packet: {error}")),
                }
                if !read_more(&mut self.io, &mut self.read).await {
                    return false;
                }
            }
        };
        match timeout(self.patience, whole).await {
            Ok(true) => self.read.clone(),
            Ok(false) => fail("the peer closed the connection where a packet was expected"),
            Err(_) => fail("no packet came"),
        }
    }

    async fn read_packet(&mut self) -> Option<v5::Packet> {
        loop {
            match wire::read(self.version, &mut self.read, MAX_PACKET) {
                Ok(Some(packet)) => return Some(packet),
                Ok(None) => {}
                Err(error) => fail(&format!("bytes that are no packet: {error}")),
            }
            if !read_more(&mut self.io, &mut self.read).await {
                return None;
            }
        }
    }
}

async fn read_more(io: &mut Option<Box<dyn Io>>, buffer: &mut BytesMut) -> bool {
    let Some(io) = io else { return false };
    // A connection that is reset has ended too.
    io.read_buf(buffer).await.is_ok_and(|read| read > 0)
}

/// Fails the test.
#[expect(clippy::panic, reason = "an assertion")]
pub(crate) fn fail(what: &str) -> ! {
    panic!("{what}");
}
