//! The broker as a sink: dead letters, and what handlers publish, over a connection of their own that is opened when
//! the first of them comes. Never over an instance's connection: one that has stopped reading could not see the PUBACKs.
//!
//! INVARIANT (G11): a dead letter that the broker cannot take, for its size or for what is in it, does not stay in the
//! way: it goes without the publisher's properties, or at last without its payload, and the log says so.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tidemill_core::topic::TopicName;
use tidemill_core::{Properties, Publication, Record, Rejection, Sink, SinkError};
use tracing::{error, warn};

use crate::config::MqttVersion;
use crate::dispatch::{LessOf, hex, shortened_dead_letter};
use crate::observe::Rarely;
use crate::session::{Backoff, PublishError, Publisher, Receipt, Settled, Started};

/// A publishing connection that starts when it is first needed, shared by the sinks that need one.
pub(super) struct LazyPublisher {
    start: Box<dyn Fn() -> Publisher + Send + Sync>,
    publisher: Mutex<Option<Publisher>>,
}

impl LazyPublisher {
    pub(super) fn new(start: impl Fn() -> Publisher + Send + Sync + 'static) -> Self {
        Self { start: Box::new(start), publisher: Mutex::new(None) }
    }

    /// The connection. Where the last one was refused for good it is another one: the events that wait for it have
    /// nowhere else to go, and whatever refused it may have been mended.
    fn get(&self) -> Publisher {
        let mut current = self.lock();
        match &*current {
            Some(publisher) if !publisher.is_closed() => publisher.clone(),
            _ => current.insert((self.start)()).clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Publisher>> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a write waits for the broker before it says so in the log, and each time after that.
const PATIENCE: Duration = Duration::from_secs(10);

/// The shortest and the longest distance between attempts at what the broker may take later.
const LATER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// See the module's description.
pub(super) struct BrokerSink {
    prefix: String,
    version: MqttVersion,
    publisher: Arc<LazyPublisher>,
    /// Dead letters that nobody is subscribed to.
    unheard: Mutex<Rarely>,
    #[cfg(feature = "platform")]
    guard: Option<Arc<crate::platform::Guard>>,
}

impl fmt::Debug for BrokerSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerSink").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Who does not take a publication.
enum Refusal {
    Broker(PublishError),
    /// It was not sent: it is none, or the platform would close the connection over it.
    Rules(String),
}

/// The topic of a route's dead letters. What cannot stand in a topic name is left out or becomes `_`.
pub(super) fn dead_letter_topic(prefix: &str, route: &str) -> String {
    let route: String = route
        .chars()
        .filter(|c| !matches!(c, '{' | '}'))
        .map(|c| if matches!(c, '+' | '#' | '\0') { '_' } else { c })
        .collect();
    format!("{prefix}/{route}")
}

impl BrokerSink {
    pub(super) fn new(prefix: String, version: MqttVersion, publisher: Arc<LazyPublisher>) -> Self {
        Self {
            prefix,
            version,
            publisher,
            unheard: Mutex::default(),
            #[cfg(feature = "platform")]
            guard: None,
        }
    }

    /// A dead letter was published that the broker has thrown away: nobody would ever find out.
    fn warn_unheard(&self, topic: &str) {
        let happened = self.unheard.lock().unwrap_or_else(PoisonError::into_inner).happens();
        if let Some(left_out) = happened {
            warn!(
                topic,
                left_out,
                "nobody is subscribed to this topic of dead letters, so that the broker throws them away; run \
                 `tidemill dead subscribe` once, or set `dead_letters.sink`"
            );
        }
    }

    /// Lets only pass what the platform takes, at its rate.
    #[cfg(feature = "platform")]
    pub(super) fn guarded(mut self, guard: Option<Arc<crate::platform::Guard>>) -> Self {
        self.guard = guard;
        self
    }

    /// Whether the platform's rate holds.
    fn is_guarded(&self) -> bool {
        #[cfg(feature = "platform")]
        let guarded = self.guard.is_some();
        #[cfg(not(feature = "platform"))]
        let guarded = false;
        guarded
    }

    /// The publication of a record, once it may be sent.
    #[cfg_attr(not(feature = "platform"), expect(clippy::unused_async, reason = "the guard waits"))]
    async fn admitted(&self, record: &Record) -> Result<Publication, String> {
        #[cfg_attr(not(feature = "platform"), expect(unused_mut, reason = "the guard changes it"))]
        let mut publication = self.publication(record)?;
        #[cfg(feature = "platform")]
        if let Some(guard) = &self.guard {
            guard.check(&mut publication)?;
            guard.pass(&publication).await;
        }
        Ok(publication)
    }

    /// Where a dead letter goes.
    fn topic(&self, letter: &Record) -> String {
        dead_letter_topic(&self.prefix, told(letter, "tidemill-route"))
    }

    /// Publishes as much of a dead letter as the broker takes, which it has refused whole.
    async fn publish_less(
        &self,
        publisher: &Publisher,
        letter: &Record,
        mut refusal: PublishError,
    ) -> Result<Receipt, Refusal> {
        for less in [LessOf::Properties, LessOf::Payload] {
            let Some(short) = shortened_dead_letter(letter, less) else { continue };
            error!(
                topic = told(&short, "tidemill-topic"),
                route = told(&short, "tidemill-route"),
                instance = told(&short, "tidemill-instance"),
                first_seen = told(&short, "tidemill-first-seen"),
                payload_bytes = letter.payload.len(),
                payload_sha256 = told(&short, "tidemill-payload-sha256"),
                left_out = told(&short, "tidemill-left-out"),
                %refusal,
                "the broker cannot take a dead letter as it is; a part of it is left out"
            );
            let publication = self.admitted(&short).await.map_err(Refusal::Rules)?;
            let started = publisher.start_many([publication]).await.map_err(Refusal::Broker)?;
            let settled = answers(publisher, started).await;
            match settled.failed.into_iter().next() {
                Some((_, error)) if error.is_about_content() => refusal = error,
                Some((_, error)) => return Err(Refusal::Broker(error)),
                None => return Ok(Receipt { no_subscribers: !settled.unheard.is_empty() }),
            }
        }
        Err(Refusal::Broker(refusal))
    }

    /// Publishes again, after growing waits, what handlers have published and the broker may take later; the others of the
    /// batch are not repeated. What it refuses for good is returned.
    ///
    /// # Errors
    /// The connection has ended for good.
    async fn publish_later(
        &self,
        publisher: &Publisher,
        batch: &[Record],
        mut later: Vec<(usize, PublishError)>,
    ) -> Result<Vec<Rejection>, PublishError> {
        let mut backoff = Backoff::new(LATER.0, LATER.1);
        let (mut rarely, mut rejections) = (Rarely::default(), Vec::new());
        while let Some((_, refusal)) = later.first() {
            if let Some(left_out) = rarely.happens() {
                warn!(publications = later.len(), %refusal, left_out, "publications are refused for now; trying again");
            }
            tokio::time::sleep(backoff.next()).await;
            later.sort_unstable_by_key(|(index, _)| *index);
            let (mut handing, started) = publisher.hand_over();
            let mut sources = Vec::with_capacity(later.len());
            for (index, _) in later.drain(..) {
                match self.admitted(&batch[index]).await {
                    Ok(publication) => {
                        sources.push(index);
                        handing.push_all(&mut [publication].into_iter().peekable()).await?;
                    }
                    Err(reason) => rejections.push(Rejection { index, reason }),
                }
            }
            drop(handing);
            for (at, error) in answers(publisher, started).await.failed {
                match error {
                    PublishError::Closed => return Err(error),
                    error if error.is_passing() => later.push((sources[at], error)),
                    error => rejections.push(Rejection { index: sources[at], reason: error.to_string() }),
                }
            }
        }
        Ok(rejections)
    }

    fn publication(&self, record: &Record) -> Result<Publication, String> {
        if let Some(publication) = &record.publication {
            return Ok((**publication).clone());
        }
        let topic = TopicName::new(&self.topic(record)).map_err(|error| error.to_string())?;
        if self.version == MqttVersion::V3_1_1 {
            // No user properties: the headers travel in an envelope around the payload.
            let payload = match std::str::from_utf8(&record.payload) {
                Ok(text) => json!({ "text": text }),
                Err(_) => json!({ "hex": hex(&record.payload) }),
            };
            let headers: serde_json::Map<_, _> =
                record.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let envelope = json!({ "headers": headers, "payload": payload });
            return Ok(Publication::new(topic, envelope.to_string()));
        }
        let mut properties = Properties::default();
        properties.content_type.clone_from(&record.content_type);
        properties.user.clone_from(&record.headers);
        let mut publication = Publication::new(topic, record.payload.clone());
        publication.properties = Some(Box::new(properties));
        Ok(publication)
    }
}

/// What a header of a dead letter says.
fn told<'a>(letter: &'a Record, name: &str) -> &'a str {
    letter.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

/// Waits until the broker has answered each publication. The publisher keeps what it was given and sends it again by
/// itself: giving up here, to be asked to write the same once more, would only publish it twice.
async fn answers(publisher: &Publisher, mut started: Started) -> Settled {
    loop {
        match tokio::time::timeout(PATIENCE, started.settled()).await {
            Ok(settled) => return settled,
            Err(_) => {
                let error = publisher.last_error();
                warn!(error, "the broker has not taken a dead letter or publication yet; waiting for it");
            }
        }
    }
}

#[async_trait]
impl Sink for BrokerSink {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let publisher = self.publisher.get();
        let (mut handing, started) = publisher.hand_over();
        let mut publications = Vec::with_capacity(batch.len());
        // Of each publication, which record it comes from.
        let mut sources = Vec::with_capacity(batch.len());
        let mut rejections = Vec::new();
        for (index, record) in batch.iter().enumerate() {
            match self.admitted(record).await {
                Ok(publication) => {
                    publications.push(publication);
                    sources.push(index);
                }
                Err(reason) => rejections.push(Rejection { index, reason }),
            }
            // One that has waited for its turn leaves then: all at the end would leave in one instant.
            if self.is_guarded() {
                let admitted = &mut publications.drain(..).peekable();
                handing.push_all(admitted).await.map_err(SinkError::unavailable)?;
            }
        }
        handing.push_all(&mut publications.into_iter().peekable()).await.map_err(SinkError::unavailable)?;
        drop(handing);
        let settled = answers(&publisher, started).await;
        // What handlers publish may well be for nobody.
        let letters = settled.unheard.iter().map(|at| &batch[sources[*at]]);
        for letter in letters.filter(|record| record.publication.is_none()) {
            self.warn_unheard(&self.topic(letter));
        }
        let mut later = Vec::new();
        for (at, error) in settled.failed {
            let (index, record) = (sources[at], &batch[sources[at]]);
            let outcome = match error {
                PublishError::Closed => return Err(SinkError::unavailable(error)),
                // A dead letter is tried again whatever it is refused for, by whoever has sent it here.
                error if error.is_passing() && record.publication.is_some() => {
                    later.push((index, error));
                    continue;
                }
                // What handlers publish has its event to go to the dead letters in its place.
                error if error.is_about_content() && record.publication.is_none() => {
                    self.publish_less(&publisher, record, error).await
                }
                error => Err(Refusal::Broker(error)),
            };
            match outcome {
                Ok(receipt) if receipt.no_subscribers => self.warn_unheard(&self.topic(record)),
                Ok(_) => {}
                Err(Refusal::Broker(PublishError::Closed)) => {
                    return Err(SinkError::unavailable(PublishError::Closed));
                }
                Err(Refusal::Broker(error)) => rejections.push(Rejection { index, reason: error.to_string() }),
                Err(Refusal::Rules(reason)) => rejections.push(Rejection { index, reason }),
            }
        }
        rejections.extend(self.publish_later(&publisher, batch, later).await.map_err(SinkError::unavailable)?);
        if rejections.is_empty() { Ok(()) } else { Err(SinkError::rejected(rejections)) }
    }

    async fn close(&self) -> Result<(), SinkError> {
        // Shared by two sinks: the one that closes last closes it.
        let last = Arc::strong_count(&self.publisher) == 1;
        let publisher = if last { self.publisher.lock().take() } else { None };
        if let Some(publisher) = publisher {
            publisher.close().await;
        }
        Ok(())
    }
}
