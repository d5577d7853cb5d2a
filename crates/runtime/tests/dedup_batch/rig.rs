//! A worker at the end of in-memory pipes, with a sink that can be blocked.

use std::sync::{Arc, Mutex};

use tidemill_core::{QoS, Record, Sink, SinkError, async_trait};
use tidemill_runtime::{BoxStream, Config, Connector, Route, RunError, SessionError, Summary, Worker};
use tidemill_testkit::script::ScriptedBroker;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
struct Pipes(mpsc::Sender<DuplexStream>);

#[async_trait]
impl Connector for Pipes {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        let (client, broker) = tokio::io::duplex(256 * 1024);
        if self.0.send(broker).await.is_err() {
            std::future::pending::<()>().await;
        }
        Ok(Box::new(client))
    }
}

/// A sink that remembers. Writes wait while it is blocked.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    payloads: Arc<Mutex<Vec<String>>>,
    pub(crate) blocked: watch::Sender<bool>,
}

impl Written {
    pub(crate) fn payloads(&self) -> Vec<String> {
        self.payloads.lock().unwrap().clone()
    }
}

#[async_trait]
impl Sink for Written {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        drop(self.blocked.subscribe().wait_for(|blocked| !blocked).await);
        let payloads = batch.iter().map(|record| String::from_utf8(record.payload.to_vec()).unwrap());
        self.payloads.lock().unwrap().extend(payloads);
        Ok(())
    }
}

pub(crate) struct Rig {
    pub(crate) broker: ScriptedBroker,
    pub(crate) written: Written,
    connections: mpsc::Receiver<DuplexStream>,
    stop: CancellationToken,
    running: JoinHandle<Result<Summary, RunError>>,
}

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.group.name = Some("g".to_owned());
    config.group.verify = tidemill_runtime::config::Verify::Never;
    config
}

impl Rig {
    /// A worker with this route and a sink `out`, subscribed.
    pub(crate) async fn start(config: Config, route: Route) -> Self {
        let (sender, mut connections) = mpsc::channel(8);
        let written = Written { payloads: Arc::default(), blocked: watch::Sender::new(false) };
        let worker = Worker::builder(config)
            .connector(Pipes(sender))
            .on_one_runtime()
            .add_route(route)
            .sink("out", written.clone())
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running = tokio::spawn(worker.run_until(async move { stopped.cancelled().await }));
        let broker = accept(&mut connections).await;
        Self { broker, written, connections, stop, running }
    }

    pub(crate) async fn publish(&mut self, pkid: u16, topic: &str, payload: &str) {
        self.broker.publish(pkid, topic, QoS::AtLeastOnce, payload.to_owned()).await;
    }

    /// Cuts the connection, and lets the worker in again.
    pub(crate) async fn reconnect(&mut self) {
        self.broker = ScriptedBroker::pair().1;
        self.broker = accept(&mut self.connections).await;
    }

    /// Asks the worker to leave, and goes along until it has unsubscribed.
    pub(crate) async fn unsubscribe(&mut self) {
        self.stop.cancel();
        self.broker.accept_unsubscribe().await;
    }

    /// The rest of leaving.
    pub(crate) async fn disconnect(mut self) -> Summary {
        self.broker.accept_ping().await;
        self.broker.expect_disconnect().await;
        self.running.await.unwrap().unwrap()
    }

    pub(crate) async fn leave(mut self) -> Summary {
        self.unsubscribe().await;
        self.disconnect().await
    }
}

async fn accept(connections: &mut mpsc::Receiver<DuplexStream>) -> ScriptedBroker {
    let mut broker = ScriptedBroker::new(connections.recv().await.unwrap());
    broker.accept().await;
    broker.accept_subscribe().await;
    broker
}
