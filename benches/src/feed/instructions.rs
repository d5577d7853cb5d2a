//! Instructions per event in user space: the client runs under callgrind twice, with different numbers of events, and
//! the difference leaves out its start and its end. Unlike time, this hardly moves with the machine.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::json;

use super::Error;
use super::clients::ClientName;
use super::load::Load;
use super::orchestrate::{Setup, run_once};
use super::report::with_circumstances;

/// Events of the short and of the long run.
const EVENTS: [u64; 2] = [20_000, 120_000];

/// What one client executes per event.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Count {
    name: ClientName,
    instructions_per_event: f64,
    /// All instructions of the short and of the long run.
    totals: [u64; 2],
    /// The profile of the long run, for `callgrind_annotate`.
    profile: PathBuf,
}

/// Counts for all clients of the setup.
pub(super) fn count(setup: &Setup) -> Result<Vec<Count>, Error> {
    require_valgrind()?;
    let folder = folder(&setup.program);
    fs::create_dir_all(&folder).map_err(|source| Error::because(format!("create {}", folder.display()), source))?;
    setup.clients.iter().map(|&client| count_client(setup, client, &folder)).collect()
}

fn count_client(setup: &Setup, name: ClientName, folder: &Path) -> Result<Count, Error> {
    let mut totals = [0; 2];
    let mut profile = PathBuf::new();
    for (total, events) in totals.iter_mut().zip(EVENTS) {
        profile = folder.join(format!("callgrind.out.{name}.qos{}.{events}", setup.load.qos.level()));
        let mut out = OsString::from("--callgrind-out-file=");
        out.push(&profile);
        let wrapper = ["valgrind".into(), "--quiet".into(), "--tool=callgrind".into(), out];
        let load = Load { events, ..setup.load.clone() };
        run_once(setup, &load, name, &wrapper)?;
        let text = fs::read_to_string(&profile)
            .map_err(|source| Error::because(format!("read {}", profile.display()), source))?;
        *total =
            instructions(&text).ok_or_else(|| Error::new(format!("read {}: no total in it", profile.display())))?;
        eprintln!("{name:<20} {events:>7} events: {total:>12} instructions");
    }
    let instructions_per_event = totals[1].saturating_sub(totals[0]) as f64 / (EVENTS[1] - EVENTS[0]) as f64;
    Ok(Count { name, instructions_per_event, totals, profile })
}

/// Beside the folder of the build's profile: `target/feed`.
fn folder(program: &Path) -> PathBuf {
    program.ancestors().nth(2).unwrap_or(Path::new("target")).join("feed")
}

/// The total of a callgrind profile. A profile may have several parts, each with a `summary:` or `totals:` line.
fn instructions(profile: &str) -> Option<u64> {
    let of = |key: &str| -> Option<u64> {
        let lines = profile.lines().filter_map(|line| line.strip_prefix(key));
        lines.map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).sum()
    };
    of("totals:").filter(|&total| total > 0).or_else(|| of("summary:").filter(|&total| total > 0))
}

fn require_valgrind() -> Result<(), Error> {
    let found = Command::new("valgrind").arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::new(format!("run valgrind --version: {status}"))),
        Err(source) if source.kind() == ErrorKind::NotFound => Err(Error::new(
            "count instructions: valgrind is not installed; install it with `apt-get install valgrind` \
             (Debian, Ubuntu) or `dnf install valgrind` (Fedora)",
        )),
        Err(source) => Err(Error::because("run valgrind", source)),
    }
}

/// Prints the counts, as a table or as one line of JSON.
pub(super) fn print(counts: &[Count], setup: &Setup, json: bool) {
    if json {
        println!("{}", with_circumstances(setup, json!({ "instructions": counts })));
        return;
    }
    let floor = counts.iter().find(|count| count.name == ClientName::Floor).map(|floor| floor.instructions_per_event);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["client", "instructions/event", ": floor", "profile"]);
    for count in counts {
        table.add_row([
            count.name.to_string(),
            format!("{:.0}", count.instructions_per_event),
            floor.map_or("-".to_owned(), |floor| format!("{:.2} x", count.instructions_per_event / floor)),
            count.profile.display().to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!("User space only. Where they are spent: callgrind_annotate PROFILE | head -50");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_a_profile_are_read() {
        assert_eq!(instructions("version: 1\nsummary: 12 3\nfn=(1) x\n1 5\ntotals: 12\n"), Some(12));
        assert_eq!(instructions("summary: 7\n"), Some(7));
        assert_eq!(instructions("fn=(1) x\n"), None);
    }

    #[test]
    fn profiles_are_kept_beside_the_build() {
        assert_eq!(folder(Path::new("/w/target/release/feed")), Path::new("/w/target/feed"));
    }
}
