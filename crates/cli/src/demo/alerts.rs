//! Where alerts are written to, and the proof that they were: their lines are counted afterwards.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemill::sinks::{self, FileConfig, Fsync};

use crate::exit::Failure;

/// The file of the alerts.
#[derive(Debug)]
pub(crate) struct Alerts {
    path: PathBuf,
    /// The directory that goes with the file, when nobody asked for it to stay.
    temporary: Option<TempDir>,
    lines_before: u64,
}

impl Alerts {
    /// Finds a place: this file, or a temporary one.
    ///
    /// # Errors
    /// There is no temporary directory, or the file cannot be read.
    pub(crate) fn at(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            let directory = tempfile::Builder::new().prefix("tidemill-demo-").tempdir().map_err(|error| {
                Failure::Run(format!("no temporary directory for the alerts, {error}: give a file with --alerts"))
            })?;
            let path = directory.path().join("alerts.ndjson");
            return Ok(Self { path, temporary: Some(directory), lines_before: 0 });
        };
        let lines_before = lines(path).map_err(|error| {
            Failure::Usage(format!("--alerts {} cannot be read, {error}: name another file", path.display()))
        })?;
        Ok(Self { path: path.to_owned(), temporary: None, lines_before })
    }

    /// The sink that writes them.
    pub(crate) fn sink(&self) -> sinks::File {
        // A file that is about to be thrown away need not survive a power failure.
        let fsync = if self.temporary.is_some() { Fsync::Never } else { Fsync::Batch };
        sinks::File::new(FileConfig::new(&self.path).fsync(fsync))
    }

    /// How many alerts were written since.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub(crate) fn written(&self) -> Result<u64, Failure> {
        let lines = lines(&self.path).map_err(|error| {
            Failure::Run(format!("the alerts in {} cannot be counted, {error}", self.path.display()))
        })?;
        Ok(lines.saturating_sub(self.lines_before))
    }

    /// The file, if it stays.
    pub(crate) fn kept(&self) -> Option<&Path> {
        self.temporary.is_none().then_some(&self.path)
    }
}

/// Whole lines of a file; none when there is no file.
fn lines(path: &Path) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut chunk = vec![0; 64 * 1024];
    let mut lines = 0;
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(lines),
            read => lines += chunk[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_this_run_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alerts");
        std::fs::write(&path, "1\n2\nunfinished").unwrap();
        let alerts = Alerts::at(Some(&path)).unwrap();
        std::fs::write(&path, "1\n2\n3\n4\n5\n").unwrap();
        assert_eq!(alerts.written().unwrap(), 3);
        assert_eq!(alerts.kept(), Some(&*path));
    }

    #[test]
    fn a_file_that_is_not_there_has_no_lines() {
        assert_eq!(Alerts::at(None).unwrap().written().unwrap(), 0);
    }

    #[test]
    fn a_directory_is_no_file_for_alerts() {
        let directory = tempfile::tempdir().unwrap();
        let failure = Alerts::at(Some(directory.path())).unwrap_err();
        assert!(matches!(&failure, Failure::Usage(text) if text.contains("--alerts")), "{failure}");
    }
}
