//! One connection that publishes: many events under way at QoS 1, due ones in one write, acknowledgements as they come.
//!
//! INVARIANT: every event is either confirmed, waiting in `pending`, or not sent yet. A lost connection is made again
//! and what was pending is sent again, marked as such and still with the time that it was first due.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tidemill::{BoxStream, Connector, MqttVersion};
use tidemill_testkit::wire::{self, Version, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, timeout};

use super::super::clock;
use super::super::stamp::Stamp;
use super::super::template::Template;
use super::Shared;
use super::encode::{Answer, Form, answer};
use crate::connect::in_options;

/// Bytes that wait to be written at most, so that an event is stamped shortly before it leaves.
const OUT: usize = 64 * 1024;
/// What to do about a peer that is no MQTT broker, or none that listens.
const CHECK: &str = "; check the scheme, the host and the port of `--broker`, and `--mqtt-version`";
/// How long the answer to a CONNECT may take.
const CONNECT: Duration = Duration::from_secs(5);
/// A broker that cannot be reached for so long is gone.
const GONE: Duration = Duration::from_secs(20);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(50);
/// Without a confirmation for so long, once everything is sent, none is waited for.
const UNCONFIRMED: Duration = Duration::from_secs(10);
const MAX_PACKET: usize = 1 << 20;
/// The first reason code that is an error.
const REFUSED: u8 = 0x80;
/// Seconds that are told apart.
const MOST_SECONDS: u64 = 1_000_000;

/// An event that was sent and not confirmed.
#[derive(Clone, Copy, Debug)]
struct Pending {
    pkid: u16,
    seq: u64,
    due_ns: u64,
    confirmed: bool,
}

/// See the module's description.
pub(super) struct Publisher {
    shared: Rc<Shared>,
    connector: Arc<dyn Connector>,
    number: u32,
    form: Form,
    /// Number and topic of every key of its own.
    keys: Vec<(u32, Box<[u8]>)>,
    /// Events that are its own, when their number is known.
    own: Option<u64>,
    next_seq: u64,
    last_pkid: u16,
    pending: VecDeque<Pending>,
    /// What the broker allows.
    inflight: usize,
    io: Option<BoxStream>,
    out: BytesMut,
}

/// How a connection ended.
enum Ended {
    Done,
    Lost(String),
}

impl Publisher {
    pub(super) fn new(shared: Rc<Shared>, connector: Arc<dyn Connector>, number: u32) -> Result<Self, String> {
        let job = &shared.job;
        let template: Template = job.template.parse()?;
        let keys = (number..job.keys).step_by(job.publishers as usize);
        let topic = |key| template.topic(&job.run, number, key).into_bytes().into_boxed_slice();
        let keys = keys.map(|key| (key, topic(key))).collect();
        let total = match (job.schedule, job.count) {
            (Some(schedule), Some(count)) => Some(schedule.total().min(count)),
            (Some(schedule), None) => Some(schedule.total()),
            (None, count) => count,
        };
        let (publishers, at) = (u64::from(job.publishers), u64::from(number));
        let form = Form::new(job.link.version, job.link.qos, job.payload);
        Ok(Self {
            form,
            keys,
            own: total.map(|total| (total + publishers - 1 - at) / publishers),
            next_seq: 0,
            last_pkid: 0,
            pending: VecDeque::new(),
            inflight: usize::from(job.inflight),
            io: None,
            out: BytesMut::with_capacity(2 * OUT),
            connector,
            number,
            shared,
        })
    }

