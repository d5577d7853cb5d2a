//! Files and lines that results are written to.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::exit::Failure;

/// Where results go besides the terminal.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Results")]
pub(crate) struct OutputArgs {
    /// Writes the result to standard output, as one JSON object on the last line
    #[arg(long)]
    pub(crate) json: bool,
    /// Writes a report with plots that needs nothing else, no network either
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Files that were created to see whether they can be. Those that are still empty when it is dropped go again: a run that
/// failed leaves none.
#[derive(Debug, Default)]
pub(crate) struct Created(Vec<PathBuf>);

impl Drop for Created {
    fn drop(&mut self) {
        for path in &self.0 {
            if std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0) {
                // It is no more than litter.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Whether these files can be written, with the options that name them. Asked before anything is measured. Creates what
/// is missing, until the run has ended.
///
/// # Errors
/// The first that cannot.
pub(crate) fn writable(files: &[(&str, Option<&PathBuf>)]) -> Result<Created, Failure> {
    let mut created = Created::default();
    for (option, path) in files.iter().filter_map(|(option, path)| Some((option, (*path)?))) {
        let missing = !path.exists();
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|error| {
            let fix = "name a file that this process may write, in a folder that exists";
            Failure::Usage(format!("{option}: {} cannot be written, {error}: {fix}", path.display()))
        })?;
        if missing {
            created.0.push(path.clone());
        }
    }
    Ok(created)
}

/// Prints the object for programs, on one line.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Run(format!("the result is no JSON: {error}")))?;
    crate::terminal::line(&text)
}

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub(crate) fn file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::Run(format!("cannot write {}: {error}", path.display())))
}
