//! What the figures were measured on and with: the machine, its load, the versions.

use std::process::{Command, Stdio};
use std::{fs, thread};

use super::table::{Block, Table};
use crate::checkout::Checkout;

/// Libraries whose versions matter.
const LIBRARIES: [&str; 2] = ["rumqttc", "tokio"];

/// The machine and the versions, as a table.
pub(super) fn describe(checkout: &Checkout, profile: &str) -> Vec<Block> {
    let lock = fs::read_to_string(checkout.root().join("Cargo.lock")).unwrap_or_default();
    let libraries: Vec<String> =
        LIBRARIES.iter().filter_map(|name| Some(format!("{name} {}", locked(&lock, name)?))).collect();
    let rows = [
        ("processor", Some(processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()))),
        ("memory", memory_gib(&fs::read_to_string("/proc/meminfo").unwrap_or_default())),
        ("system", system()),
        ("compiler", said("rustc", &["--version"]).map(|version| format!("{version}, profile `{profile}`"))),
        ("libraries", Some(libraries.join(", "))),
        ("Mosquitto", said("mosquitto", &["-h"]).and_then(|text| first_version(&text))),
        ("valgrind", said("valgrind", &["--version"])),
        ("Python", said("python3", &["--version"])),
        ("Node", said("node", &["--version"])),
        ("date", said("date", &["-u", "+%F"])),
    ];
    let rows = rows.into_iter().filter_map(|(what, which)| Some(vec![what.to_owned(), which?]));
    vec![Block::Table(Table { header: vec!["", "measured on and with"], rows: rows.collect() })]
}

/// When and where a section was measured, and how busy the machine was before.
pub(super) fn moment() -> String {
    let date = said("date", &["-u", "+%F"]).unwrap_or_else(|| "at an unknown date".to_owned());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    // A section that is measured alone may stand beside others of another machine.
    let processor = processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
    let compiler = said("rustc", &["--version"]).unwrap_or_default();
    let compiler = compiler.split(" (").next().unwrap_or_default();
    format!("{date} on {processor}, {compiler}, load average {load} before")
}

fn processor(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown", |(_, name)| name.trim());
    format!("{model}, {} cores", thread::available_parallelism().map_or(1, usize::from))
}

fn memory_gib(meminfo: &str) -> Option<String> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.0} GiB", kib / 1024.0 / 1024.0))
}

fn system() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?.trim_matches('"').to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What follows is of one build of it.
    let version = kernel.trim().split('-').next().unwrap_or_default();
    Some(format!("{name}, Linux {version}"))
}

/// The version of a package in a lock file.
fn locked<'t>(lock: &'t str, name: &str) -> Option<&'t str> {
    let at = lock.find(&format!("name = \"{name}\"\n"))?;
    lock[at..].lines().nth(1)?.strip_prefix("version = ")?.trim_matches('"').into()
}

fn first_version(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("version ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// What a program says of itself, whichever way it says it.
fn said(program: &str, words: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    if let Ok(path) = std::env::join_paths(crate::process::search_path()) {
        command.env("PATH", path);
    }
    let output = command.args(words).stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_memory_are_read_from_what_the_system_says() {
        let lock = "[[package]]\nname = \"tokio\"\nversion = \"1.54.0\"\n";
        assert_eq!((locked(lock, "tokio"), locked(lock, "tok")), (Some("1.54.0"), None));
        assert_eq!(first_version("mosquitto version 2.0.11\n\nmosquitto is").as_deref(), Some("2.0.11"));
        assert_eq!(memory_gib("MemTotal:       25165824 kB\n").as_deref(), Some("24 GiB"));
    }
}
