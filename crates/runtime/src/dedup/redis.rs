//! A store in a Redis server, which all replicas of a worker share.
//!
//! INVARIANT: at most one connection is being made or used at a time, and one that has failed, or gives no answer though
//! it had the time to be made, is replaced by the next question. So nothing about a server that was away is remembered.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult};
use tidemill_core::BoxError;
use tokio::time::{Instant, timeout};

use super::{DedupKey, DedupStore};
use crate::config::Secret;

/// The longest age that is passed on, so that the server can add it to its clock.
const MAX_AGE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Which server, and how keys are kept there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisSettings {
    /// `redis://[user:password@]host[:port][/db]`; `rediss://` with the feature `tls`.
    pub url: Secret,
    /// What every key starts with. Name the group: two groups with the same prefix and routes of the same names would
    /// take each other's events for duplicates and lose them.
    pub prefix: String,
    /// How long a key is remembered after its event was handled; between 1 ms and 100 years.
    pub max_age: Duration,
    /// How long the server may take for an answer. Less than the limit of the [`Dedup`](super::Dedup) in front, or that
    /// one is reached first.
    pub timeout: Duration,
    /// How long a connection may take to be made. Questions do not wait that long: they end at `timeout`, and the
    /// connection goes on being made for the next ones.
    pub connect_timeout: Duration,
}

impl RedisSettings {
    /// This server and this prefix, and otherwise: keys for an hour, 400 ms for an answer, 5 s for a connection.
    #[must_use]
    pub fn new(url: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            prefix: prefix.into(),
            // Duplicates come within a reconnect, a restart or a rollout: minutes.
            max_age: Duration::from_secs(60 * 60),
            // Many times what a server nearby takes, and still less than the limit of dedup.
            timeout: Duration::from_millis(400),
            // A server far away, with TLS.
            connect_timeout: Duration::from_secs(5),
        }
    }

    /// Sets how long keys are kept.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Sets how long the server may take for an answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a connection may take to be made.
    #[must_use]
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }
}

/// Keys in a Redis server (or Valkey, KeyDB, Dragonfly, ...), each under `{prefix}{32 hexadecimal digits}`, with an
/// expiry. All replicas with the same prefix recognise what any of them has handled. A server that forgets keys, when it
/// restarts or evicts them, costs duplicates only. One connection, on which questions follow one another without
/// waiting; it is made when it is first needed and made again when it is lost.
pub struct RedisStore {
    client: Client,
    connect: AsyncConnectionConfig,
    prefix: String,
    max_age_millis: u64,
    timeout: Duration,
    connect_timeout: Duration,
    current: Mutex<Option<Connection>>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A connection that is made or being made. Clones share it.
#[derive(Clone)]
struct Connection {
    since: Instant,
    made: Shared<BoxFuture<'static, RedisResult<MultiplexedConnection>>>,
}

impl RedisStore {
    /// A store on this server. Connects to nothing yet.
    ///
    /// # Errors
    /// [`RedisStoreErrorKind::InvalidUrl`], [`RedisStoreErrorKind::NoPrefix`].
    pub fn new(settings: RedisSettings) -> Result<Self, RedisStoreError> {
        let RedisSettings { url, prefix, max_age, timeout, connect_timeout } = settings;
        if prefix.is_empty() {
            return Err(RedisStoreError { kind: RedisStoreErrorKind::NoPrefix, source: None });
        }
        let client = Client::open(url.expose())
            .map_err(|source| RedisStoreError::because(RedisStoreErrorKind::InvalidUrl, source))?;
        // Both limits are kept here, where it is decided what becomes of the connection.
        let connect = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let max_age = max_age.clamp(Duration::from_millis(1), MAX_AGE);
        let max_age_millis = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { client, connect, prefix, max_age_millis, timeout, connect_timeout, current: Mutex::default() })
    }

    /// Asks the server for a sign of life: at start, to be told of a wrong address or password before the first event.
    ///
    /// # Errors
    /// [`RedisStoreErrorKind::NoAnswer`] or [`RedisStoreErrorKind::Failed`].
    pub async fn ping(&self) -> Result<(), RedisStoreError> {
        self.ask(redis::cmd("PING")).await
    }

    fn name(&self, key: &DedupKey) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, RedisStoreError> {
        // Whoever is in front may lose patience first and drop this future: then, too, the connection is judged.
        let mut question = Question { store: self, connection: self.connection(), verdict: Verdict::Silent };
        let made = question.connection.made.clone();
        let answer = timeout(self.timeout, async { command.query_async(&mut made.await?).await });
        match answer.await {
            Ok(Ok(answer)) => {
                question.verdict = Verdict::Answered;
                Ok(answer)
            }
            Ok(Err(source)) => {
                question.verdict = Verdict::Failed;
                Err(RedisStoreError::because(RedisStoreErrorKind::Failed, source))
            }
            Err(_) => Err(RedisStoreError { kind: RedisStoreErrorKind::NoAnswer(self.timeout), source: None }),
        }
    }

