//! The connection, and pipelines over it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, TlsCertificates, Value};
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkTraits};
use tokio::time::timeout;

use super::command;
use super::config::RedisConfig;
use super::error::{Problem, no_connection, refused};
use crate::kept::{Kept, blocking};
use crate::provider;
use crate::written;

/// Writes records to a Redis server (or one that speaks its protocol), a batch as one pipeline.
///
/// Written means that the server answered; how safe that is depends on its persistence. At least once. A record with an
/// idempotency key is written once within `remember`: the server remembers the key in the same step, by a script of a
/// few lines, so that neither a lost answer nor another worker repeats it. Records without one may come twice. Order is
/// kept. One connection, made when it is first needed and again when it fails.
///
/// A dropped `write` may still reach the server. `Rejected` are records that do not fit the key's template, or that the
/// server refuses one by one.
///
/// ```
/// use tidemill_sinks::{Redis, RedisConfig, RedisInto, Secret, Template};
///
/// let config = RedisConfig::new("redis://127.0.0.1:6379/0", Template::new("readings:{line|none}")?)
///     .into(RedisInto::Stream { max_len: 1_000_000 })
///     .password(Secret::File("/run/secrets/redis".into()));
/// let sink = Redis::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Redis {
    config: RedisConfig,
    connection: Kept<MultiplexedConnection>,
}

impl Redis {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: RedisConfig) -> Self {
        Self { config, connection: Kept::default() }
    }

    async fn connection(&self) -> Result<Arc<MultiplexedConnection>, SinkError> {
        let make = async {
            let config = self.config.clone();
            let client = blocking(move || client(&config)).await?;
            let limits = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
            let made = timeout(self.config.timeout, client.get_multiplexed_async_connection_with_config(&limits)).await;
            made.map_err(|_| SinkError::unavailable(Problem::TimedOut))?.map_err(no_connection)
        };
        self.connection.or_make(make).await
    }

    /// Sends all at once. What fails as a whole costs the connection: nobody knows what is still under way on it.
    async fn send(&self, pipeline: &redis::Pipeline, count: usize) -> Result<Vec<Value>, SinkError> {
        let connection = self.connection().await?;
        let mut handle = MultiplexedConnection::clone(&connection);
        let error = match timeout(self.config.timeout, handle.req_packed_commands(pipeline, 0, count)).await {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => Problem::Write(error),
            Err(_) => Problem::TimedOut,
        };
        self.connection.forget(&connection);
        Err(SinkError::unavailable(error))
    }
}

/// Reads files.
fn client(config: &RedisConfig) -> Result<Client, SinkError> {
    let bad_url = |_| SinkError::misconfigured(Problem::BadUrl);
    let info = config.url.as_str().into_connection_info().map_err(bad_url)?;
    let mut login = info.redis_settings().clone();
    if login.username().is_some() || login.password().is_some() {
        return Err(SinkError::misconfigured(Problem::HasCredentials));
    }
    if let Some(username) = &config.username {
        login = login.set_username(username);
    }
    if let Some(password) = &config.password {
        login = login.set_password(password.read().map_err(SinkError::misconfigured)?);
    }
    let info = info.set_redis_settings(login);
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Client::open(info).map_err(bad_url);
    }
    provider::install();
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| Problem::CaFile { path: path.clone(), error });
    let root_cert = config.ca_file.as_ref().map(read).transpose().map_err(SinkError::misconfigured)?;
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert }).map_err(SinkError::misconfigured)
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("key", &self.config.key).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Redis {
    fn traits(&self) -> SinkTraits {
        let traits = SinkTraits::default().ordered();
        if self.config.remember.is_zero() { traits } else { traits.idempotent() }
    }

    async fn open(&self) -> Result<(), SinkError> {
        let mut ping = redis::pipe();
        ping.cmd("PING");
        let answers = self.send(&ping, 1).await?;
        match answers.first() {
            Some(Value::ServerError(error)) => Err(SinkError::misconfigured(refused(error.code(), true)?)),
            _ => Ok(()),
        }
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let mut pipeline = redis::pipe();
        let mut rejections = Vec::new();
        let mut sent = Vec::new();
        for (index, record) in batch.iter().enumerate() {
            match command::of(&self.config, record) {
                Ok(command) => {
                    pipeline.add_command(command);
                    sent.push(index);
                }
                Err(reason) => rejections.push(Rejection { index, reason }),
            }
        }
        if sent.is_empty() {
            return written(rejections);
        }
        let answers = self.send(&pipeline, sent.len()).await?;
        for (index, answer) in sent.into_iter().zip(answers) {
            if let Value::ServerError(error) = answer {
                let reason = refused(error.code(), self.config.key.is_constant())?;
                rejections.push(Rejection { index, reason });
            }
        }
        rejections.sort_by_key(|rejection| rejection.index);
        written(rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.connection.clear();
        Ok(())
    }
}
