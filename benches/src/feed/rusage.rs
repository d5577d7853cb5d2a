//! What a process used: CPU time between two moments and peak memory, and which cores it may use.

use std::io;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::Error;

/// A moment, and the CPU time used until then.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    at: Instant,
    user: Duration,
    system: Duration,
}

impl Sample {
    /// Now, for all threads of this process.
    ///
    /// # Errors
    /// What the system call says.
    pub fn of_process() -> io::Result<Self> {
        Self::of(UsageWho::RUSAGE_SELF)
    }

    /// Now, for the calling thread.
    ///
    /// # Errors
    /// What the system call says.
    pub fn of_thread() -> io::Result<Self> {
        Self::of(UsageWho::RUSAGE_THREAD)
    }

    #[expect(clippy::disallowed_methods, reason = "measures real time")]
    fn of(who: UsageWho) -> io::Result<Self> {
        let usage = getrusage(who)?;
        Ok(Self { at: Instant::now(), user: duration(usage.user_time()), system: duration(usage.system_time()) })
    }

    /// CPU time used since `earlier`.
    #[must_use]
    pub fn cpu_since(&self, earlier: &Self) -> Duration {
        (self.user + self.system).saturating_sub(earlier.user + earlier.system)
    }

    /// Share of the time since `earlier` that was spent on a CPU; 1 is one core fully busy.
    #[must_use]
    pub fn busy_since(&self, earlier: &Self) -> f64 {
        self.cpu_since(earlier).as_secs_f64() / self.at.saturating_duration_since(earlier.at).as_secs_f64().max(1e-9)
    }
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
}

/// What one client process measured: one line of JSON on its standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Events it received.
    pub events: u64,
    /// Seconds from the first to the last event.
    pub wall_s: f64,
    /// CPU time in user space from the first to the last event, in microseconds, all threads.
    pub user_us: f64,
    /// CPU time in the kernel from the first to the last event, in microseconds, all threads.
    pub system_us: f64,
    /// Most memory that it ever held, in KiB.
    pub peak_rss_kib: u64,
}

/// Measures from the first event to the last one. May be shared by threads.
#[derive(Debug, Default)]
pub struct Meter {
    first: OnceLock<Sample>,
    last: OnceLock<Sample>,
}

impl Meter {
    /// Marks the first event; later calls change nothing.
    pub fn start(&self) {
        if let (None, Ok(sample)) = (self.first.get(), Sample::of_process()) {
            let _ = self.first.set(sample);
        }
    }

    /// Marks the last event; later calls change nothing.
    pub fn stop(&self) {
        if let (None, Ok(sample)) = (self.last.get(), Sample::of_process()) {
            let _ = self.last.set(sample);
        }
    }

    /// What was used between the marks.
    ///
    /// # Errors
    /// When a mark is missing, i.e. when not all events arrived.
    pub fn finish(&self, events: u64) -> Result<Measured, Error> {
        let (Some(first), Some(last)) = (self.first.get(), self.last.get()) else {
            return Err(Error::new("measure: the feed ended before the last event"));
        };
        Ok(Measured {
            events,
            wall_s: (last.at - first.at).as_secs_f64(),
            user_us: (last.user - first.user).as_secs_f64() * 1e6,
            system_us: (last.system - first.system).as_secs_f64() * 1e6,
            peak_rss_kib: peak_rss_kib()?,
        })
    }
}

/// The high-water mark of this process's own memory. `ru_maxrss` would be wrong here: it is inherited through `exec`
/// and so never less than what the parent held.
fn peak_rss_kib() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|source| Error::because("read /proc/self/status", source))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .ok_or_else(|| Error::new("read /proc/self/status: no VmHWM line"))
}

/// Lets the calling thread, and the threads that it starts from now on, run on these cores only.
///
/// # Errors
/// When there is no such core.
pub fn pin(cores: &[usize]) -> Result<(), Error> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core).map_err(|source| Error::because(format!("pin to core {core}"), source))?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).map_err(|source| {
        Error::because(
            format!("pin to cores {cores:?}; give others by --pin-feed and --pin-client, or --no-pin"),
            source,
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_meter_sees_cpu_time_of_other_threads() {
        let meter = Meter::default();
        meter.start();
        std::thread::spawn(|| {
            let start = Sample::of_thread().unwrap();
            while Sample::of_thread().unwrap().user - start.user < Duration::from_millis(30) {}
        })
        .join()
        .unwrap();
        meter.stop();
        let measured = meter.finish(1).unwrap();
        assert!(measured.user_us + measured.system_us >= 29_000.0, "{measured:?}");
        assert!(measured.wall_s >= 0.029 && measured.peak_rss_kib > 500, "{measured:?}");
    }

    #[test]
    fn a_meter_that_missed_the_last_event_has_no_result() {
        let meter = Meter::default();
        meter.start();
        assert!(meter.finish(1).is_err());
    }
}
