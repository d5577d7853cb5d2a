//! A program that is run for its standard output, within a time. Its other output goes where ours goes.
//!
//! INVARIANT: it is never waited for longer; a program that has not ended by then is ended, with all that it has started.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::report::Stopwatch;

/// How often it is looked whether the program has ended.
const TICK: Duration = Duration::from_millis(50);

/// What the program left behind.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
}

/// Runs a command to its end, or to the end of its time.
pub(super) fn run(command: &mut Command, limit: Duration) -> Result<Ended, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error| Failure::because(format!("run {name}"), error);
    let watch = Stopwatch::start();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut stdout = child.stdout.take();
    let (sender, read) = sync_channel(1);
    thread::spawn(move || {
        let mut text = Vec::new();
        // Nobody listens any more when the time was over.
        let _ = sender.send(stdout.as_mut().map_or(Ok(0), |stdout| stdout.read_to_end(&mut text)).map(|_| text));
    });
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if watch.elapsed() > limit {
            end(&mut child);
            return Err(Failure::new(format!("{name} did not end within {} s", limit.as_secs())));
        }
        thread::park_timeout(TICK);
    };
    // What it has left behind may hold its output open.
    let text = read.recv_timeout(limit.saturating_sub(watch.elapsed()).max(TICK)).map_err(|_| {
        Failure::new(format!("{name} ended, and something that it started holds its output open; end that by hand"))
    })?;
    let text = text.map_err(failed)?;
    Ok(Ended { status, stdout: String::from_utf8_lossy(&text).into_owned() })
}

/// Ends a process and everything below it.
pub(super) fn end(child: &mut Child) {
    let below = descendants(child.id(), &processes());
    // Each of these fails only when the process is gone already.
    let _ = child.kill();
    if !below.is_empty() {
        let numbers = below.iter().map(ToString::to_string);
        let _ = Command::new("kill").arg("-KILL").args(numbers).stdin(Stdio::null()).stderr(Stdio::null()).status();
    }
    let _ = child.wait();
}

/// All processes, each with its parent.
fn processes() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let parent = |number: u32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        // The name in front may contain anything, so it is counted from behind it: the state, then the parent.
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(|number| Some((number, parent(number)?))).collect()
}

fn descendants(of: u32, processes: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![of];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(processes.iter().filter(|(_, above)| *above == parent).map(|(number, _)| *number));
        at += 1;
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_is_kept_with_its_status() {
        let ended = run(Command::new("sh").args(["-c", "echo figures; exit 3"]), Duration::from_secs(60)).unwrap();
        assert_eq!((ended.stdout.as_str(), ended.status.code()), ("figures\n", Some(3)));
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("number");
        let script = format!("sleep 1000 & echo $! > {}; wait", told.display());
        let failure = run(Command::new("sh").args(["-c", &script]), Duration::from_millis(500)).unwrap_err();
        assert!(failure.chain().contains("did not end within"), "{}", failure.chain());
        let number: u32 = fs::read_to_string(told).unwrap().trim().parse().unwrap();
        // Whoever adopts it has to bury it before it is gone from the list.
        let is_running = |number: u32| {
            fs::read_to_string(format!("/proc/{number}/stat"))
                .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
        };
        let watch = Stopwatch::start();
        while is_running(number) && watch.elapsed() < Duration::from_secs(10) {
            thread::park_timeout(TICK);
        }
        assert!(!is_running(number));
    }

    #[test]
    fn descendants_are_found_over_generations() {
        let processes = [(1, 0), (5, 1), (6, 5), (7, 6), (8, 1)];
        assert_eq!(descendants(5, &processes), [6, 7]);
    }
}
