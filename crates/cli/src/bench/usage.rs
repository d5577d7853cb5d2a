//! What a process used: CPU time between two moments, the busiest of its threads, and memory. Each part of a benchmark
//! is a process of its own, so these figures belong to that part alone.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use super::clock;

/// Ticks per second of the times in `/proc`, which Linux keeps at 100 for programs.
const TICK_NS: u64 = 10_000_000;

/// A moment, and the CPU time used until then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) at_ns: u64,
    cpu_ns: u64,
    /// Times of each thread, where the system tells.
    threads: Vec<(u64, Times)>,
}

/// What a thread had until a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    ran_ns: u64,
    /// It was ready to run and no core was free.
    waited_ns: u64,
}

impl Times {
    fn since(self, earlier: Self) -> Self {
        Self {
            ran_ns: self.ran_ns.saturating_sub(earlier.ran_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
        }
    }
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Used {
    /// CPU time of all threads.
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    /// Of the thread that was running or ready to run longest: CPU time, and how long it waited for a core. 0 where the
    /// system does not tell.
    pub(crate) busiest_ns: u64,
    pub(crate) waited_ns: u64,
}

impl Used {
    /// Cores that were busy; 1 is one core all the time.
    pub(crate) fn cores(&self) -> f64 {
        if self.wall_ns == 0 { 0.0 } else { self.cpu_ns as f64 / self.wall_ns as f64 }
    }

    /// How busy the busiest thread was, 0 to 1.
    pub(crate) fn busiest(&self) -> f64 {
        self.part(self.busiest_ns)
    }

    /// How long that thread was ready to run while no core was free, 0 to 1.
    pub(crate) fn waited(&self) -> f64 {
        self.part(self.waited_ns)
    }

    fn part(&self, ns: u64) -> f64 {
        if self.wall_ns == 0 { 0.0 } else { (ns as f64 / self.wall_ns as f64).min(1.0) }
    }

    /// CPU time per event in microseconds.
    pub(crate) fn us_per_event(&self, events: u64) -> f64 {
        if events == 0 { 0.0 } else { self.cpu_ns as f64 / 1e3 / events as f64 }
    }
}

impl Moment {
    /// Now, for this process.
    pub(crate) fn now() -> Self {
        let cpu_ns =
            getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| ns(usage.user_time()) + ns(usage.system_time()));
        Self { at_ns: clock::now_ns(), cpu_ns, threads: threads("self") }
    }

    /// Now, for another process of this machine; nothing used where the system does not tell.
    pub(crate) fn of(pid: u32) -> Self {
        let threads = threads(&pid.to_string());
        Self { at_ns: clock::now_ns(), cpu_ns: threads.iter().map(|(_, times)| times.ran_ns).sum(), threads }
    }

    /// What was used since an earlier moment.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        let before = |id: u64| earlier.threads.iter().find(|(known, _)| *known == id);
        let before = |id: u64| before(id).map_or_else(Times::default, |(_, times)| *times);
        let threads = self.threads.iter().map(|(id, times)| times.since(before(*id)));
        let busiest = threads.max_by_key(|times| times.ran_ns + times.waited_ns).unwrap_or_default();
        Used {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            wall_ns: self.at_ns.saturating_sub(earlier.at_ns),
            busiest_ns: busiest.ran_ns,
            waited_ns: busiest.waited_ns,
        }
    }
}

fn ns(time: TimeVal) -> u64 {
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(time.tv_sec()) * 1_000_000_000 + part(time.tv_usec()) * 1000
}

/// CPU time of all cores of the machine until now, in ticks: busy, and busy or not. `None` where the system does not tell.
pub(crate) fn machine() -> Option<(u64, u64)> {
    busy_ticks(std::fs::read_to_string("/proc/stat").ok()?.lines().next()?)
}

