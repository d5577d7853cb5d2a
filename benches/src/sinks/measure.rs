//! Both sides of a contest, measured in the same way: events of one source, one task that waits for the sink or client,
//! from after the first batch until the last one is written. No wait is without its limit.

use std::time::Duration;

use tidemill_core::BoxError;
use tidemill_core::topic::Pattern;
use tidemill_runtime::SinkSettings;
use tidemill_runtime::internals::SinkRig;
use tokio::time::{Instant, timeout};

use super::contest::Contest;
use super::source::Source;
use crate::feed::rusage::Sample;
use crate::feed::{Error, PATTERN};

/// Events of one read of a socket.
const BURST: usize = 383;
/// Longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How both sides are driven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drive {
    /// Records of a write.
    pub(super) batch: u32,
    /// Writes under way at a time.
    pub(super) in_flight: u32,
    /// How long new records come.
    pub(super) time: Duration,
}

/// What one side did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Records per second.
    pub(super) rate: f64,
    /// CPU time of this process per record, servers that run in it included, in microseconds.
    pub(super) cpu_us: f64,
    /// Records of a write, on average.
    pub(super) per_batch: f64,
}

/// A clock that begins now.
struct Stopwatch(Instant, Sample);

impl Stopwatch {
    fn start() -> Result<Self, BoxError> {
        Ok(Self(Instant::now(), Sample::of_process()?))
    }

    fn read(&self, records: u64, batches: u64) -> Result<Measured, BoxError> {
        let (records, seconds) = (records as f64, self.0.elapsed().as_secs_f64());
        let cpu = Sample::of_process()?.cpu_since(&self.1);
        Ok(Measured {
            rate: records / seconds,
            cpu_us: cpu.as_secs_f64() * 1e6 / records,
            per_batch: records / batches as f64,
        })
    }
}

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> Result<T, BoxError> {
    timeout(PATIENCE, work).await.map_err(|_| format!("{what}: nothing for {PATIENCE:?}").into())
}

/// Runs one side on a task of its own, as both run in a program.
async fn side(
    name: &str,
    work: impl Future<Output = Result<Measured, BoxError>> + Send + 'static,
) -> Result<Measured, Error> {
    let failed = |source| Error::because(format!("measure {name}"), source);
    tokio::spawn(work).await.map_err(|error| failed(error.into()))?.map_err(failed)
}

/// The client alone: each of the writers makes a batch, writes it, and waits until it is written.
pub(super) async fn bare(name: &str, contest: &Contest, drive: Drive) -> Result<Measured, Error> {
    let client = (contest.bare)();
    side(&format!("the bare client of {name}"), async move {
        soon("open", client.open()).await??;
        let batch = drive.batch as usize;
        soon("first batch", client.write(&Source::new().records(batch))).await??;
        let watch = Stopwatch::start()?;
        let until = Instant::now() + drive.time;
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..drive.in_flight {
            let client = std::sync::Arc::clone(&client);
            writers.spawn(async move {
                let (mut source, mut batches) = (Source::new(), 0_u64);
                while Instant::now() < until {
                    soon("write", client.write(&source.records(batch))).await??;
                    batches += 1;
                }
                Ok::<_, BoxError>(batches)
            });
        }
        let mut batches = 0;
        while let Some(written) = writers.join_next().await {
            batches += written??;
        }
        let measured = watch.read(batches * u64::from(drive.batch), batches)?;
        soon("close", client.close()).await??;
        Ok(measured)
    })
    .await
}

/// The sink behind the engine.
pub(super) async fn engine(name: &str, contest: &Contest, drive: Drive) -> Result<Measured, Error> {
    let sink = (contest.ours)();
    side(&format!("the sink {name}"), async move {
        soon("open", sink.open()).await??;
        let mut settings = SinkSettings::default();
        settings.max_batch_records = drive.batch;
        settings.in_flight = drive.in_flight;
        // One batch gathers while another one is written.
        settings.queue_records = settings.queue_records.max(2 * drive.batch * drive.in_flight);
        settings.max_batch_bytes = settings.max_batch_bytes.max(1024 * u64::from(drive.batch));
        let window = settings.queue_records as usize;
        let mut rig = SinkRig::start(sink, settings, window, &Pattern::new(PATTERN)?)?;
        let measured = pump(&mut rig, drive).await.map_err(|error| -> BoxError {
            match rig.last_error() {
                Some(said) => format!("{error}; the sink said: {said}").into(),
                None => error,
            }
        })?;
        soon("close", rig.end()).await?;
        Ok(measured)
    })
    .await
}

async fn pump(rig: &mut SinkRig, drive: Drive) -> Result<Measured, BoxError> {
    let mut source = Source::new();
    soon("first batch", async {
        rig.burst(source.events(drive.batch as usize)).await;
        rig.drain().await;
    })
    .await?;
    let (records, batches) = (rig.finished(), rig.batches());
    let watch = Stopwatch::start()?;
    let until = Instant::now() + drive.time;
    while Instant::now() < until {
        soon("write", rig.burst(source.events(BURST))).await?;
    }
    soon("last batches", rig.drain()).await?;
    watch.read(rig.finished() - records, rig.batches() - batches)
}
