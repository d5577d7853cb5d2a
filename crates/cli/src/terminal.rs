//! Writing to the terminal, or to whatever standard output is.
//!
//! INVARIANT: nothing that somebody else has sent reaches a terminal with its control characters, once it is cleaned.

use std::io::{self, Write as _};
use std::os::fd::AsFd;

use comfy_table::{ContentArrangement, Table};

use crate::exit::Failure;

/// Control characters as they are written in code: a payload must not move a terminal's cursor.
pub(crate) fn clean(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// How wide the terminal is that `stream` goes to; `None` for a pipe.
pub(crate) fn columns(stream: impl AsFd) -> Option<usize> {
    terminal_size::terminal_size_of(stream).map(|(terminal_size::Width(columns), _)| usize::from(columns))
}

/// Makes a table that is written to `stream` fit the terminal there. A pipe has no width that a line must fit into.
pub(crate) fn fit(table: &mut Table, stream: impl AsFd) {
    match columns(stream) {
        Some(columns) => {
            let columns = u16::try_from(columns).unwrap_or(u16::MAX);
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
}

/// Writes a line to standard output.
///
/// # Errors
/// It cannot be written.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Writes a line to standard error. Where that is closed, nobody is left to tell.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes to standard output.
///
/// # Errors
/// It cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::Run(format!("write to standard output: {error}"))),
    }
}