/// The first line of `/proc/stat`: user, nice, system, idle, waiting for a disk, interrupts and so on.
fn busy_ticks(line: &str) -> Option<(u64, u64)> {
    let fields: Vec<u64> = line.strip_prefix("cpu ")?.split_whitespace().take(8).flat_map(str::parse).collect();
    let all = fields.iter().sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some((all - idle, all))
}

fn threads(process: &str) -> Vec<(u64, Times)> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            let text = |file: &str| std::fs::read_to_string(task.path().join(file)).ok();
            // Not every kernel counts how long a thread waits.
            let times = text("schedstat").and_then(|text| scheduled(&text)).or_else(|| cpu_time(&text("stat")?))?;
            Some((id, times))
        })
        .collect()
}

/// Times in a `schedstat` file: nanoseconds of running, of waiting for a core, and how often.
fn scheduled(schedstat: &str) -> Option<Times> {
    let mut fields = schedstat.split_whitespace().map(str::parse);
    let (ran_ns, waited_ns) = (fields.next()?.ok()?, fields.next()?.ok()?);
    // A kernel that does not count says that nothing ever ran.
    (ran_ns > 0 || waited_ns > 0).then_some(Times { ran_ns, waited_ns })
}

/// User and system time in a `stat` file. The name in it may contain anything, so it is counted from its end.
fn cpu_time(stat: &str) -> Option<Times> {
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Times { ran_ns: ticks * TICK_NS, waited_ns: 0 })
}

/// Memory of this process in KiB: what it holds now and the most it ever held; zeros where the system does not tell.
/// (`ru_maxrss` is inherited through `exec` and never less than what the parent held.)
pub(crate) fn memory_kib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_stands_behind_a_name_with_blanks_and_brackets() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 70 8 0 0 20 0";
        assert_eq!(cpu_time(stat), Some(Times { ran_ns: 78 * TICK_NS, waited_ns: 0 }));
    }

    #[test]
    fn a_kernel_that_counts_no_waiting_is_told_from_a_thread_that_never_waited() {
        assert_eq!(scheduled("5000 20 3\n"), Some(Times { ran_ns: 5000, waited_ns: 20 }));
        assert_eq!(scheduled("5000 0 3\n"), Some(Times { ran_ns: 5000, waited_ns: 0 }));
        assert_eq!(scheduled("0 0 0\n"), None);
        assert_eq!(scheduled(""), None);
    }

    #[test]
    fn the_busiest_thread_is_the_one_that_was_ready_longest() {
        let moment = |at_ns, threads: &[(u64, u64, u64)]| Moment {
            at_ns,
            cpu_ns: 0,
            threads: threads
                .iter()
                .map(|(id, ran_ns, waited_ns)| (*id, Times { ran_ns: *ran_ns, waited_ns: *waited_ns }))
                .collect(),
        };
        let used =
            moment(1100, &[(1, 900, 0), (2, 300, 500), (3, 10, 0)]).since(&moment(100, &[(1, 400, 0), (2, 0, 0)]));
        assert_eq!((used.busiest_ns, used.waited_ns), (300, 500));
    }

    #[test]
    fn a_machine_is_busy_when_it_is_neither_idle_nor_waiting() {
        assert_eq!(busy_ticks("cpu  10 1 9 70 10 0 0 0 0 0"), Some((20, 100)));
        assert_eq!(busy_ticks("cpu0 10"), None);
    }

    #[test]
    fn busy_is_cpu_time_over_wall_time() {
        let used = Used { cpu_ns: 3_000, wall_ns: 2_000, busiest_ns: 1_000, waited_ns: 500 };
        assert!((used.cores() - 1.5).abs() < 1e-9 && (used.busiest() - 0.5).abs() < 1e-9);
        assert!((used.waited() - 0.25).abs() < 1e-9);
        assert!((used.us_per_event(3) - 1.0).abs() < 1e-9);
        assert!(Used::default().cores().abs() < 1e-9);
    }
}
