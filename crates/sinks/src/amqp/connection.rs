//! A connection and its channel, on which every message is confirmed.
//!
//! Invariant: neither is taken up again after a failure, so that no message overtakes one that was lost.

use std::path::PathBuf;
use std::sync::Arc;

use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::FieldTable;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connect, ConnectionProperties, ExchangeKind};
use tidemill_core::SinkError;

use super::config::AmqpConfig;
use super::error::{Problem, no_connection};
use super::message::short;

#[derive(Clone)]
pub(super) struct Connection {
    /// Ends with its last owner.
    pub(super) _connection: Arc<lapin::Connection>,
    pub(super) channel: Channel,
}

pub(super) async fn connect(config: &AmqpConfig) -> Result<Connection, SinkError> {
    let uri = uri(config)?;
    let mut tls = OwnedTLSConfig::default();
    if uri.scheme == AMQPScheme::AMQPS {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // The client library takes the process's default; another thread may have been faster.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| Problem::CaFile { path: path.clone(), error })
        };
        tls.cert_chain = config.ca_file.as_ref().map(read).transpose().map_err(SinkError::misconfigured)?;
    }
    let properties = ConnectionProperties::default().with_connection_name("tidemill".into());
    let runtime = lapin::runtime::default_runtime().map_err(no_connection)?;
    let connection = uri.connect_with_config(properties, tls, runtime).await.map_err(no_connection)?;
    let channel = connection.create_channel().await.map_err(no_connection)?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(no_connection)?;
    Ok(Connection { _connection: Arc::new(connection), channel })
}

impl Connection {
    /// Whether the exchange is there.
    pub(super) async fn check(&self, exchange: &str) -> Result<(), lapin::Error> {
        let Some(name) = short(exchange).filter(|_| !exchange.is_empty()) else { return Ok(()) };
        let only_look = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        // The server compares nothing but the name.
        self.channel.exchange_declare(name, ExchangeKind::Topic, only_look, FieldTable::default()).await
    }
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
