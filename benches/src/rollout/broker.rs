//! The broker of a scene: a Mosquitto of its own without limit of its queues, or the embedded one.

use tidemill_runtime::profile::Profile;
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig};

use super::Error;
use super::args::Kind;

/// A running broker.
#[derive(Debug)]
pub(super) enum Server {
    Mosquitto(Box<Mosquitto>),
    Embedded(Box<Broker>),
}

impl Server {
    pub(super) async fn start(kind: Kind) -> Result<Self, Error> {
        Ok(match kind {
            Kind::Mosquitto => {
                let started = Mosquitto::start(MosquittoConfig::default()).await;
                Self::Mosquitto(Box::new(started.map_err(|error| Error::because("start the broker", error))?))
            }
            Kind::Embedded => {
                let started = Broker::start(BrokerConfig::default()).await;
                Self::Embedded(Box::new(started.map_err(|error| Error::because("start the broker", error))?))
            }
        })
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Mosquitto(server) => server.url(),
            Self::Embedded(server) => server.url(),
        }
    }

    pub(super) fn profile(&self) -> Profile {
        match self {
            Self::Mosquitto(_) => Profile::Mosquitto,
            Self::Embedded(_) => Profile::Generic,
        }
    }

    pub(super) async fn stop(self) {
        if let Self::Embedded(server) = self {
            server.shutdown().await;
        }
    }
}
