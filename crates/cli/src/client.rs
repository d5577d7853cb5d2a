//! A client for probing and looking: it does nothing by itself, and whatever the broker does is an answer, never a panic.
//!
//! INVARIANT: nothing waits for longer than its patience, and no event that came while something else was awaited is lost.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use tidemill::BoxStream;
use tidemill_testkit::wire::{self, Version, WireQoS, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::connect::Reach;

/// The largest packet that is read.
const MAX_PACKET: usize = 1 << 20;
/// What to do about a peer that is no MQTT broker, or none that listens.
const CHECK: &str = "; check the scheme, the host and the port of `--broker`";
/// Publications that wait for their PUBACK at most.
const UNCONFIRMED: usize = 64;

/// Why a client got no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no connection.
    Connect(String),
    /// The CONNACK says no.
    Refused(v5::ConnectReturnCode),
    /// The broker ended the connection, perhaps with a reason.
    Closed(Option<v5::DisconnectReasonCode>),
    /// What was waited for did not come.
    Silent(&'static str),
    /// It sent what does not belong there.
    Odd(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) | Self::Odd(why) => f.write_str(why),
            Self::Refused(code) => write!(f, "CONNACK says {code:?}"),
            Self::Closed(Some(reason)) => write!(f, "the broker closed the connection with {reason:?}"),
            Self::Closed(None) => f.write_str("the broker closed the connection"),
            Self::Silent(what) => write!(f, "no {what} came"),
        }
    }
}

/// How a session is to be.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) version: Version,
    pub(crate) id: String,
    pub(crate) clean: bool,
    /// Whether the session outlives the connection.
    pub(crate) durable: bool,
    pub(crate) receive_maximum: Option<u16>,
}

impl Hello {
    /// A session that ends with its connection.
    pub(crate) fn new(version: Version, id: String) -> Self {
        Self { version, id, clean: true, durable: false, receive_maximum: None }
    }

    /// A session that stays. It has to be removed again.
    pub(crate) fn durable(self) -> Self {
        // MQTT 3.1.1 keeps what is not clean.
        Self { durable: true, clean: self.version == Version::V5, ..self }
    }

    /// The same session once more.
    pub(crate) fn again(self) -> Self {
        Self { clean: false, ..self }
    }

    /// Room for so many unacknowledged events, where the version can say so.
    pub(crate) fn receive_maximum(self, events: u16) -> Self {
        Self { receive_maximum: Some(events), ..self }
    }
}

/// Seconds that durable sessions outlive their connections: longer than a run, not much longer.
const EXPIRY: u32 = 60;

/// A connected client.
pub(crate) struct Client {
    io: BoxStream,
    version: Version,
    read: BytesMut,
    inbox: VecDeque<v5::Publish>,
    last_pkid: u16,
    patience: Duration,
    /// The answer to its CONNECT.
    pub(crate) connack: v5::ConnAck,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(reach: &Reach, hello: Hello) -> Result<Self, Trouble> {
        let Hello { version, id, clean, durable, receive_maximum } = hello;
        let stream = timeout(reach.patience, reach.connector.connect()).await;
        let io = match stream {
            Ok(Ok(io)) => io,
            Ok(Err(error)) => return Err(Trouble::Connect(tidemill::report(&error))),
            Err(_) => return Err(Trouble::Connect(format!("no connection came{CHECK}"))),
        };
        let mut properties = v5::ConnectProperties::new();
        properties.session_expiry_interval = Some(if durable { EXPIRY } else { 0 });
        properties.receive_maximum = receive_maximum;
        let connect = v5::Connect { keep_alive: 60, client_id: id, clean_start: clean, properties: Some(properties) };
        let connack = v5::ConnAck { session_present: false, code: v5::ConnectReturnCode::Success, properties: None };
        let (read, inbox) = (BytesMut::new(), VecDeque::new());
        let mut client = Self { io, version, read, inbox, last_pkid: 0, patience: reach.patience, connack };
        client.send(v5::Packet::Connect(connect, None, reach.login.clone())).await?;
        let answer = client.packet(Instant::now() + reach.patience).await;
        client.connack = match answer.map_err(|trouble| match trouble {
            Trouble::Odd(_) => Trouble::Odd(format!("the answer to CONNECT is no CONNACK of this version{CHECK}")),
            trouble => trouble,
        })? {
            Some(v5::Packet::ConnAck(ack)) if ack.code == v5::ConnectReturnCode::Success => ack,
            Some(v5::Packet::ConnAck(ack)) => return Err(Trouble::Refused(ack.code)),
            Some(other) => return Err(odd("CONNACK", &other)),
            None => return Err(Trouble::Connect(format!("no CONNACK came{CHECK}"))),
        };
        Ok(client)
    }