    /// Connects.
    ///
    /// # Errors
    /// The broker cannot be reached or says no.
    pub(super) async fn connect(&mut self) -> Result<(), String> {
        let connected = async {
            let mut io = self.connector.connect().await.map_err(|error| in_options(&tidemill::report(&error)))?;
            let version = match self.form.version {
                MqttVersion::V3_1_1 => Version::V4,
                _ => Version::V5,
            };
            let link = &self.shared.job.link;
            let password = link.mqtt().read_password().map_err(|problem| problem.to_string())?;
            let login = link.login.username.as_ref().map(|user| {
                v5::Login::new(user.clone(), password.map(|secret| secret.expose().to_owned()).unwrap_or_default())
            });
            // One ID for all its life: a broker that still holds the old connection ends it.
            let client_id = format!("{}-pub-{}", self.shared.job.run, self.number);
            let connect = v5::Connect { keep_alive: 0, client_id, clean_start: true, properties: None };
            let mut bytes = BytesMut::new();
            let packet = v5::Packet::Connect(connect, None, login);
            wire::write(version, packet, &mut bytes).map_err(|error| error.to_string())?;
            let lost = |error: std::io::Error| format!("the connection was lost: {error}");
            io.write_all(&bytes).await.map_err(lost)?;
            io.flush().await.map_err(lost)?;
            bytes.clear();
            loop {
                match wire::read(version, &mut bytes, MAX_PACKET).map_err(|error| format!("{error}{CHECK}"))? {
                    Some(v5::Packet::ConnAck(ack)) if ack.code == v5::ConnectReturnCode::Success => {
                        let allowed = ack.properties.and_then(|properties| properties.receive_max);
                        let own = usize::from(self.shared.job.inflight);
                        self.inflight = allowed.map_or(own, |allowed| own.min(usize::from(allowed)));
                        return Ok(io);
                    }
                    Some(v5::Packet::ConnAck(ack)) => {
                        return Err(format!("the broker refuses publishers: {:?}", ack.code));
                    }
                    Some(other) => return Err(format!("CONNACK was expected, but came {other:?}")),
                    None => {}
                }
                if io.read_buf(&mut bytes).await.map_err(lost)? == 0 {
                    return Err(format!("the broker closed the connection instead of answering CONNECT{CHECK}"));
                }
            }
        };
        self.io = Some(
            timeout(CONNECT, connected)
                .await
                .map_err(|_| format!("no answer to CONNECT within {CONNECT:?}{CHECK}"))??,
        );
        Ok(())
    }

