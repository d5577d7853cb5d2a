//! A connection and its channels, on which every message is confirmed.
//!
//! Invariant: neither is taken up again after a failure, so that no message overtakes one that was lost. A channel serves
//! one write at a time: the server says on it which messages it gives back, and the client library hands that to
//! whichever message of the channel is confirmed next.

use std::path::PathBuf;

use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::FieldTable;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connect, ConnectionProperties, ExchangeKind};
use tidemill_core::SinkError;

use super::config::AmqpConfig;
use super::error::{Problem, no_connection, refused};
use super::message::short;
use crate::kept::blocking;
use crate::pool::Pool;
use crate::provider;

pub(super) struct Connection {
    /// Ends with this.
    connection: lapin::Connection,
    /// Those that no write uses.
    idle: Pool<Channel>,
}

pub(super) async fn connect(config: &AmqpConfig) -> Result<Connection, SinkError> {
    let own = config.clone();
    let (uri, tls) = blocking(move || to_whom(&own)).await?;
    let properties = ConnectionProperties::default().with_connection_name("tidemill".into());
    let runtime = lapin::runtime::default_runtime().map_err(no_connection)?;
    let connection = uri.connect_with_config(properties, tls, runtime).await.map_err(no_connection)?;
    Ok(Connection { connection, idle: Pool::default() })
}

impl Connection {
    /// A channel for one write.
    pub(super) async fn channel(&self) -> Result<Channel, SinkError> {
        if let Some(channel) = self.idle.take() {
            return Ok(channel);
        }
        let channel = self.connection.create_channel().await.map_err(no_connection)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(no_connection)?;
        Ok(channel)
    }

    /// Gives back a channel on which everything is confirmed.
    pub(super) fn put(&self, channel: Channel) {
        self.idle.put(channel);
    }

    /// Whether the exchange is there.
    pub(super) async fn check(&self, exchange: &str) -> Result<(), SinkError> {
        let Some(name) = short(exchange).filter(|_| !exchange.is_empty()) else { return Ok(()) };
        let channel = self.channel().await?;
        let only_look = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        // The server compares nothing but the name.
        let looked = channel.exchange_declare(name, ExchangeKind::Topic, only_look, FieldTable::default()).await;
        looked.map_err(|error| refused(error, Some(exchange)))?;
        self.put(channel);
        Ok(())
    }
}

/// Where to connect, as whom, and whom to trust. Reads files.
fn to_whom(config: &AmqpConfig) -> Result<(AMQPUri, OwnedTLSConfig), SinkError> {
    let uri = uri(config)?;
    let mut tls = OwnedTLSConfig::default();
    if uri.scheme == AMQPScheme::AMQPS {
        provider::install();
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| Problem::CaFile { path: path.clone(), error })
        };
        tls.cert_chain = config.ca_file.as_ref().map(read).transpose().map_err(SinkError::misconfigured)?;
    }
    Ok((uri, tls))
}

fn uri(config: &AmqpConfig) -> Result<AMQPUri, SinkError> {
    let mut uri: AMQPUri = config.url.parse().map_err(|_| SinkError::misconfigured(Problem::BadUrl))?;
    if config.url.contains('@') {
        return Err(SinkError::misconfigured(Problem::HasCredentials));
    }
    let password = config.password.as_ref().map(crate::Secret::read).transpose().map_err(SinkError::misconfigured)?;
    uri.authority.userinfo.username.clone_from(&config.username);
    uri.authority.userinfo.password = password.unwrap_or_else(|| "guest".to_owned());
    Ok(uri)
}
