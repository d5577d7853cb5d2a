//! Byte streams to the broker: TCP, TLS, WebSocket, or whatever a [`Connector`] makes.

pub(super) mod nagle;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "websocket")]
mod websocket;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::{SessionError, SessionErrorKind};
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

    /// Which of several servers [`connect`](Self::connect) leads to now.
    fn turn(&self) -> usize {
        0
    }

    /// What led to the server of that turn could not be used: there was no stream, or no session over it. The next
    /// stream should lead to another server, if there is one. Asked by several connections for the same turn, it moves on
    /// once.
    fn unusable(&self, turn: usize) {
        let _ = turn;
    }

    /// The broker asks to connect to another server next, which it names as `host` or `host:port`.
    fn redirect(&self, reference: &str) {
        let _ = reference;
    }
}

/// A connector for what `mqtt` says, for tools that speak MQTT themselves. Reads the certificates; connects to nothing.
///
/// # Errors
/// A URL or file that cannot be used, or a scheme that this build lacks.
pub fn connector(mqtt: &MqttConfig) -> Result<Arc<dyn Connector>, SessionError> {
    Ok(Arc::new(UrlConnector::new(mqtt)?))
}

/// Where to connect to, and how.
#[derive(Debug)]
struct Target {
    address: BrokerAddress,
    #[cfg(feature = "tls")]
    tls: Option<tls::Tls>,
    #[cfg(feature = "websocket")]
    max_packet_bytes: u32,
}

/// Connects as the configuration says: to one of its addresses after another, each time that one cannot be reached or
/// gives no session, and to the server that the broker names instead of itself.
#[derive(Debug)]
pub(crate) struct UrlConnector {
    config: MqttConfig,
    targets: Vec<Target>,
    /// Which target is next.
    next: AtomicUsize,
    redirect: Mutex<Option<Arc<Target>>>,
}

impl UrlConnector {
    /// Prepares connecting: reads certificates, checks what can be checked without a network.
    ///
    /// # Errors
    /// A URL or file that cannot be used, or a scheme that this build lacks.
    pub(crate) fn new(config: &MqttConfig) -> Result<Self, SessionError> {
        let mut targets = Vec::new();
        for address in config.brokers() {
            let address = address.map_err(|problem| {
                SessionError::new(SessionErrorKind::Unsupported, "the broker's address cannot be used")
                    .with_source(problem)
            })?;
            targets.push(Target::new(config, address)?);
        }
        Ok(Self { config: config.clone(), targets, next: AtomicUsize::new(0), redirect: Mutex::default() })
    }
}

impl Target {
    #[cfg_attr(
        not(any(feature = "tls", feature = "websocket")),
        expect(unused_variables, reason = "settings of layers above TCP are all it takes from there")
    )]
    fn new(config: &MqttConfig, address: BrokerAddress) -> Result<Self, SessionError> {
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
            #[cfg(feature = "websocket")]
            max_packet_bytes: config.max_packet_bytes,
            address,
        })
    }

    async fn connect(&self, nodelay: bool) -> Result<BoxStream, SessionError> {
        let stream = tcp::connect(&self.address.host, self.address.port, nodelay).await?;
        match self.address.transport {
            Transport::Tcp => Ok(Box::new(stream)),
            _ => self.connect_over(Box::new(stream)).await,
        }
    }

    #[cfg_attr(
        not(any(feature = "tls", feature = "websocket")),
        expect(clippy::unused_async, reason = "layers above TCP are what it waits for")
    )]
    async fn connect_over(&self, stream: BoxStream) -> Result<BoxStream, SessionError> {
        #[cfg(feature = "tls")]
        let stream = match &self.tls {
            Some(tls) => tls.connect(stream).await?,
            None => stream,
        };
        #[cfg(feature = "websocket")]
        if self.address.transport.is_websocket() {
            return websocket::connect(stream, &self.address, self.max_packet_bytes).await;
        }
        Ok(stream)
    }
}

#[async_trait]
impl Connector for UrlConnector {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        // Taken out: a server that cannot be reached is not asked twice.
        let redirect = self.redirect.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(target) = redirect {
            return target.connect(self.config.tcp_nodelay).await;
        }
        self.targets[self.turn() % self.targets.len()].connect(self.config.tcp_nodelay).await
    }

    fn turn(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    fn unusable(&self, turn: usize) {
        // Several instances may fail at once: they move on by one together.
        let _ = self.next.compare_exchange(turn, turn.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    fn redirect(&self, reference: &str) {
        let transport = self.targets[0].address.transport;
        let Some(address) = BrokerAddress::from_reference(transport, reference) else {
            tracing::warn!(reference, "the broker names another server in a form that cannot be used");
            return;
        };
        match Target::new(&self.config, address) {
            Ok(target) => {
                tracing::info!(server = %target.address, "the broker names another server");
                *self.redirect.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(target));
            }
            Err(error) => tracing::warn!(reference, error = %error, "the server that the broker names cannot be used"),
        }
    }
}