    async fn send(&mut self, packet: v5::Packet) -> Result<(), Trouble> {
        let mut bytes = BytesMut::new();
        wire::write(self.version, packet, &mut bytes).map_err(|error| Trouble::Odd(error.to_string()))?;
        match timeout(self.patience, self.io.write_all(&bytes)).await {
            Ok(Ok(())) => self.io.flush().await.map_err(|_| Trouble::Closed(None)),
            Ok(Err(_)) => Err(Trouble::Closed(None)),
            Err(_) => Err(Trouble::Silent("room to write")),
        }
    }

    /// The next packet; `None` when none comes in time.
    async fn packet(&mut self, until: Instant) -> Result<Option<v5::Packet>, Trouble> {
        loop {
            match wire::read(self.version, &mut self.read, MAX_PACKET) {
                Ok(Some(v5::Packet::Disconnect(bye))) => return Err(Trouble::Closed(Some(bye.reason_code))),
                Ok(Some(packet)) => return Ok(Some(packet)),
                Ok(None) => {}
                Err(error) => return Err(Trouble::Odd(error.to_string())),
            }
            match timeout_at(until, self.io.read_buf(&mut self.read)).await {
                Err(_) => return Ok(None),
                Ok(Ok(read)) if read > 0 => {}
                Ok(_) => return Err(Trouble::Closed(None)),
            }
        }
    }

    /// The next packet that is no event, which must come.
    async fn answer(&mut self, what: &'static str) -> Result<v5::Packet, Trouble> {
        let until = Instant::now() + self.patience;
        loop {
            match self.packet(until).await? {
                Some(v5::Packet::Publish(publish)) => self.inbox.push_back(publish),
                Some(packet) => return Ok(packet),
                None => return Err(Trouble::Silent(what)),
            }
        }
    }

    fn next_pkid(&mut self) -> u16 {
        self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
        self.last_pkid
    }

    /// Subscribes; what the broker answers per filter.
    pub(crate) async fn subscribe(
        &mut self,
        filters: &[String],
        qos: WireQoS,
    ) -> Result<Vec<v5::SubscribeReasonCode>, Trouble> {
        let pkid = self.next_pkid();
        let filters = filters.iter().map(|filter| v5::Filter::new(filter, qos)).collect();
        self.send(v5::Packet::Subscribe(v5::Subscribe { pkid, filters, properties: None })).await?;
        match self.answer("SUBACK").await? {
            v5::Packet::SubAck(ack) if ack.pkid == pkid => Ok(ack.return_codes),
            other => Err(odd("SUBACK", &other)),
        }
    }

    /// Subscribes to one filter at QoS 1; `Err` within is the refusal.
    pub(crate) async fn join(&mut self, filter: &str) -> Result<Result<(), v5::SubscribeReasonCode>, Trouble> {
        let codes = self.subscribe(&[filter.to_owned()], WireQoS::AtLeastOnce).await?;
        Ok(match codes.first() {
            Some(v5::SubscribeReasonCode::Success(_)) => Ok(()),
            Some(code) => Err(*code),
            None => Err(v5::SubscribeReasonCode::Failure),
        })
    }

