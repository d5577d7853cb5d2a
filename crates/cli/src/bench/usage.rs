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
    /// CPU time of each thread, where the system tells.
    threads: Vec<(u64, u64)>,
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Used {
    /// CPU time of all threads.
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    /// CPU time of the busiest thread; 0 where the system does not tell.
    pub(crate) busiest_ns: u64,
}

impl Used {
    /// Cores that were busy; 1 is one core all the time.
    pub(crate) fn cores(&self) -> f64 {
        if self.wall_ns == 0 { 0.0 } else { self.cpu_ns as f64 / self.wall_ns as f64 }
    }

    /// How busy the busiest thread was, 0 to 1.
    pub(crate) fn busiest(&self) -> f64 {
        if self.wall_ns == 0 { 0.0 } else { (self.busiest_ns as f64 / self.wall_ns as f64).min(1.0) }
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
        Self { at_ns: clock::now_ns(), cpu_ns: threads.iter().map(|(_, cpu)| cpu).sum(), threads }
    }

    /// What was used since an earlier moment.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        let before = |id: u64| earlier.threads.iter().find(|(known, _)| *known == id).map_or(0, |(_, cpu)| *cpu);
        let busiest = self.threads.iter().map(|(id, cpu)| cpu.saturating_sub(before(*id))).max();
        Used {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            wall_ns: self.at_ns.saturating_sub(earlier.at_ns),
            busiest_ns: busiest.unwrap_or(0),
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

fn threads(process: &str) -> Vec<(u64, u64)> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            Some((id, cpu_ticks(&std::fs::read_to_string(task.path().join("stat")).ok()?)? * TICK_NS))
        })
        .collect()
}

/// User and system time in a `stat` file. The name in it may contain anything, so it is counted from its end.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
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
        assert_eq!(cpu_ticks(stat), Some(78));
    }

    #[test]
    fn a_machine_is_busy_when_it_is_neither_idle_nor_waiting() {
        assert_eq!(busy_ticks("cpu  10 1 9 70 10 0 0 0 0 0"), Some((20, 100)));
        assert_eq!(busy_ticks("cpu0 10"), None);
    }

    #[test]
    fn busy_is_cpu_time_over_wall_time() {
        let used = Used { cpu_ns: 3_000, wall_ns: 2_000, busiest_ns: 1_000 };
        assert!((used.cores() - 1.5).abs() < 1e-9 && (used.busiest() - 0.5).abs() < 1e-9);
        assert!((used.us_per_event(3) - 1.0).abs() < 1e-9);
        assert!(Used::default().cores().abs() < 1e-9);
    }
}
