//! The embedded broker in a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use tidemill_testkit::broker::{Broker, BrokerConfig};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::process::child::{Orders, say};
use super::process::{BrokerFigures, Order, Said};

/// The old listener is closed when its task has ended, which takes a moment.
const FREE: Duration = Duration::from_secs(5);

/// Runs the broker until the parent is gone. A restart keeps what real brokers store: durable sessions and their queues.
///
/// # Errors
/// It cannot listen.
pub(crate) async fn run(mut orders: Orders) -> Result<(), String> {
    let mut broker = Broker::start(BrokerConfig::default()).await.map_err(|error| tidemill::report(&error))?;
    say(&Said::Ready { url: broker.url() });
    while let Some(order) = orders.next().await {
        match order {
            Order::Restart { away_ms } => {
                let addr = broker.addr().ok_or("it does not listen")?;
                let state = broker.crash();
                sleep(Duration::from_millis(away_ms)).await;
                free(addr).await?;
                let config = BrokerConfig::default().with_listen(addr);
                broker = Broker::start_with(config, state).await.map_err(|error| tidemill::report(&error))?;
                say(&Said::Settled);
            }
            Order::Stats => {
                let stats = broker.stats();
                say(&Said::Stats(BrokerFigures {
                    queued: stats.queued as u64,
                    inflight: stats.inflight as u64,
                    redelivered: stats.redelivered,
                    dropped: stats.dropped,
                }));
            }
            _ => {}
        }
    }
    broker.shutdown().await;
    Ok(())
}

/// Waits until nobody listens there.
async fn free(addr: SocketAddr) -> Result<(), String> {
    let free = async {
        while TcpListener::bind(addr).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(FREE, free).await.map_err(|_| format!("{addr} does not become free again"))
}
