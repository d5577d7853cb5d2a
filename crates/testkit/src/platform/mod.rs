//! An emulation of IBM Watson IoT Platform's messaging: its rules of connecting, publishing and subscribing, its shares
//! by client ID and its monitoring messages, in one process.
//!
//! ```text
//! device, application ── front: CONNECT judged, topics rewritten ──> broker
//!                          └── monitoring messages ──────────────────────┘
//! ```
//!
//! Like the platform it has a front end before an ordinary broker: the rules are those of
//! [`tidemill_core::platform`], the broker is [`Broker`]. Clients of `A:org:app` connect any number of times under one
//! ID, each filter of an application is a share of its own, the organization keeps tenants apart, a wrong packet closes
//! the connection, and what happened is told on the monitoring topics.
//!
//! What it does not do: TLS, quotas, registration, device management, states and rules. Retained monitoring messages do
//! not expire. A disconnect with 288 is not retained, as the platform's server does it; its proxy retains it. Members
//! of `A:org:app` get no retained messages when they subscribe. A client of MQTT 5 hears no reason when it is closed.
//!
//! ```
//! use tidemill_testkit::platform::{Accounts, Platform, PlatformConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let accounts = Accounts::default().with_key("a-abc123-k3y", "secret").with_any_device("token");
//! let platform = Platform::start(PlatformConfig::default().with_accounts(accounts)).await?;
//! println!("connect to {}", platform.url());
//! platform.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod connection;
mod front;
mod monitor;
mod rewrite;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidemill_core::QoS;
use tidemill_core::platform::CloseCode;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use accounts::Accounts;
pub use front::Ended;

use crate::broker::{Broker, BrokerConfig, BrokerStats, Quirks, StartError};
use front::Front;

/// Bytes that an in-memory pipe holds in each direction.
const PIPE: usize = 256 * 1024;
/// Monitoring messages that wait for the broker.
const NOTES: usize = 1024;

/// The set-up of an emulated platform. The default listens on a free port of the loopback interface and knows nobody.
#[derive(Clone, Debug)]
pub struct PlatformConfig {
    /// Where to listen for TCP connections; `None` leaves [`Platform::connect`] as the only way in, which works under
    /// paused time.
    pub listen: Option<SocketAddr>,
    /// Who may connect.
    pub accounts: Accounts,
    /// The highest QoS of publications.
    pub max_qos: QoS,
    /// The broker behind the front. It never listens itself. Its quirks are the platform's unless others are given.
    pub broker: BrokerConfig,
}

impl Default for PlatformConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            accounts: Accounts::default(),
            max_qos: QoS::ExactlyOnce,
            broker: BrokerConfig { quirks: quirks(), ..BrokerConfig::in_memory() },
        }
    }
}

/// What a member has not acknowledged waits for it while its session lives, and goes to others when that ends
/// (`iemq_processNack` in Amlen's `multiConsumerQ.c`); the backlog is the group's all along.
fn quirks() -> Quirks {
    Quirks { redeliver_on_member_loss: false, redeliver_on_session_end: true, ..Quirks::default() }
}

impl PlatformConfig {
    /// A set-up without a TCP listener, for tests over in-memory pipes.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { listen: None, ..Self::default() }
    }

    /// Lets these clients in.
    #[must_use]
    pub fn with_accounts(mut self, accounts: Accounts) -> Self {
        self.accounts = accounts;
        self
    }
}

/// A running emulation. Dropping it ends all its tasks and cuts all its connections.
#[derive(Debug)]
pub struct Platform {
    front: Arc<Front>,
    broker: Arc<Broker>,
    addr: Option<SocketAddr>,
    runtime: Handle,
    stop: CancellationToken,
    tasks: Vec<AbortHandle>,
}

impl Platform {
    /// Starts on the current tokio runtime.
    ///
    /// # Errors
    /// When it cannot listen where the configuration says.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(config: PlatformConfig) -> Result<Self, StartError> {
        let runtime = Handle::current();
        let listen = config.listen;
        let behind = BrokerConfig {
            listen: None,
            max_packet_size: 4 << 20,
            // A topic alias would hide from the front what is published where.
            topic_alias_maximum: 0,
            ..config.broker.clone()
        };
        let broker = Arc::new(Broker::start(behind).await?);
        let (notes, waiting) = mpsc::channel(NOTES);
        let front = Arc::new(Front::new(config, notes));
        let mut tasks = vec![runtime.spawn(monitor::publish(broker.connect(), waiting)).abort_handle()];
        let stop = CancellationToken::new();
        let mut addr = None;
        if let Some(wanted) = listen {
            let listener = TcpListener::bind(wanted).await.map_err(|source| StartError::new(wanted, source))?;
            addr = Some(listener.local_addr().map_err(|source| StartError::new(wanted, source))?);
            let accept = accept(listener, Arc::clone(&front), Arc::clone(&broker), stop.clone());
            tasks.push(runtime.spawn(accept).abort_handle());
        }
        Ok(Self { front, broker, addr, runtime, stop, tasks })
    }

    /// Where it listens; `None` when only over pipes.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Where it listens, as a URL. `mqtt://in-memory` when only over pipes.
    #[must_use]
    pub fn url(&self) -> String {
        self.addr.map_or_else(|| "mqtt://in-memory".to_owned(), |addr| format!("mqtt://{addr}"))
    }

    /// A new connection through memory. It waits for a CONNECT, like one over TCP.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE);
        start(&self.runtime, &self.front, &self.broker, &self.stop, server, None);
        client
    }

    /// How connections ended so far, the latest 4096, oldest first; refused ones too.
    #[must_use]
    pub fn ends(&self) -> Vec<Ended> {
        self.front.ends()
    }

    /// Waits until a connection of that client ID has ended, now or earlier, and answers why the first did.
    pub async fn ended(&self, client_id: &str) -> CloseCode {
        loop {
            let news = self.front.ended.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(end) = self.ends().iter().find(|end| end.client_id == client_id) {
                return end.code;
            }
            news.await;
        }
    }

    /// What the broker behind the front did so far and holds now. The connection that monitoring goes through is one of
    /// its connections.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.broker.stats()
    }

    /// Cuts every connection without a word; the platform says of each that the server closed it (92).
    pub fn kill(&self) {
        self.front.kill.notify_waiters();
    }

    /// Cuts every connection and stops.
    pub async fn shutdown(self) {
        drop(self);
        // What was told to end does so when it is polled again.
        tokio::task::yield_now().await;
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn accept(listener: TcpListener, front: Arc<Front>, broker: Arc<Broker>, stop: CancellationToken) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                start(&Handle::current(), &front, &broker, &stop, stream, Some(addr.ip().to_string()));
            }
            Err(error) => {
                // Out of file descriptors, most likely; it passes when connections close.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn start<S>(
    runtime: &Handle,
    front: &Arc<Front>,
    broker: &Arc<Broker>,
    stop: &CancellationToken,
    stream: S,
    addr: Option<String>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (front, behind, stop) = (Arc::clone(front), broker.connect(), stop.clone());
    runtime.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = connection::serve(front, stream, addr, behind) => {}
        }
    });
}
