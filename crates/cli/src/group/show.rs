//! The roll for people, as a table, and for programs, as one JSON object per look.
//!
//! INVARIANT: nothing that a message says reaches a terminal with its control characters.

use std::io::{self, IsTerminal};
use std::time::{Duration, SystemTime};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use super::args::GroupArgs;
use super::roll::{Roll, Seen};
use crate::exit::Failure;
use crate::terminal::{clean, fit, print};

/// Clears the screen and goes to its top.
const AFRESH: &str = "\x1b[2J\x1b[H";

/// Shows the roll.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn show(roll: &Roll, args: &GroupArgs, broker: &str, now: SystemTime) -> Result<(), Failure> {
    let seen: Vec<_> = roll.seen(now).collect();
    if args.json {
        let present = seen.iter().filter(|one| one.is_there()).count();
        let look = json!({ "broker": broker, "topic": args.topic, "present": present, "workers": seen });
        return print(&format!("{look}\n"));
    }
    let mut text = String::new();
    if args.watch && io::stdout().is_terminal() {
        text.push_str(AFRESH);
    }
    if seen.is_empty() {
        text.push_str(&nobody(broker, &args.topic));
    } else {
        text.push_str(&table(&seen));
    }
    if roll.others() > 0 {
        text.push_str(&format!("\n{} message(s) there are not of a worker.\n", roll.others()));
    }
    if roll.is_newer() {
        text.push_str("\nSome workers are newer than this program, which may misunderstand them.\n");
    }
    if args.watch {
        text.push('\n');
    }
    print(&text)
}

/// Says that nobody is there, and why that may be.
fn nobody(broker: &str, topic: &str) -> String {
    format!(
        "Nobody is present on {broker} below {topic}. That may be because\n  \
         - no worker runs, or all have left;\n  \
         - the workers do not say that they are there: set `group.presence.topic`, which is off by default;\n  \
         - they say it elsewhere: name their topic with --topic;\n  \
         - access rules forbid it: the worker logs a warning then, and this user has to be allowed to read it.\n"
    )
}

fn table(seen: &[Seen<'_>]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["group", "member", "state", "window", "events/s", "handled", "version", "up", "age"]);
    fit(&mut table, io::stdout());
    for one in seen {
        let presence = one.presence;
        let state = match one.stale {
            true => format!("{}, silent since", presence.state.name()),
            false => presence.state.name().to_owned(),
        };
        table.add_row([
            clean(if presence.group.is_empty() { "-" } else { &presence.group }),
            clean(&presence.id),
            state,
            percent(presence.window_use),
            format!("{:.1}", presence.rate),
            presence.handled.to_string(),
            clean(&presence.version),
            span(one.up),
            span(one.age),
        ]);
        for instance in &presence.instances {
            let (phase, window) = (clean(&instance.phase), percent(instance.window_use));
            let id = format!("  {}", clean(&instance.id));
            let none = String::new;
            table.add_row([none(), id, phase, window, none(), none(), none(), none(), none()]);
        }
    }
    for number in [3, 4, 5, 7, 8] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let there = seen.iter().filter(|one| one.is_there());
    let (workers, instances) = there.fold((0, 0), |(workers, instances), one| {
        (workers + 1, instances + one.presence.instances.iter().filter(|each| each.phase == "ready").count())
    });
    format!("{}\n\n{workers} worker(s), {instances} instance(s) ready\n", lines.join("\n"))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn span(seconds: u64) -> String {
    // Nobody reads the seconds of a day.
    let rounded = match seconds {
        0..=3599 => seconds,
        3600..=86_399 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}
