//! The embedded broker in a process of its own.

use tidemill_testkit::broker::{Broker, BrokerConfig};

use super::process::child::{Orders, say};
use super::process::{BrokerFigures, Order, Said};

/// Runs the broker until the parent is gone. A restart keeps what real brokers store: durable sessions and their queues.
///
/// # Errors
/// It cannot listen.
pub(crate) async fn run(mut orders: Orders) -> Result<(), String> {
    let mut broker = Broker::start(BrokerConfig::default()).await.map_err(|error| tidemill::report(&error))?;
    say(&Said::Ready { url: broker.url() });
    while let Some(order) = orders.next().await {
        match order {
            Order::Restart => {
                let config = match broker.addr() {
                    Some(addr) => BrokerConfig::default().with_listen(addr),
                    None => BrokerConfig::default(),
                };
                let state = broker.crash();
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
