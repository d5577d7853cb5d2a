//! Liveness is progress: a worker that is busy is not stuck, however often it is looked at in the worst moment.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tidemill_core::async_trait;
use tidemill_runtime::{BoxStream, Connector, SessionError, Worker, WorkerHandle};
use tidemill_testkit::script::ScriptedBroker;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use crate::support::*;

/// Looks at the worker when the session comes back to read after it has read something: it has handed its events over,
/// and the dispatcher has had no chance to take them.
struct Spying {
    io: DuplexStream,
    worker: Arc<OnceLock<WorkerHandle>>,
    found: mpsc::Sender<usize>,
    /// Something was read the last time.
    fresh: bool,
}

impl AsyncRead for Spying {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.fresh)
            && let Some(worker) = self.worker.get()
        {
            self.found.try_send(worker.stuck().len()).unwrap();
        }
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.fresh = read.is_ready();
        read
    }
}

impl AsyncWrite for Spying {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

struct Once(std::sync::Mutex<Option<Spying>>);

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Once")
    }
}

#[async_trait]
impl Connector for Once {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        let first = self.0.lock().unwrap().take();
        match first {
            Some(stream) => Ok(Box::new(stream)),
            None => std::future::pending().await,
        }
    }
}

/// At QoS 0 nothing is ever acknowledged: events that are handled are progress all the same.
#[tokio::test(start_paused = true)]
async fn a_worker_that_handles_events_is_alive_at_any_qos() {
    for qos in [Q0, Q1] {
        let (io, mut broker) = ScriptedBroker::pair();
        let worker: Arc<OnceLock<WorkerHandle>> = Arc::default();
        let (found, mut looks) = mpsc::channel(100_000);
        let spying = Spying { io, worker: Arc::clone(&worker), found, fresh: false };
        let mut config = config();
        config.mqtt.keep_alive = Duration::ZERO;
        let (handler, mut calls) = Calls::new();
        let built = Worker::builder(config)
            .connector(Once(std::sync::Mutex::new(Some(spying))))
            .on_one_runtime()
            .add_route(route(handler))
            .build()
            .unwrap();
        worker.set(built.handle()).unwrap();
        let running = tokio::spawn(built.run_until(std::future::pending::<()>()));
        broker.accept().await;
        broker.accept_subscribe().await;
        // The first one holds up all acknowledgements.
        for number in 1..=30 {
            broker.publish(if qos == Q0 { 0 } else { number }, &format!("t/{number}"), qos, "x").await;
            let call = calls.next().await;
            if number > 1 {
                call.ok();
            } else {
                std::mem::forget(call);
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        let mut seen = 0;
        while let Ok(stuck) = looks.try_recv() {
            seen += 1;
            assert_eq!(stuck, 0, "after {seen} looks");
        }
        assert!(seen >= 30);
        running.abort();
    }
}
