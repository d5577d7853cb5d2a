//! Instructions and allocations per event: the client runs under [`callgrind`] twice, with different numbers of events.

use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::json;

use super::Error;
use super::clients::ClientName;
use super::load::Load;
use super::orchestrate::{Setup, run_once};
use super::report::with_circumstances;
use crate::callgrind::{self, Cost};

/// Events of the short and of the long run.
const EVENTS: [u64; 2] = [20_000, 120_000];

/// What one client executes per event.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Count {
    name: ClientName,
    instructions_per_event: f64,
    allocations_per_event: f64,
    /// All instructions of the short and of the long run.
    totals: [u64; 2],
    /// The profile of the long run, for `callgrind_annotate`.
    profile: PathBuf,
}

/// Counts for all clients of the setup.
pub(super) fn count(setup: &Setup) -> Result<Vec<Count>, Error> {
    callgrind::require()?;
    let folder = callgrind::folder(&setup.program)?;
    setup.clients.iter().map(|&client| count_client(setup, client, &folder)).collect()
}

fn count_client(setup: &Setup, name: ClientName, folder: &Path) -> Result<Count, Error> {
    let mut costs = [Cost::default(); 2];
    let mut profile = PathBuf::new();
    for (cost, events) in costs.iter_mut().zip(EVENTS) {
        profile = folder.join(format!("callgrind.out.{name}.qos{}.{events}", setup.load.qos.level()));
        let load = Load { events, ..setup.load.clone() };
        run_once(setup, &load, name, &callgrind::wrapper(&profile))?;
        *cost = callgrind::read(&profile)?;
        eprintln!("{name:<20} {events:>7} events: {:>12} instructions", cost.instructions);
    }
    let (instructions_per_event, allocations_per_event) = costs[1].per_unit(costs[0], EVENTS[1] - EVENTS[0]);
    let totals = costs.map(|cost| cost.instructions);
    Ok(Count { name, instructions_per_event, allocations_per_event, totals, profile })
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
    table.set_header(["client", "instructions/event", ": floor", "allocations/event", "profile"]);
    for count in counts {
        table.add_row([
            count.name.to_string(),
            format!("{:.0}", count.instructions_per_event),
            floor.map_or("-".to_owned(), |floor| format!("{:.2} x", count.instructions_per_event / floor)),
            format!("{:.3}", count.allocations_per_event),
            count.profile.display().to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!("User space only. Where they are spent: callgrind_annotate PROFILE | head -50");
}
