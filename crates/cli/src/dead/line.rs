//! The connection of the inbox: one task owns the socket, reads while there is room, and pings in time, so that a slow
//! replay keeps its connection.
//!
//! INVARIANT: PUBACKs are written in the order in which they are asked for, and nothing else is acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use tidemill::{BoxStream, MqttVersion, Publication};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::args::Broker;
use super::packets::{self, Accepted, Connect, Incoming};
use crate::connect::{connector, in_options};
use crate::exit::Failure;

const KEEP_ALIVE: u16 = 30;
/// How long a broker may take to hang up.
const GOODBYE: Duration = Duration::from_secs(2);
/// Letters that wait to be looked at, beside what the socket holds.
pub(super) const AHEAD: usize = 256;

/// A letter as it came, with what acknowledges it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) pkid: u16,
    pub(super) carrier: Publication,
}

/// What comes, in order.
pub(super) enum Item {
    Letter(Received),
    /// Everything that was sent before this barrier has come.
    Quiet(u64),
}

/// What is asked for, in order.
pub(super) enum Command {
    Subscribe(String, oneshot::Sender<Result<(), String>>),
    Acknowledge(u16),
    Barrier(u64),
    Leave,
}

/// Opens a connection as far as CONNACK.
pub(super) async fn handshake(broker: &Broker, clean: bool) -> Result<(BoxStream, BytesMut, Accepted), Failure> {
    let mqtt = &broker.config.mqtt;
    let password =
        mqtt.read_password().map_err(|problem| Failure::Usage(format!("--password-file: {}", problem.why())))?;
    let connect = Connect {
        client_id: broker.session.clone(),
        clean,
        keep_alive: KEEP_ALIVE,
        expiry: if clean { 0 } else { u32::try_from(broker.keep.as_secs()).unwrap_or(u32::MAX) },
        window: broker.window,
        login: mqtt.username.clone().map(|name| (name, password.map(|it| it.expose().to_owned()).unwrap_or_default())),
    };
    let connector = connector(mqtt)?;
    let opened = async {
        let stream = connector.connect().await;
        let mut stream = stream.map_err(|error| in_options(&tidemill::report(&error)))?;
        let mut out = BytesMut::new();
        packets::connect(mqtt.version, &connect, &mut out).map_err(|error| format!("write CONNECT: {error}"))?;
        stream.write_all(&out).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let mut input = BytesMut::new();
        loop {
            match packets::read(mqtt.version, &mut input).map_err(|error| format!("{error}; is it an MQTT broker?"))? {
                Some(Incoming::ConnAck(Ok(accepted))) => return Ok((stream, input, accepted)),
                Some(Incoming::ConnAck(Err(why))) => return Err(format!("the broker refuses the connection: {why}")),
                Some(_) => return Err("the peer answers CONNECT with another packet; is it an MQTT broker?".to_owned()),
                None if stream.read_buf(&mut input).await.map_err(lost)? == 0 => {
                    return Err(
                        "the broker closes the connection instead of answering; does it speak this --mqtt-version, \
                                and is it the port for this scheme?"
                            .to_owned(),
                    );
                }
                None => {}
            }
        }
    };
    match timeout(mqtt.connect_timeout, opened).await {
        Ok(result) => result.map_err(Failure::Run),
        Err(_) => Err(Failure::Run(format!(
            "no connection within {}; check --broker, or raise --patience",
            humantime::format_duration(mqtt.connect_timeout)
        ))),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn lost(error: std::io::Error) -> String {
    format!("the connection to the broker broke: {error}")
}

/// Says DISCONNECT, and waits a moment for the broker to hang up: then it has seen it.
pub(super) async fn goodbye(stream: &mut BoxStream) -> Result<(), String> {
    let mut out = BytesMut::new();
    packets::disconnect(&mut out);
    stream.write_all(&out).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let hung_up = async {
        let mut rest = [0; 4096];
        // Letters that are on their way stay the broker's.
        while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    };
    let _ = timeout(GOODBYE, hung_up).await;
    Ok(())
}

/// See the module's description.
pub(super) struct Line {
    version: MqttVersion,
    stream: BoxStream,
    input: BytesMut,
    items: mpsc::Sender<Item>,
    asked: mpsc::Receiver<Command>,
    /// Pings that are not answered, with the barriers that some of them are.
    pings: VecDeque<Option<u64>>,
    subscribing: Option<oneshot::Sender<Result<(), String>>>,
    ping_every: Duration,
    patience: Duration,
}

impl Line {
    pub(super) fn new(
        broker: &Broker,
        stream: BoxStream,
        input: BytesMut,
        accepted: Accepted,
        items: mpsc::Sender<Item>,
        asked: mpsc::Receiver<Command>,
    ) -> Self {
        let keep_alive = Duration::from_secs(accepted.keep_alive.unwrap_or(KEEP_ALIVE).into());
        Self {
            version: broker.config.mqtt.version,
            stream,
            input,
            items,
            asked,
            pings: VecDeque::new(),
            subscribing: None,
            // Early enough that a slow network does not turn it into a lost connection; 0 switches it off.
            ping_every: if keep_alive.is_zero() { Duration::from_secs(3600) } else { keep_alive.mul_f64(0.75) },
            patience: broker.patience,
        }
    }

    /// Runs until it is told to leave. Otherwise the connection is lost, and it says why.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let mut out = BytesMut::new();
        let items = self.items.clone();
        let mut last_read = Instant::now();
        let mut last_ping = Instant::now();
        loop {
            let mut room = self.items.capacity() > 0;
            while room
                && let Some(packet) = packets::read(self.version, &mut self.input).map_err(|error| error.to_string())?
            {
                self.take(packet)?;
                room = self.items.capacity() > 0;
            }
            if !out.is_empty() {
                let written = timeout(self.patience, self.stream.write_all_buf(&mut out)).await;
                written.map_err(|_| "the broker takes nothing any more")?.map_err(lost)?;
                self.stream.flush().await.map_err(lost)?;
            }
            tokio::select! {
                biased;
                command = self.asked.recv() => match command {
                    Some(Command::Leave) => {
                        return goodbye(&mut self.stream).await;
                    }
                    Some(command) => self.obey(command, &mut out)?,
                    None => return Ok(()),
                },
                () = sleep_until(last_ping + self.ping_every) => {
                    // Nothing is seen of an answer while there is no room to read.
                    if room && !self.pings.is_empty() && last_read <= last_ping {
                        return Err("the broker does not answer any more".to_owned());
                    }
                    last_ping = Instant::now();
                    self.pings.push_back(None);
                    packets::pingreq(&mut out);
                }
                permit = items.reserve(), if !room => drop(permit.map_err(|_| "nobody reads any more")?),
                read = self.stream.read_buf(&mut self.input), if room => {
                    if read.map_err(lost)? == 0 {
                        return Err("the broker closed the connection; does another client use the same --session?".to_owned());
                    }
                    last_read = Instant::now();
                }
            }
        }
    }

    fn obey(&mut self, command: Command, out: &mut BytesMut) -> Result<(), String> {
        let written = match command {
            Command::Subscribe(filter, answer) => {
                self.subscribing = Some(answer);
                packets::subscribe(self.version, &filter, out)
            }
            Command::Acknowledge(pkid) => packets::puback(self.version, pkid, out),
            Command::Barrier(number) => {
                self.pings.push_back(Some(number));
                packets::pingreq(out);
                Ok(())
            }
            Command::Leave => Ok(()),
        };
        written.map_err(|error| error.to_string())
    }

    /// Called only where there is room for one item.
    fn take(&mut self, packet: Incoming) -> Result<(), String> {
        let item = match packet {
            Incoming::Letter { pkid, carrier } => Item::Letter(Received { pkid, carrier }),
            Incoming::PingResp => match self.pings.pop_front().flatten() {
                Some(number) => Item::Quiet(number),
                None => return Ok(()),
            },
            Incoming::SubAck(answer) => {
                if let Some(asked) = self.subscribing.take() {
                    // Whoever asked may have lost patience.
                    let _ = asked.send(answer);
                }
                return Ok(());
            }
            Incoming::Disconnect(why) => return Err(format!("the broker ended the connection: {why}")),
            Incoming::ConnAck(_) | Incoming::Other => return Ok(()),
        };
        self.items.try_send(item).map_err(|_| "nobody reads any more".to_owned())
    }
}
