//! The broker of a benchmark: the embedded one as a child process, a Mosquitto of its own, or one that runs already.

use std::time::Duration;

use tidemill::profile::Profile;
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig};
use tokio::time::sleep;

use super::args::BrokerArgs;
use super::process::parent::Child;
use super::process::{Job, Link, Order, Said};
use super::stage::READY;
use crate::exit::Failure;

/// See the module's description. Dropping it ends what it has started.
#[derive(Debug)]
pub(crate) enum Venue {
    /// In a process of its own.
    Embedded(Box<Child>),
    /// Started for this benchmark, without limits on its queues.
    Mosquitto(Box<Mosquitto>),
    /// Somebody else's, or a part of the publishers' process.
    Elsewhere,
}

impl Venue {
    /// Starts the broker if it does not run, and says how it is reached.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) async fn start(args: &BrokerArgs, is_durable: bool) -> Result<(Self, Link), Failure> {
        let mut link = args.link()?;
        Ok(match args.broker.as_deref() {
            None if args.is_in_publishers() => {
                link.profile = Profile::Tidemill;
                (Self::Elsewhere, link)
            }
            None => {
                let mut child = Child::start("broker", &Job::Broker).await?;
                link.url = child.ready(READY).await?;
                link.profile = Profile::Tidemill;
                (Self::Embedded(Box::new(child)), link)
            }
            Some("mosquitto") => {
                let config =
                    MosquittoConfig { max_inflight: Some(0), persistence: is_durable, ..MosquittoConfig::default() };
                let broker = Mosquitto::start(config).await.map_err(|error| Failure::Run(tidemill::report(&error)))?;
                link.url = broker.url();
                link.profile = Profile::Mosquitto;
                (Self::Mosquitto(Box::new(broker)), link)
            }
            Some(_) => (Self::Elsewhere, link),
        })
    }

    /// The broker's process, if it is ours.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Embedded(child) => Some(child.pid()),
            Self::Mosquitto(broker) => Some(broker.pid()),
            Self::Elsewhere => None,
        }
    }

    /// Asks what it holds, if it can say so.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) async fn ask(&mut self) -> Result<(), Failure> {
        match self {
            Self::Embedded(child) => child.tell(&Order::Stats).await,
            Self::Mosquitto(_) | Self::Elsewhere => Ok(()),
        }
    }

    /// What it says; never anything from one that cannot speak. Cancel-safe.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) async fn hear(&mut self) -> Result<Said, Failure> {
        match self {
            Self::Embedded(child) => child.hear().await,
            Self::Mosquitto(_) | Self::Elsewhere => std::future::pending().await,
        }
    }

    /// Ends it as a crash would, and starts it again at the same place after a while.
    ///
    /// # Errors
    /// It does not come back, or is not ours to restart.
    pub(crate) async fn restart(&mut self, away: Duration) -> Result<(), Failure> {
        match self {
            Self::Embedded(child) => {
                let away_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
                child.tell(&Order::Restart { away_ms }).await?;
                child.wait_for(READY + away, |said| matches!(said, Said::Settled).then_some(())).await
            }
            Self::Mosquitto(broker) => {
                broker.kill().await.map_err(|error| Failure::Run(format!("mosquitto cannot be killed: {error}")))?;
                sleep(away).await;
                broker.restart().await.map_err(|error| Failure::Run(tidemill::report(&error)))
            }
            Self::Elsewhere => Err(Failure::Run("this broker is not ours to restart".to_owned())),
        }
    }

    /// Whether it can be restarted.
    pub(crate) fn can_restart(&self) -> bool {
        !matches!(self, Self::Elsewhere)
    }

    /// Ends what was started.
    pub(crate) async fn end(self) {
        match self {
            Self::Embedded(child) => child.end().await,
            Self::Mosquitto(_) | Self::Elsewhere => {}
        }
    }
}