    /// Publishes at QoS 1 under increasing numbers and waits until all is confirmed; the first refusal, if there is one.
    pub(crate) async fn publish(
        &mut self,
        topic: &str,
        numbers: std::ops::Range<u32>,
    ) -> Result<Option<v5::PubAckReason>, Trouble> {
        let allowed = self.connack.properties.as_ref().and_then(|properties| properties.receive_max);
        let most = allowed.map_or(UNCONFIRMED, usize::from).clamp(1, UNCONFIRMED);
        let (mut unconfirmed, mut refused) = (0, None);
        for number in numbers {
            if unconfirmed == most {
                refused = refused.or(self.confirmed().await?);
                unconfirmed -= 1;
            }
            self.publish_one(topic, number.to_string().into(), false).await?;
            unconfirmed += 1;
        }
        for _ in 0..unconfirmed {
            refused = refused.or(self.confirmed().await?);
        }
        Ok(refused)
    }

    /// Publishes one event at QoS 1 without waiting for the PUBACK.
    pub(crate) async fn publish_one(
        &mut self,
        topic: &str,
        payload: bytes::Bytes,
        retain: bool,
    ) -> Result<(), Trouble> {
        let mut publish = v5::Publish::new(topic, WireQoS::AtLeastOnce, payload, None);
        publish.pkid = self.next_pkid();
        publish.retain = retain;
        self.send(v5::Packet::Publish(publish)).await
    }

    /// Waits for one PUBACK; the reason if it refuses.
    pub(crate) async fn confirmed(&mut self) -> Result<Option<v5::PubAckReason>, Trouble> {
        match self.answer("PUBACK").await? {
            v5::Packet::PubAck(ack) => {
                let fine = matches!(ack.reason, v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers);
                Ok((!fine).then_some(ack.reason))
            }
            other => Err(odd("PUBACK", &other)),
        }
    }

    /// The next event; `None` when none comes in time.
    pub(crate) async fn event(&mut self, until: Instant) -> Result<Option<v5::Publish>, Trouble> {
        if let Some(publish) = self.inbox.pop_front() {
            return Ok(Some(publish));
        }
        match self.packet(until).await? {
            Some(v5::Packet::Publish(publish)) => Ok(Some(publish)),
            Some(other) => Err(odd("PUBLISH", &other)),
            None => Ok(None),
        }
    }

    /// Acknowledges an event, if it wants that.
    pub(crate) async fn ack(&mut self, event: &v5::Publish) -> Result<(), Trouble> {
        if event.qos == WireQoS::AtLeastOnce {
            self.send(v5::Packet::PubAck(v5::PubAck::new(event.pkid, None))).await?;
        }
        Ok(())
    }

    /// Whether the broker still answers.
    pub(crate) async fn ping(&mut self) -> Result<(), Trouble> {
        self.send(v5::Packet::PingReq(v5::PingReq)).await?;
        self.answer("PINGRESP").await.map(|_| ())
    }

    /// Everything that the broker sends without being acknowledged, until nothing comes for that long.
    pub(crate) async fn held(&mut self, quiet: Duration) -> Result<Vec<v5::Publish>, Trouble> {
        self.ping().await?;
        let mut held = Vec::new();
        while let Some(event) = self.event(Instant::now() + quiet).await? {
            held.push(event);
        }
        Ok(held)
    }

    /// Says goodbye. The broker may be gone already.
    pub(crate) async fn bye(mut self) {
        let goodbye = v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection);
        if self.send(v5::Packet::Disconnect(goodbye)).await.is_ok() {
            // It closes when it has read that; a reset could overtake it otherwise.
            let _ = timeout(self.patience.min(Duration::from_millis(200)), self.io.read_buf(&mut self.read)).await;
        }
    }
}

fn odd(wanted: &str, packet: &v5::Packet) -> Trouble {
    let text = format!("{packet:?}");
    let name = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    Trouble::Odd(format!("{wanted} was expected, but {name} came"))
}
