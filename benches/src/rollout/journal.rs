//! A file with a line for every handling, written before the event is acknowledged: what a pod did is known even after
//! SIGKILL. Lines are of fixed size, so that a last one which is cut short is seen.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a line: the event's number, and when it was handled.
const LINE: usize = 16;

/// One handling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    /// Nanoseconds since 1970, which all pods of a machine agree on.
    pub(super) at_ns: u64,
}

/// Where handlings are written.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        File::options().create(true).append(true).open(path).map(Self)
    }

    /// Writes one line with one system call. Threads may do so at the same time.
    pub(super) fn write(&self, entry: Entry) -> io::Result<()> {
        let mut line = [0; LINE];
        line[..8].copy_from_slice(&entry.seq.to_be_bytes());
        line[8..].copy_from_slice(&entry.at_ns.to_be_bytes());
        (&self.0).write_all(&line)
    }
}

/// Everything in a journal.
pub(super) fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = std::fs::read(path)?;
    let entry = |line: &[u8]| {
        let (seq, at) = line.split_at_checked(8)?;
        Some(Entry { seq: u64::from_be_bytes(seq.try_into().ok()?), at_ns: u64::from_be_bytes(at.try_into().ok()?) })
    };
    Ok(bytes.chunks_exact(LINE).filter_map(entry).collect())
}

/// Lines of all journals in a directory.
pub(super) fn lines(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(directory)? {
        bytes += file?.metadata()?.len() / LINE as u64;
    }
    Ok(bytes)
}

/// All journals in a directory.
pub(super) fn read_all(directory: &Path) -> io::Result<Vec<Vec<Entry>>> {
    std::fs::read_dir(directory)?.map(|file| read(&file?.path())).collect()
}

/// Now, as journals say it.
pub(super) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_a_line_that_is_cut_short_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pod-0");
        let journal = Journal::create(&path).unwrap();
        let entry = Entry { seq: 3, at_ns: 9 };
        journal.write(entry).unwrap();
        journal.write(entry).unwrap();
        (&journal.0).write_all(&[0; 5]).unwrap();
        assert_eq!(read_all(directory.path()).unwrap(), [[entry, entry]]);
        assert_eq!(lines(directory.path()).unwrap(), 2);
    }
}
