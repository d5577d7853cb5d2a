//! An MQTT broker inside the process, for demos, tests and benchmarks on one machine.
//!
//! It speaks MQTT 5 and 3.1.1 over TCP and over in-memory pipes, and over the latter under paused tokio time. It keeps
//! everything in memory, has no TLS and no cluster, and is not meant to face a network.
//!
//! What it does differently from other brokers, and on purpose:
//!
//! - **A sharing group has one queue from which its members draw** as far as their windows have room. A slow member
//!   gets less; it never gathers a backlog that nobody else can reach.
//! - **Unacknowledged events of a member go back to the group when its connection ends**, also when its session lives
//!   on, at their old place and with DUP. A member that has unsubscribed keeps what it holds until it acknowledges or
//!   its connection ends.
//! - **A group without a connected member keeps its queue** while some session holds the subscription; QoS 0 events
//!   are not queued then.
//! - **A full queue holds the publisher back** (see [`QueueFull`]) instead of dropping what was acknowledged.
//! - **Subscriptions are granted QoS 1 at most.** Publishers may use QoS 2.
//! - A session that has several matching subscriptions gets an event once, with all their identifiers.
//! - An event larger than a client's Maximum Packet Size counts as delivered, in a group too.
//!
//! [`Quirks`] switch to the ways of other brokers, [`Profile`]s to those of a known one.
//!
//! ```
//! use tidemill_testkit::broker::{Broker, BrokerConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::start(BrokerConfig::default()).await?;
//! println!("connect to {}", broker.url());
//! assert_eq!(broker.stats().connections, 0);
//! broker.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod access;
mod config;
mod conn;
mod connection;
mod encode;
mod gate;
mod group;
mod handshake;
mod hub;
mod inbound;
mod ledger;
mod listener;
mod message;
mod profiles;
mod quirks;
mod quota;
mod retained;
mod routes;
mod session;
mod shared;
mod stats;
mod timers;
mod trace;
mod trie;
mod will;
mod window;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

pub use access::Access;
pub use config::{BrokerConfig, QueueFull, QueueLimits};
pub use conn::Close;
pub use profiles::Profile;
pub use quirks::{Distribution, Quirks, SharedSubscriptions};
pub use stats::BrokerStats;
pub use trace::{Traced, What, ack_order_violations};

use hub::Hub;
use shared::Shared;

const SERVER_SHUTTING_DOWN: u8 = 0x8B;
/// How long clients may take to hear that the broker stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes that an in-memory pipe holds in each direction.
const PIPE: usize = 256 * 1024;

/// A running broker. Dropping it ends all its tasks and cuts all its connections.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    addr: Option<SocketAddr>,
    runtime: Handle,
    tasks: Vec<AbortHandle>,
}

/// What a stopped broker leaves to the next one: sessions that live on, groups with their queues, retained events.
///
/// It belongs to the tokio runtime that it comes from, whose clock its timers are in.
#[derive(Debug)]
pub struct BrokerState(Box<Hub>);

/// Why a broker did not start.
#[derive(Debug)]
pub struct StartError {
    addr: SocketAddr,
    source: io::Error,
}