    fn connection(&self) -> Connection {
        let make = || {
            let (client, config, limit) = (self.client.clone(), self.connect.clone(), self.connect_timeout);
            let made = async move {
                #[cfg(feature = "tls")]
                choose_cryptography();
                let made = timeout(limit, client.get_multiplexed_async_connection_with_config(&config)).await;
                made.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
            };
            let made = made.boxed().shared();
            // Goes on when those who wait for it lose patience.
            drop(tokio::spawn(made.clone()));
            Connection { since: Instant::now(), made }
        };
        self.current().get_or_insert_with(make).clone()
    }

    fn current(&self) -> MutexGuard<'_, Option<Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client library takes the process's default provider, and panics when the features of all dependencies together
/// leave a choice.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

enum Verdict {
    Answered,
    Silent,
    Failed,
}

/// A question on its way. When it ends, however it ends, a connection that is no good is given up.
struct Question<'a> {
    store: &'a RedisStore,
    connection: Connection,
    verdict: Verdict,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let bad = match self.verdict {
            Verdict::Answered => false,
            Verdict::Silent => self.connection.since.elapsed() >= self.store.connect_timeout,
            Verdict::Failed => true,
        };
        if bad {
            // Only this one: others may have replaced it already.
            self.store.current().take_if(|current| current.made.ptr_eq(&self.connection.made));
        }
    }
}

#[async_trait]
impl DedupStore for RedisStore {
    async fn contains(&self, key: &DedupKey) -> Result<bool, BoxError> {
        let mut command = redis::cmd("EXISTS");
        command.arg(self.name(key));
        Ok(self.ask::<u64>(command).await? > 0)
    }

    async fn insert(&self, key: &DedupKey) -> Result<(), BoxError> {
        let mut command = redis::cmd("SET");
        command.arg(self.name(key)).arg(1).arg("NX").arg("PX").arg(self.max_age_millis);
        // "OK", or nothing when the key is there already.
        let _: Option<String> = self.ask(command).await?;
        Ok(())
    }
}

/// What is wrong with a Redis store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisStoreErrorKind {
    /// The URL is none, or needs a feature that is not on.
    InvalidUrl,
    /// The prefix is empty.
    NoPrefix,
    /// The server did not answer within this time.
    NoAnswer(Duration),
    /// The connection could not be made or was lost, or the server refuses.
    Failed,
}

/// A Redis store that cannot be made or does not answer. Never holds the URL.
#[derive(Debug)]
pub struct RedisStoreError {
    kind: RedisStoreErrorKind,
    source: Option<BoxError>,
}

impl RedisStoreError {
    fn because(kind: RedisStoreErrorKind, source: impl Into<BoxError>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> RedisStoreErrorKind {
        self.kind
    }
}

impl fmt::Display for RedisStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RedisStoreErrorKind::InvalidUrl => {
                f.write_str("read the URL of the Redis server, as in redis://user:password@host:6379/0")
            }
            RedisStoreErrorKind::NoPrefix => {
                f.write_str("the prefix of the Redis keys is empty; set it to the name of the group")
            }
            RedisStoreErrorKind::NoAnswer(timeout) => write!(f, "the Redis server gave no answer within {timeout:?}"),
            RedisStoreErrorKind::Failed => f.write_str("ask the Redis server"),
        }
    }
}

impl std::error::Error for RedisStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, prefix: &str) -> RedisStoreError {
        RedisStore::new(RedisSettings::new(url, prefix)).unwrap_err()
    }

    #[test]
    fn what_is_wrong_with_the_settings_is_said_without_the_password() {
        for url in ["redis:/s3cret", "http://u:s3cret@h", "redis://u:s3cret@h:x/0", "redis://u:s3cret@h/s3cret"] {
            let error = refused(url, "g:");
            assert_eq!(error.kind(), RedisStoreErrorKind::InvalidUrl, "{url}");
            let text = format!("{} {error:?}", tidemill_core::report(&error));
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert_eq!(refused("redis://h", "").kind(), RedisStoreErrorKind::NoPrefix);
    }

    #[test]
    fn the_password_shows_nowhere() {
        let settings = RedisSettings::new("redis://u:s3cret@h", "g:");
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert!(!format!("{:?}", RedisStore::new(settings)).contains("s3cret"));
    }
}
