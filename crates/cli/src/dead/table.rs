//! Letters as a table for people: one line each where that fits the terminal, else two.
//!
//! Invariants: no line is wider than the terminal, from 80 columns on, and what does not fit ends in an ellipsis: `--json`
//! and `tidemill dead show` have all of it. Nothing that a letter says reaches a terminal with its control characters.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::show::Shown;
use crate::terminal::clean;

/// Columns of an error where all is on one line.
const ERROR: usize = 80;
/// Columns of a route, however narrow the terminal is.
const MIN_ROUTE: usize = 5;

/// What the table says of a letter.
#[derive(Debug)]
pub(super) struct Row {
    number: String,
    id: String,
    died: String,
    reason: String,
    attempts: String,
    bytes: String,
    route: String,
    topic: String,
    error: String,
}

impl Row {
    pub(super) fn new(Shown { number, letter, .. }: Shown<'_>) -> Self {
        let dash = || "-".to_owned();
        let letter = match letter {
            Ok(letter) => letter,
            Err(why) => {
                return Self {
                    number: number.to_string(),
                    id: dash(),
                    died: dash(),
                    reason: dash(),
                    attempts: dash(),
                    bytes: dash(),
                    route: dash(),
                    topic: dash(),
                    error: clean(why),
                };
            }
        };
        let told = |name: &str| letter.told(name).map_or_else(dash, clean);
        let attempts = match letter.replays() {
            0 => told("tidemill-attempts"),
            replays => format!("{} (replay {replays})", told("tidemill-attempts")),
        };
        let unknown = || "not written by a worker, or read with another MQTT version".to_owned();
        Self {
            number: number.to_string(),
            id: letter.id(),
            died: letter.died().map_or_else(dash, |time| humantime::format_rfc3339_seconds(time).to_string()),
            reason: told("tidemill-reason"),
            attempts,
            bytes: letter.payload().len().to_string(),
            route: told("tidemill-route"),
            topic: told("tidemill-topic"),
            error: letter.told("tidemill-error").map_or_else(unknown, clean),
        }
    }

    /// What always stands on the first line.
    fn head(&self) -> [&str; 6] {
        [&self.number, &self.id, &self.died, &self.reason, &self.attempts, &self.bytes]
    }
}

/// The table's lines, for a terminal of so many columns, or for a pipe, which has no width that a line must fit into.
pub(super) fn lines(rows: &[Row], columns: Option<usize>) -> Vec<String> {
    let single = singles(rows);
    match columns {
        Some(columns) if single.iter().any(|line| line.width() > columns) => doubles(rows, columns),
        _ => single,
    }
}

const HEAD: [&str; 6] = ["#", "id", "died", "reason", "attempts", "bytes"];

fn singles(rows: &[Row]) -> Vec<String> {
    let cells = rows.iter().map(|row| {
        let error = cut(&row.error, ERROR);
        row.head().into_iter().map(str::to_owned).chain([row.route.clone(), row.topic.clone(), error]).collect()
    });
    table(HEAD.into_iter().chain(["route", "topic", "error"]).collect(), cells)
}

fn doubles(rows: &[Row], columns: usize) -> Vec<String> {
    let heads = table(HEAD.to_vec(), rows.iter().map(|row| row.head().map(str::to_owned).to_vec()));
    let used = heads.iter().map(|line| line.width()).max().unwrap_or(0) + 2;
    let beside = |head: &str, route: &str| {
        let route = cut(route, columns.saturating_sub(used).max(MIN_ROUTE));
        format!("{head}{}{route}", " ".repeat(used - head.width()))
    };
    let mut heads = heads.into_iter();
    let mut lines: Vec<_> = heads.next().map(|head| beside(&head, "route")).into_iter().collect();
    let indent = rows.iter().map(|row| row.number.len()).max().unwrap_or(1) + 2;
    let room = columns.saturating_sub(indent);
    for (row, head) in rows.iter().zip(heads) {
        lines.push(beside(&head, &row.route));
        // A long topic leaves half of the line to the error, and what an error does not need is the topic's.
        let topic = cut(&row.topic, (room / 2).max(room.saturating_sub(row.error.width() + 2)));
        lines.push(format!("{}{}", " ".repeat(indent), cut(&format!("{topic}: {}", row.error), room)));
    }
    lines
}

fn table(header: Vec<&str>, rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if at == 0 { 0 } else { 1 }, 1));
    }
    // What is counted.
    for number in [0, 4, 5] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// A text that takes at most so many columns.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('\u{2026}');
    cut
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    fn row(number: u64, route: &str, topic: &str, error: &str) -> Row {
        let letter = letter(route, "permanent", topic);
        let row = Row::new(Shown { number, letter: Ok(&letter), action: None });
        Row { error: error.to_owned(), ..row }
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let letter = letter("r", "permanent", "a/\u{1b}[2Jb");
        let rows = [
            Row::new(Shown { number: 1, letter: Ok(&letter), action: None }),
            Row::new(Shown { number: 2, letter: Err("no \u{1b}[2J"), action: None }),
        ];
        for columns in [None, Some(80)] {
            let text = lines(&rows, columns).join("\n");
            assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J"), "{text}");
        }
    }

    #[test]
    fn a_letter_takes_one_line_where_it_fits_and_two_where_it_does_not() {
        let rows = [row(1, "orders", "plant/4/orders", "it broke"), row(12, "o", "plant/5/orders", "it broke again")];
        for wide in [None, Some(200), Some(120)] {
            let lines = lines(&rows, wide);
            assert_eq!(lines.len(), 3, "{lines:?}");
            assert!(lines[1].contains("plant/4/orders") && lines[1].ends_with("it broke"), "{lines:?}");
        }
        let lines = lines(&rows, Some(80));
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[0].ends_with("route") && lines[1].ends_with("orders"), "{lines:?}");
        assert_eq!((&*lines[2], &*lines[4]), ("    plant/4/orders: it broke", "    plant/5/orders: it broke again"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_what_is_cut_says_so() {
        let long = "reading/".repeat(30);
        let rows = [
            row(1, &long, &long, &"why ".repeat(100)),
            row(2, "short", "t/1", &"\u{96fb}\u{6c17} ".repeat(60)),
            row(3, "short", &long, "no"),
        ];
        for columns in [80, 81, 120, 200] {
            let lines = lines(&rows, Some(columns));
            assert_eq!(lines.len(), 7, "{lines:#?}");
            assert!(lines.iter().all(|line| line.width() <= columns), "{lines:#?}");
            for cut in [1, 2, 4] {
                assert!(lines[cut].ends_with('\u{2026}'), "{lines:#?}");
            }
            assert!(lines[2].contains("\u{2026}: why") && lines[6].ends_with("\u{2026}: no"), "{lines:#?}");
        }
        let piped = lines(&rows, None);
        assert!(piped[1].contains(&long) && piped[1].ends_with('\u{2026}'), "{piped:#?}");
    }
}
