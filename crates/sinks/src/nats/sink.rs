//! Streams, publishing, and waiting for what the server says.

use std::sync::Arc;
use std::{fmt, iter};

use async_nats::client::PublishErrorKind;
use async_nats::jetstream::context::{
    Context, ContextBuilder, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Config as StreamConfig;
use async_nats::jetstream::{ErrorCode, stream};
use async_nats::{Client, Subject};
use async_trait::async_trait;
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkTraits};
use tokio::time::timeout;

use super::client;
use super::config::{NatsConfig, NatsMode};
use super::error::{Answer, Problem, TOO_LARGE, answer};
use super::message::{self, Message, Messages};
use crate::kept::Kept;
use crate::written;

/// How many messages are sent before their answers are waited for: fewer than the client holds.
const SENT_AT_ONCE: usize = 1000;

/// Writes records as messages to a NATS server.
///
/// With [`NatsMode::JetStream`] written means that the stream has said so for every message. At least once; a record
/// with an idempotency key (sent as `Nats-Msg-Id`) is stored once if it comes again within the stream's duplicate window,
/// two minutes unless the stream says otherwise: effectively once where outages are shorter. Records of a key stay in order, except
/// around messages that a full stream refused for a while.
///
/// With [`NatsMode::Core`] written means handed to the connection: at most once, nothing is stored.
///
/// Headers: `content-type`, `tidemill-key` (if it is UTF-8), `tidemill-topic` and those of the record. One connection,
/// made when it is first needed and again when it fails. A dropped `write` may still reach the server.
///
/// `Rejected` are records that do not fit the subject, that are too large, or whose subject no stream or another stream
/// takes.
///
/// ```
/// use tidemill_sinks::{Nats, NatsConfig, NatsMode, Secret, Template};
///
/// let subject = Template::new("plant.{line|none}.alarms")?;
/// let config = NatsConfig::new("tls://nats.example.org:4222", subject, NatsMode::stream("ALARMS"))
///     .credentials(Secret::File("/run/secrets/nats.creds".into()));
/// let sink = Nats::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Nats {
    config: NatsConfig,
    /// The same for all records, if it is.
    subject: Option<Subject>,
    connection: Kept<Connection>,
}

struct Connection {
    client: Client,
    jetstream: Context,
}

impl Nats {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: NatsConfig) -> Self {
        Self { subject: message::constant(&config), config, connection: Kept::default() }
    }

    async fn connection(&self) -> Result<Arc<Connection>, SinkError> {
        let make = async {
            let made = timeout(self.config.timeout, client::connect(&self.config)).await;
            let client = made.map_err(|_| SinkError::unavailable(Problem::TimedOut))??;
            let jetstream = ContextBuilder::new().timeout(self.config.timeout).ack_timeout(self.config.timeout);
            let jetstream = jetstream.build(client.clone());
            Ok(Connection { client, jetstream })
        };
        self.connection.or_make(make).await
    }

    /// Runs something on the connection, and gives the connection up when it fails: nobody knows what is still under way
    /// on it.
    async fn on_connection<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let connection = self.connection().await?;
        let late = || Err(SinkError::unavailable(Problem::TimedOut));
        let result = timeout(self.config.timeout, work(&connection)).await.unwrap_or_else(|_| late());
        if result.is_err() {
            self.connection.forget(&connection);
        }
        result
    }

    /// The stream's settings; creates it if it may.
    async fn stream(&self, connection: &Connection, name: &str, create: bool) -> Result<StreamConfig, SinkError> {
        let error = match connection.jetstream.get_stream(name).await {
            Ok(stream) => return Ok(stream.cached_info().config.clone()),
            Err(error) => error,
        };
        if !is_missing(&error) || !create {
            return Err(no_stream(name, error));
        }
        let config = StreamConfig { name: name.to_owned(), subjects: vec![self.filter()?], ..StreamConfig::default() };
        match connection.jetstream.create_stream(config.clone()).await {
            Ok(_) => Ok(config),
            Err(error) => {
                let wrong = !matches!(error.kind(), CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::Response);
                let problem = Problem::Stream { stream: name.to_owned(), source: error.into() };
                Err(if wrong { SinkError::misconfigured(problem) } else { SinkError::unavailable(problem) })
            }
        }
    }

    /// The subjects of a stream that is created: all that begin as the template does.
    fn filter(&self) -> Result<String, SinkError> {
        let fixed = self.config.subject.literal_prefix();
        if self.config.subject.is_constant() {
            return Ok(fixed.to_owned());
        }
        let whole = fixed.rfind('.').ok_or_else(|| SinkError::misconfigured(Problem::NoFixedWord))?;
        Ok(format!("{}.>", &fixed[..whole]))
    }

    /// Sends these and waits for all answers. Stops at what fails for all.
    async fn store(
        &self,
        connection: &Connection,
        stream: &str,
        messages: impl Iterator<Item = (usize, Message, &Record)>,
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), SinkError> {
        let mut unanswered = Vec::new();
        for (index, message, record) in messages {
            let publish = PublishMessage::build().payload(record.payload.clone()).headers(message.headers);
            let sent = connection.jetstream.send_publish(message.subject.clone(), publish).await;
            match sent {
                Ok(ack) => unanswered.push((index, message.subject, ack)),
                Err(error) => self.judge(connection, stream, index, &message.subject, error, rejections).await?,
            }
        }
        for (index, subject, ack) in unanswered {
            if let Err(error) = ack.await {
                self.judge(connection, stream, index, &subject, error, rejections).await?;
            }
        }
        Ok(())
    }

    async fn judge(
        &self,
        connection: &Connection,
        stream: &str,
        index: usize,
        subject: &str,
        error: async_nats::jetstream::context::PublishError,
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), SinkError> {
        let reason = match answer(error) {
            Answer::Refused(reason) => reason,
            Answer::Failed(error) => return Err(error),
            Answer::NobodyAnswers => {
                // A stream that elects a leader is silent for a moment.
                let config = self.stream(connection, stream, false).await?;
                if takes(&config, subject) {
                    return Err(SinkError::unavailable(Problem::NobodyAnswers));
                }
                Problem::OtherSubject { stream: stream.to_owned(), subject: subject.to_owned() }.to_string()
            }
        };
        if self.config.subject.is_constant() && reason.contains("expected stream") {
            return Err(SinkError::misconfigured(Problem::Refused(reason)));
        }
        rejections.push(Rejection { index, reason });
        Ok(())
    }
}

