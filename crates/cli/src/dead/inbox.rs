//! The durable session on the broker: letters come in order, and each is acknowledged when it is told to be and not
//! before. Nothing is ever reconnected: with the connection every open letter is the broker's again.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::args::Broker;
use super::line::{self, AHEAD, Command, Item, Line};
use super::packets::Accepted;
use crate::exit::Failure;

pub(super) use super::line::Received;

/// See the module's description.
pub(super) struct Inbox {
    items: mpsc::Receiver<Item>,
    commands: mpsc::Sender<Command>,
    task: Option<AbortOnDropHandle<Result<(), String>>>,
    barriers: u64,
    patience: Duration,
    accepted: Accepted,
}

impl Inbox {
    /// Connects to the session, which is made when the broker has none.
    ///
    /// # Errors
    /// There is no connection, with the reason.
    pub(super) async fn open(broker: &Broker) -> Result<Self, Failure> {
        let (stream, input, accepted) = line::handshake(broker, false).await?;
        let (give, items) = mpsc::channel(AHEAD);
        let (commands, asked) = mpsc::channel(AHEAD);
        let line = Line::new(broker, stream, input, accepted, give, asked);
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
        // What somebody published at QoS 0 needs none.
        if pkid == 0 { Ok(()) } else { self.ask(Command::Acknowledge(pkid)).await }
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
    let (mut stream, _, _) = line::handshake(broker, true).await?;
    line::goodbye(&mut stream).await.map_err(Failure::Run)
}
