//! The worker as users run it: one route with captures, one handler, one instance, everything on that is on by default;
//! if asked for with a sink, to which the handler emits one record per event.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_core::prelude::*;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_runtime::{Config, Worker};
use tokio::sync::Notify;

use super::{ClientArgs, GROUP};
use crate::feed::rusage::{Measured, Meter};
use crate::feed::{Error, PATTERN};

/// What the handler and the waiting main task share.
#[derive(Debug)]
struct Progress {
    expected: u64,
    handled: AtomicU64,
    meter: Meter,
    done: Notify,
}

/// Reads one capture and the length of the payload, emits the payload where there is a sink, and counts.
#[derive(Debug)]
struct Count {
    progress: Arc<Progress>,
    emits: bool,
}

/// Writes nothing, at once.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        black_box(batch);
        Ok(())
    }
}

/// The name of the sink.
const SINK: &str = "out";

#[async_trait]
impl Handler for Count {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        black_box((event.capture("line"), event.payload().len()));
        if self.emits {
            cx.emit(SINK, Record::new(event.payload().clone()))?;
        }
        let before = self.progress.handled.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            self.progress.meter.start();
        }
        if before + 1 == self.progress.expected {
            self.progress.meter.stop();
            self.progress.done.notify_one();
        }
        Ok(())
    }
}

pub(super) async fn run(args: &ClientArgs, emits: bool) -> Result<Measured, Error> {
    let progress = Arc::new(Progress {
        expected: args.load.events,
        handled: AtomicU64::new(0),
        meter: Meter::default(),
        done: Notify::new(),
    });
    let mut config = Config::default();
    config.mqtt.url = format!("mqtt://{}", args.addr);
    config.mqtt.qos = args.load.qos;
    config.mqtt.window = args.load.window;
    config.group.name = Some(GROUP.to_owned());
    config.group.verify = tidemill_runtime::config::Verify::Never;
    config.instances = 1.into();

    let mut builder = Worker::builder(config).route(PATTERN, Count { progress: Arc::clone(&progress), emits });
    if emits {
        builder = builder.sink(SINK, Nowhere);
    }
    let worker = builder.build().map_err(|source| Error::because("build the worker", source))?;
    let finished = Arc::clone(&progress);
    worker
        .run_until(async move { finished.done.notified().await })
        .await
        .map_err(|source| Error::because("run the worker", source))?;
    progress.meter.finish(progress.handled.load(Ordering::Relaxed))
}