impl StartError {
    #[cfg(feature = "platform")]
    pub(crate) fn new(addr: SocketAddr, source: io::Error) -> Self {
        Self { addr, source }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}; port 0 takes any free port", self.addr)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Broker {
    /// Starts a broker on the current tokio runtime.
    ///
    /// # Errors
    /// When it cannot listen where the configuration says.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        Self::launch(config, None).await
    }

    /// Starts a broker that goes on where another one stopped.
    ///
    /// # Errors
    /// When it cannot listen where the configuration says.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start_with(config: BrokerConfig, state: BrokerState) -> Result<Self, StartError> {
        Self::launch(config, Some(state)).await
    }

    async fn launch(config: BrokerConfig, state: Option<BrokerState>) -> Result<Self, StartError> {
        let runtime = Handle::current();
        let config = Arc::new(config);
        let mut addr = None;
        let mut listener = None;
        if let Some(wanted) = config.listen {
            let failed = |source| StartError { addr: wanted, source };
            let bound = TcpListener::bind(wanted).await.map_err(failed)?;
            addr = Some(bound.local_addr().map_err(failed)?);
            listener = Some(bound);
        }
        let hub = match state {
            Some(state) => state.0.reopen(Arc::clone(&config)),
            None => Hub::new(Arc::clone(&config)),
        };
        let shared = Arc::new(Shared::new(hub, config));
        let mut tasks = vec![runtime.spawn(keep_house(Arc::clone(&shared))).abort_handle()];
        if let Some(listener) = listener {
            tasks.push(runtime.spawn(listener::accept(listener, Arc::clone(&shared))).abort_handle());
        }
        Ok(Self { shared, addr, runtime, tasks })
    }

    /// Where it listens; `None` when only over pipes.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Where it listens, as a URL: `mqtt://127.0.0.1:41883`. `mqtt://in-memory` when only over pipes.
    #[must_use]
    pub fn url(&self) -> String {
        self.addr.map_or_else(|| "mqtt://in-memory".to_owned(), |addr| format!("mqtt://{addr}"))
    }

    /// A new connection through memory. It waits for a CONNECT, like one over TCP.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE);
        listener::start(&self.shared, server, &self.runtime);
        client
    }

    /// What the broker did so far and holds now.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.shared.with(|hub| hub.stats())
    }

    /// What happened, as far as [`BrokerConfig::trace`] lets it be remembered.
    #[must_use]
    pub fn trace(&self) -> Vec<Traced> {
        self.shared.with(|hub| hub.trace())
    }

    /// Cuts every connection without a word, as a broken network would. Sessions are detached when this returns; the
    /// broker goes on.
    pub fn kill(&self) {
        let aborts = self.shared.with(|hub| hub.close_all(Close::Lost, Instant::now()));
        aborts.iter().for_each(AbortHandle::abort);
    }

    /// Cuts the connection of one client without a word; `false` when it has none.
    #[must_use = "a client that is not there cannot be cut"]
    pub fn cut(&self, client: &str) -> bool {
        self.shared.with(|hub| hub.close_client(client, Close::Lost, Instant::now()))
    }

    /// Ends the connection of one client; an MQTT 5 client gets a DISCONNECT with this reason code. `false` when it
    /// has none.
    #[must_use = "a client that is not there cannot be told"]
    pub fn disconnect(&self, client: &str, reason: u8) -> bool {
        self.shared.with(|hub| hub.close_client(client, Close::Broker(reason), Instant::now()))
    }

    /// Says DISCONNECT 0x8B to MQTT 5 clients, closes every connection and stops. Wills are not published.
    pub async fn shutdown(self) {
        drop(self.stop().await);
    }

    /// Stops like [`shutdown`](Self::shutdown), and keeps what lives on for [`start_with`](Self::start_with).
    pub async fn stop(self) -> BrokerState {
        self.end_listening();
        self.shared.with(|hub| {
            hub.close();
            hub.drop_wills();
            hub.close_all(Close::Broker(SERVER_SHUTTING_DOWN), Instant::now());
        });
        let all_gone = async {
            while self.shared.with(|hub| hub.connections()) > 0 {
                self.shared.connection_ended.notified().await;
            }
        };
        if timeout(FAREWELL, all_gone).await.is_err() {
            tracing::debug!("some clients did not take their DISCONNECT");
        }
        self.take_state()
    }

    /// Stops as if the process had died: every connection is cut without a word. Keeps what lives on for
    /// [`start_with`](Self::start_with).
    #[must_use]
    pub fn crash(self) -> BrokerState {
        self.take_state()
    }

    fn take_state(self) -> BrokerState {
        self.end_tasks();
        BrokerState(Box::new(self.shared.with(|hub| std::mem::replace(hub, Hub::closed()))))
    }

    fn end_listening(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }

    fn end_tasks(&self) {
        self.end_listening();
        let aborts = self.shared.with(|hub| {
            hub.close();
            hub.drop_wills();
            hub.close_all(Close::Lost, Instant::now())
        });
        aborts.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

/// Ends sessions and publishes wills when their time has come.
async fn keep_house(shared: Arc<Shared>) {
    loop {
        let next = shared.with(|hub| hub.run_timers(Instant::now()));
        let set = shared.timer_set.notified();
        match next {
            Some(next) => tokio::select! {
                () = sleep_until(next) => {}
                () = set => {}
            },
            None => set.await,
        }
    }
}
