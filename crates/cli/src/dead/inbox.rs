//! The durable session on the broker: letters come in order, and each is acknowledged when it is told to be and not
//! before. Nothing is ever reconnected: with the connection every open letter is the broker's again.
//!
//! One task owns the socket, reads while there is room and pings in time, so that a slow replay keeps its connection.
//!
//! INVARIANT: PUBACKs are written in the order in which they are asked for, and nothing else is acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use tidemill::{BoxStream, MqttVersion, Publication};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::args::Broker;
use super::packets::{self, Accepted, Connect, Incoming};
use super::stream;
use crate::exit::Failure;

const KEEP_ALIVE: u16 = 30;
/// How long a broker may take to hang up.
const GOODBYE: Duration = Duration::from_secs(2);
/// Letters that wait to be looked at, beside what the socket holds.
const AHEAD: usize = 256;

/// A letter as it came, with what acknowledges it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) pkid: u16,
    pub(super) carrier: Publication,
}

enum Item {
    Letter(Received),
    /// Everything that was sent before this barrier has come.
    Quiet(u64),
}

enum Command {
    Subscribe(String, oneshot::Sender<Result<(), String>>),
    Acknowledge(u16),
    Barrier(u64),
    Leave,
}

/// See the module's description.
pub(super) struct Inbox {
    items: mpsc::Receiver<Item>,
    commands: mpsc::Sender<Command>,
    task: Option<AbortOnDropHandle<Result<(), String>>>,
    barriers: u64,
    patience: Duration,
    accepted: Accepted,
}

