//! MQTT over WebSocket: binary frames of the sub-protocol `mqtt`, read as one byte stream `[MQTT-6.0.0]`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use super::BoxStream;
use crate::config::BrokerAddress;
use crate::session::error::{SessionError, SessionErrorKind};

/// Largest piece of output put into one frame.
const MAX_FRAME: usize = 64 * 1024;

/// The longest frame that is taken whatever the longest packet is: a frame may hold many.
const LONGEST_FRAME: usize = 16 * 1024 * 1024;

/// Opens a stream whose frames may be as long as the longest packet.
pub(super) async fn connect(
    stream: BoxStream,
    address: &BrokerAddress,
    max_packet_bytes: u32,
) -> Result<BoxStream, SessionError> {
    let failed = |error| {
        let text = "the WebSocket handshake failed; check the path of `mqtt.url` (many brokers use /mqtt)";
        SessionError::new(SessionErrorKind::WebSocket, text).with_source(error)
    };
    let mut request = address.to_string().into_client_request().map_err(failed)?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    let longest = Some(LONGEST_FRAME.max(max_packet_bytes as usize));
    let limits = WebSocketConfig::default().max_frame_size(longest).max_message_size(longest);
    let (socket, _) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(limits)).await.map_err(failed)?;
    Ok(Box::new(WebSocket { socket, rest: Bytes::new() }))
}

struct WebSocket {
    socket: WebSocketStream<BoxStream>,
    /// What the reader has not taken of the last frame.
    rest: Bytes,
}

fn broken(error: tokio_tungstenite::tungstenite::Error) -> io::Error {
    io::Error::other(error)
}

impl AsyncRead for WebSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                // Answers to pings are written by the library with the next write.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "text frame from the broker")));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let take = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..take]);
        self.rest.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(broken)?;
        let take = data.len().min(MAX_FRAME);
        let frame = Message::Binary(Bytes::copy_from_slice(&data[..take]));
        Pin::new(&mut self.socket).start_send(frame).map_err(broken)?;
        Poll::Ready(Ok(take))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::SinkExt as _;
    use tokio::io::AsyncReadExt as _;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn a_packet_that_is_allowed_comes_however_long_it_is() {
        const LENGTH: usize = 20 * 1024 * 1024;
        let mut config = Config::default().mqtt;
        config.url = "ws://localhost/mqtt".to_owned();
        let (near, far) = tokio::io::duplex(1024 * 1024);
        let serving = tokio::spawn(async move {
            #[expect(clippy::result_large_err, reason = "the library asks for it")]
            let agree = |_: &Request, mut response: Response| {
                response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
                Ok(response)
            };
            let mut socket = tokio_tungstenite::accept_hdr_async(far, agree).await.unwrap();
            drop(socket.send(Message::Binary(vec![7; LENGTH].into())).await);
        });
        let mut stream =
            connect(Box::new(near), &config.broker().unwrap(), u32::try_from(LENGTH).unwrap()).await.unwrap();
        let mut packet = vec![0; LENGTH];
        stream.read_exact(&mut packet).await.unwrap();
        serving.await.unwrap();
    }
}