fn takes(config: &stream::Config, subject: &str) -> bool {
    config.subjects.iter().any(|filter| message::is_within(subject, filter))
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn no_stream(name: &str, error: GetStreamError) -> SinkError {
    if is_missing(&error) {
        return SinkError::misconfigured(Problem::NoStream(name.to_owned()));
    }
    let code = match error.kind() {
        GetStreamErrorKind::JetStream(said) => Some(said.error_code()),
        GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
            return SinkError::misconfigured(Problem::NoStream(name.to_owned()));
        }
        GetStreamErrorKind::Request => None,
    };
    if matches!(code, Some(ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT)) {
        return SinkError::misconfigured(Problem::NoJetStream);
    }
    SinkError::unavailable(Problem::Stream { stream: name.to_owned(), source: error.into() })
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("subject", &self.config.subject).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Nats {
    fn traits(&self) -> SinkTraits {
        let traits = SinkTraits::default().ordered();
        match self.config.mode {
            NatsMode::JetStream { .. } => traits.idempotent(),
            NatsMode::Core => traits,
        }
    }

    async fn open(&self) -> Result<(), SinkError> {
        let subject = &self.config.subject;
        if subject.is_constant() && !message::is_subject(subject.literal_prefix()) {
            return Err(SinkError::misconfigured(Problem::BadSubject));
        }
        let NatsMode::JetStream { stream, create } = &self.config.mode else {
            return self.connection().await.map(drop);
        };
        self.on_connection(async |connection| {
            let config = self.stream(connection, stream, *create).await?;
            if config.no_ack {
                return Err(SinkError::misconfigured(Problem::NoAck(stream.clone())));
            }
            if subject.is_constant() && !takes(&config, subject.literal_prefix()) {
                let subject = subject.literal_prefix().to_owned();
                return Err(SinkError::misconfigured(Problem::OtherSubject { stream: stream.clone(), subject }));
            }
            Ok(())
        })
        .await
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let mut rejections = Vec::new();
        // Made as they are sent: the connection, which has a task of its own, is at work on the first ones meanwhile.
        let mut messages = Messages::of(&self.config, self.subject.as_ref(), batch);
        while let Some(first) = messages.next() {
            let some = iter::once(first).chain(messages.by_ref().take(SENT_AT_ONCE - 1));
            let refused = &mut rejections;
            self.on_connection(async |connection| match &self.config.mode {
                NatsMode::JetStream { stream, .. } => self.store(connection, stream, some, refused).await,
                NatsMode::Core => send(&connection.client, some, refused).await,
            })
            .await?;
        }
        rejections.append(&mut messages.unfit);
        rejections.sort_by_key(|rejection| rejection.index);
        written(rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.connection.clear();
        Ok(())
    }
}

/// Hands these to the connection.
async fn send(
    client: &Client,
    messages: impl Iterator<Item = (usize, Message, &Record)>,
    rejections: &mut Vec<Rejection>,
) -> Result<(), SinkError> {
    for (index, message, record) in messages {
        match client.publish_with_headers(message.subject, message.headers, record.payload.clone()).await {
            Ok(()) => {}
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                rejections.push(Rejection { index, reason: TOO_LARGE.to_owned() });
            }
            Err(error) => return Err(SinkError::unavailable(Problem::Publish(error.into()))),
        }
    }
    client.flush().await.map_err(|error| SinkError::unavailable(Problem::Publish(error.into())))
}