/// Opens a connection as far as CONNACK.
async fn handshake(broker: &Broker, clean: bool) -> Result<(BoxStream, BytesMut, Accepted), Failure> {
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
    let opened = async {
        let mut stream = stream::open(mqtt).await?;
        let mut out = BytesMut::new();
        packets::connect(mqtt.version, &connect, &mut out).map_err(|error| format!("write CONNECT: {error}"))?;
        stream.write_all(&out).await.map_err(lost)?;
        let mut input = BytesMut::new();
        loop {
            match packets::read(mqtt.version, &mut input).map_err(|error| format!("{error}; is it an MQTT broker?"))? {
                Some(Incoming::ConnAck(Ok(accepted))) => return Ok((stream, input, accepted)),
                Some(Incoming::ConnAck(Err(why))) => return Err(format!("the broker refuses the connection: {why}")),
                Some(_) => return Err("the peer answers CONNECT with another packet; is it an MQTT broker?".to_owned()),
                None if stream.read_buf(&mut input).await.map_err(lost)? == 0 => {
                    return Err(
                        "the broker closes the connection instead of answering; does it speak this --broker-version, \
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

impl Inbox {
    /// Connects to the session, which is made when the broker has none.
    ///
    /// # Errors
    /// There is no connection, with the reason.
    pub(super) async fn open(broker: &Broker) -> Result<Self, Failure> {
        let (stream, input, accepted) = handshake(broker, false).await?;
        let (give, items) = mpsc::channel(AHEAD);
        let (commands, asked) = mpsc::channel(AHEAD);
        let keep_alive = Duration::from_secs(accepted.keep_alive.unwrap_or(KEEP_ALIVE).into());
        let line = Line {
            version: broker.config.mqtt.version,
            stream,
            input,
            items: give,
            asked,
            pings: VecDeque::new(),
            subscribing: None,
            // Early enough that a slow network does not turn it into a lost connection; 0 switches it off.
            ping_every: if keep_alive.is_zero() { Duration::from_secs(3600) } else { keep_alive.mul_f64(0.75) },
            patience: broker.patience,
        };
        let task = Some(AbortOnDropHandle::new(tokio::spawn(line.run())));
        Ok(Self { items, commands, task, barriers: 0, patience: broker.patience, accepted })
    }

    /// Connects to the session that the broker keeps.
    ///
    /// # Errors
    /// There is no connection, or no such session.
    pub(super) async fn resume(broker: &Broker) -> Result<Self, Failure> {
        let inbox = Self::open(broker).await?;
        if inbox.accepted.session_present {
            return Ok(inbox);
        }
        inbox.leave().await?;
        forget(broker).await?;
        Err(Failure::Run(format!(
            "the broker keeps no dead letters under the session {:?}; `tidemill dead subscribe` makes it keep them from \
             then on (a session also ends when nobody looks for as long as --keep says)",
            broker.session
        )))
    }

    /// What the broker said of the session.
    pub(super) fn accepted(&self) -> Accepted {
        self.accepted
    }

    /// Adds a subscription to the session.
    ///
    /// # Errors
    /// The broker's refusal.
    pub(super) async fn subscribe(&mut self, filter: &str) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        self.ask(Command::Subscribe(filter.to_owned(), answer)).await?;
        match timeout(self.patience, answered).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(why))) => Err(Failure::Run(format!("the broker refuses the subscription to {filter}: {why}"))),
            Ok(Err(_)) => Err(self.why().await),
            Err(_) => Err(Failure::Run("the broker does not answer the subscription".to_owned())),
        }
    }

    /// Takes what has come into `take` until nothing more comes for `settle`, or until `take` wants no more. Tells
    /// whether it did.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn fetch(
        &mut self,
        settle: Duration,
        mut take: impl FnMut(Received) -> bool,
    ) -> Result<bool, Failure> {
        loop {
            self.barriers += 1;
            let barrier = self.barriers;
            self.ask(Command::Barrier(barrier)).await?;
            let mut came = false;
            loop {
                match self.next(self.patience).await? {
                    Some(Item::Letter(letter)) => {
                        came = true;
                        if !take(letter) {
                            return Ok(true);
                        }
                    }
                    Some(Item::Quiet(number)) if number == barrier => break,
                    Some(Item::Quiet(_)) => {}
                    None => {
                        return Err(Failure::Run(
                            "the broker does not answer; try again, or raise --patience".to_owned(),
                        ));
                    }
                }
            }
            if came {
                continue;
            }
            // Some brokers read a queue beside the connection, and answer the ping first.
            match self.next(settle).await? {
                Some(Item::Letter(letter)) => {
                    if !take(letter) {
                        return Ok(true);
                    }
                }
                Some(Item::Quiet(_)) => {}
                None => return Ok(false),
            }
        }
    }

    /// Acknowledges a letter: the broker forgets it.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn acknowledge(&mut self, pkid: u16) -> Result<(), Failure> {
        self.ask(Command::Acknowledge(pkid)).await
    }

    /// Leaves the session to the broker, once it has taken every acknowledgement.
    ///
    /// # Errors
    /// The connection is lost; letters may come again.
    pub(super) async fn leave(mut self) -> Result<(), Failure> {
        self.barriers += 1;
        let barrier = self.barriers;
        self.ask(Command::Barrier(barrier)).await?;
        loop {
            match self.next(self.patience).await? {
                Some(Item::Quiet(number)) if number == barrier => break,
                Some(_) => {}
                None => return Err(Failure::Run("the broker does not answer; letters may be listed again".to_owned())),
            }
        }
        self.ask(Command::Leave).await?;
        match self.task.take() {
            Some(task) => match timeout(self.patience, task).await {
                Ok(Ok(result)) => result.map_err(Failure::Run),
                Ok(Err(crash)) => Err(Failure::Run(format!("the connection crashed: {crash}"))),
                Err(_) => Err(Failure::Run("the broker does not end the connection".to_owned())),
            },
            None => Ok(()),
        }
    }

    async fn ask(&mut self, command: Command) -> Result<(), Failure> {
        match self.commands.send(command).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why().await),
        }
    }

    /// What comes next; `None` when nothing does in time.
    async fn next(&mut self, patience: Duration) -> Result<Option<Item>, Failure> {
        match timeout(patience, self.items.recv()).await {
            Ok(Some(item)) => Ok(Some(item)),
            Ok(None) => Err(self.why().await),
            Err(_) => Ok(None),
        }
    }

    /// Why the task has ended.
    async fn why(&mut self) -> Failure {
        let ended = match self.task.take() {
            Some(task) => task.await,
            None => Ok(Err("the connection has ended".to_owned())),
        };
        Failure::Run(match ended {
            Ok(Err(why)) => why,
            Ok(Ok(())) => "the connection has ended".to_owned(),
            Err(crash) => format!("the connection crashed: {crash}"),
        })
    }
}

/// Ends the session: the broker drops what it holds for it.
///
/// # Errors
/// There is no connection.
pub(super) async fn forget(broker: &Broker) -> Result<(), Failure> {
    let (mut stream, _, _) = handshake(broker, true).await?;
    goodbye(&mut stream).await.map_err(Failure::Run)
}

/// Says DISCONNECT, and waits a moment for the broker to hang up: then it has seen it.
async fn goodbye(stream: &mut BoxStream) -> Result<(), String> {
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

/// The task's side.
struct Line {
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
    async fn run(mut self) -> Result<(), String> {
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