    /// Publishes everything. Reconnects as long as the broker comes back.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let mut start = self.shared.start_ns.clone();
        let start_ns = match start.wait_for(Option::is_some).await {
            Ok(start) => start.unwrap_or_default(),
            // The parent is gone.
            Err(_) => return Ok(()),
        };
        loop {
            let lost = match self.io.take() {
                Some(io) => match self.session(io, start_ns).await {
                    Ended::Done => break,
                    Ended::Lost(why) => why,
                },
                None => "there is no connection".to_owned(),
            };
            self.shared.figures.borrow_mut().last_error = Some(lost);
            let since = Instant::now();
            while let Err(why) = self.connect().await {
                if since.elapsed() > GONE {
                    return Err(why);
                }
                sleep(AGAIN).await;
            }
        }
        let mut figures = self.shared.figures.borrow_mut();
        if let Some(sent) = figures.sent.events.get_mut(self.number as usize) {
            *sent = self.next_seq;
        }
        let pending = self.pending.iter().filter(|pending| !pending.confirmed);
        figures.sent.unconfirmed.extend(pending.map(|pending| (self.number, pending.seq)));
        Ok(())
    }

    async fn session(&mut self, io: BoxStream, start_ns: u64) -> Ended {
        let (mut reader, mut writer): (ReadHalf<BoxStream>, WriteHalf<BoxStream>) = tokio::io::split(io);
        let mut input = BytesMut::with_capacity(8 * 1024);
        self.out.clear();
        self.resend();
        let shared = Rc::clone(&self.shared);
        let mut moved = Instant::now();
        loop {
            let more = self.fill(start_ns);
            if !more && self.out.is_empty() && (self.pending.is_empty() || moved.elapsed() > UNCONFIRMED) {
                return goodbye(&mut writer).await;
            }
            tokio::select! {
                written = writer.write_buf(&mut self.out), if !self.out.is_empty() => match written {
                    Ok(bytes) if bytes > 0 => {
                        moved = Instant::now();
                        if self.out.is_empty() && let Err(error) = writer.flush().await {
                            return Ended::Lost(format!("the connection was lost: {error}"));
                        }
                    }
                    Ok(_) => return Ended::Lost("the connection was closed".to_owned()),
                    Err(error) => return Ended::Lost(format!("the connection was lost: {error}")),
                },
                read = reader.read_buf(&mut input) => match read {
                    Ok(bytes) if bytes > 0 => {
                        moved = Instant::now();
                        while let Some(answer) = answer(&mut input) {
                            if let Err(why) = self.take(answer) {
                                return Ended::Lost(why);
                            }
                        }
                    }
                    Ok(_) => return Ended::Lost("the broker closed the connection".to_owned()),
                    Err(error) => return Ended::Lost(format!("the connection was lost: {error}")),
                },
                () = shared.tick.notified() => {}
            }
        }
    }

    /// Writes what is due into the buffer. Says whether more will be due.
    fn fill(&mut self, start_ns: u64) -> bool {
        let shared = Rc::clone(&self.shared);
        let job = &shared.job;
        let now_ns = clock::now_ns();
        let is_over = |this: &Self| {
            shared.stopped.get()
                || this.keys.is_empty()
                || this.own.is_some_and(|own| this.next_seq >= own)
                || (job.schedule.is_none() && now_ns >= start_ns + job.length_ns)
        };
        if now_ns < start_ns {
            return !is_over(self);
        }
        let mut written = 0;
        let mut figures = shared.figures.borrow_mut();
        while self.out.len() < OUT && !is_over(self) && (job.link.qos == 0 || self.pending.len() < self.inflight) {
            let due_ns = match job.schedule {
                Some(schedule) => {
                    start_ns + schedule.due_ns(self.next_seq * u64::from(job.publishers) + u64::from(self.number))
                }
                None if shared.sent.get() < shared.handled.get() + shared.refused.get() + job.ahead => now_ns,
                None => break,
            };
            if due_ns > now_ns {
                break;
            }
            self.publish(self.next_seq, due_ns, false);
            self.next_seq += 1;
            written += 1;
            shared.sent.set(shared.sent.get() + 1);
            if due_ns >= start_ns + job.warm_up_ns {
                figures.late.record(now_ns - due_ns);
            }
        }
        if written > 0 {
            let second = ((now_ns - start_ns) / 1_000_000_000).min(MOST_SECONDS);
            let second = usize::try_from(second).unwrap_or(usize::MAX);
            if figures.per_second.len() <= second {
                figures.per_second.resize(second + 1, 0);
            }
            figures.per_second[second] += written;
        }
        !is_over(self)
    }

    fn publish(&mut self, seq: u64, due_ns: u64, resent: bool) {
        let own = self.keys.len() as u64;
        let Some((key, topic)) = self.keys.get(usize::try_from(seq % own.max(1)).unwrap_or(0)) else { return };
        let mut pkid = 0;
        if self.form.qos > 0 {
            self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
            pkid = self.last_pkid;
            self.pending.push_back(Pending { pkid, seq, due_ns, confirmed: false });
        }
        self.form.write(&mut self.out, topic, pkid, &Stamp { publisher: self.number, key: *key, resent, seq, due_ns });
    }

    /// Sends what is pending once more, on a new connection.
    fn resend(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            if !pending.confirmed {
                self.publish(pending.seq, pending.due_ns, true);
                self.shared.figures.borrow_mut().resent += 1;
            }
        }
    }

    fn take(&mut self, answer: Answer) -> Result<(), String> {
        match answer {
            Answer::Ack { pkid, reason } => {
                // Brokers answer in order, so it is the first one; whatever else comes is looked for.
                if let Some(pending) = self.pending.iter_mut().find(|pending| pending.pkid == pkid) {
                    pending.confirmed = true;
                    if reason >= REFUSED {
                        self.shared.figures.borrow_mut().sent.refuse(self.number, pending.seq);
                        self.shared.refused.set(self.shared.refused.get() + 1);
                    }
                }
                while self.pending.front().is_some_and(|pending| pending.confirmed) {
                    self.pending.pop_front();
                }
                Ok(())
            }
            Answer::Disconnect { reason } => Err(format!("the broker ended the connection with reason 0x{reason:02X}")),
            Answer::Broken => Err("the broker sent what is no MQTT".to_owned()),
            Answer::Other => Ok(()),
        }
    }
}

async fn goodbye(writer: &mut WriteHalf<BoxStream>) -> Ended {
    let bye = [0xE0, 0];
    // Everything is confirmed; a broker that does not hear it sees the end of the connection.
    let _ = timeout(CONNECT, writer.write_all(&bye)).await;
    let _ = timeout(CONNECT, writer.shutdown()).await;
    Ended::Done
}
