//! Byte streams to the broker: TCP, TLS, WebSocket, or whatever a [`Connector`] makes.

mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "websocket")]
mod websocket;

use std::fmt;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::SessionError;
#[cfg(any(not(feature = "tls"), not(feature = "websocket")))]
use super::error::SessionErrorKind;
use crate::config::{BrokerAddress, MqttConfig, Transport};

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Any byte stream.
pub type BoxStream = Box<dyn Stream>;

/// Opens byte streams to the broker. Implemented for the schemes of `mqtt.url`; tests bring their own.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug + 'static {
    /// Opens a stream on which CONNECT can be sent at once. The caller bounds the time by dropping the future.
    ///
    /// # Errors
    /// Why there is no stream, and whether trying again can help.
    async fn connect(&self) -> Result<BoxStream, SessionError>;
}

/// Connects as the configuration says.
#[derive(Debug)]
pub(crate) struct UrlConnector {
    address: BrokerAddress,
    tcp_nodelay: bool,
    #[cfg(feature = "tls")]
    tls: Option<tls::Tls>,
}

impl UrlConnector {
    /// Prepares connecting to `mqtt.url`: reads certificates, checks what can be checked without a network.
    ///
    /// # Errors
    /// A file that cannot be used, or a scheme that this build lacks.
    pub(crate) fn new(config: &MqttConfig, address: BrokerAddress) -> Result<Self, SessionError> {
        #[cfg(not(feature = "tls"))]
        if address.transport.is_tls() {
            let text = "`mqtt.url` asks for TLS, which this program was built without (feature `tls`)";
            return Err(SessionError::new(SessionErrorKind::Unsupported, text));
        }
        #[cfg(not(feature = "websocket"))]
        if address.transport.is_websocket() {
            let text = "`mqtt.url` asks for WebSocket, which this program was built without (feature `websocket`)";
            return Err(SessionError::new(SessionErrorKind::Unsupported, text));
        }
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: address.transport.is_tls().then(|| tls::Tls::new(&config.tls, &address.host)).transpose()?,
            tcp_nodelay: config.tcp_nodelay,
            address,
        })
    }
}

#[async_trait]
impl Connector for UrlConnector {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        let stream = tcp::connect(&self.address.host, self.address.port, self.tcp_nodelay).await?;
        match self.address.transport {
            Transport::Tcp => Ok(Box::new(stream)),
            _ => self.connect_over(Box::new(stream)).await,
        }
    }
}

impl UrlConnector {
    async fn connect_over(&self, stream: BoxStream) -> Result<BoxStream, SessionError> {
        #[cfg(feature = "tls")]
        let stream = match &self.tls {
            Some(tls) => tls.connect(stream).await?,
            None => stream,
        };
        #[cfg(feature = "websocket")]
        if self.address.transport.is_websocket() {
            return websocket::connect(stream, &self.address).await;
        }
        Ok(stream)
    }
}
